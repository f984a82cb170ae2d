"""specs/README.md has every key of the language with a valid example, and every rule of lint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kling_codegen import catalogue, gateway, language, life, schema
from kling_codegen.closed import Closed
from kling_codegen.lint.command import LEVELS
from kling_codegen.rules.consequences import Then
from kling_codegen.rules.rule import KINDS, Rule
from pydantic import TypeAdapter
from ruamel.yaml import YAML

import kling_adapters

TEXT = (Path(kling_adapters.__file__).parent.parent / "specs" / "README.md").read_text(encoding="utf-8")
# Each section of the reference, and the part of the language that it is about.
SECTIONS: dict[str, type[Closed]] = {
    "A model": language.Spec,
    "source": language.Source,
    "evidence": language.Evidence,
    "pricing": language.Pricing,
    "retired": life.Retired,
    "input": schema.Input,
    "discrepancies": language.Discrepancy,
    "examples": language.Example,
    "lint": language.Silence,
    "A parameter": schema.Schema,
    "deprecated": life.Deprecated,
    "A rule": Rule,
    **{key: kind for key, kind in KINDS.items() if issubclass(kind, Closed)},
    "then": Then,
    "catalogue.yaml": catalogue.Catalogue,
    "models": catalogue.ListedModel,
    "gateway.yaml": gateway.Gateway,
    "key": gateway.Key,
    "paths": gateway.Paths,
    "credit": gateway.Credit,
    "history": gateway.History,
    "fields": gateway.HistoryFields,
    "states": gateway.State,
    "errors": gateway.Error,
    "statuses": gateway.StatusGroups,
    "no_credits": gateway.NoCredits,
}


def section(title: str) -> str:
    return re.split(r"^##+ ", TEXT.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_every_part_of_the_language_has_a_section() -> None:
    assert set(SECTIONS.values()) == set(language_parts(Closed))


def language_parts(part: type[Closed]) -> Iterator[type[Closed]]:
    """Yield the parts of the language: the classes that are not the base of another."""
    for subclass in part.__subclasses__():
        yield from language_parts(subclass) if subclass.__subclasses__() else [subclass]


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_is_there_with_an_example(title: str) -> None:
    model = SECTIONS[title]
    rows = re.findall(r"^\| `(\w+)`(\\\*)? \| `(.+?)` \| (.+) \|$", section(title), re.MULTILINE)
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    assert [name for name, *_ in rows] == sorted(fields, key=[name for name, *_ in rows].index)
    for name, star, example, meaning in rows:
        assert meaning.strip()
        assert bool(star) == fields[name].is_required()
        value: dict[str, Any] = YAML(typ="safe", pure=True).load(example)
        assert list(value) == [name], example
        TypeAdapter(fields[name].rebuild_annotation()).validate_python(value[name], strict=True)


def test_every_rule_of_lint_is_there_with_its_level() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+) \| .+ \|$", section("What lint finds"), re.MULTILINE)
    assert dict(rows) == LEVELS
