"""specs/README.md has every key of the language with an example that is right, and every rule of lint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from kling_codegen import language, rules, schema
from kling_codegen.closed import Closed
from kling_codegen.lint import LEVELS
from pydantic import TypeAdapter
from ruamel.yaml import YAML

import kling_adapters

TEXT = (Path(kling_adapters.__file__).parent.parent / "specs" / "README.md").read_text(encoding="utf-8")
# Each section of the reference, and the part of the language that it is about.
SECTIONS: dict[str, type[Closed]] = {
    "A model": language.Spec,
    "source": language.Source,
    "pricing": language.Pricing,
    "input": schema.Input,
    "discrepancies": language.Discrepancy,
    "examples": language.Example,
    "lint": language.Silence,
    "A parameter": schema.Schema,
    "A rule": rules.Rule,
    "requires": rules.Requires,
    "references": rules.References,
    "max_bytes": rules.MaxBytes,
    "gateway.yaml": language.Gateway,
    "key": language.Key,
    "paths": language.Paths,
    "states": language.State,
    "errors": language.Error,
    "statuses": language.StatusGroups,
    "no_credits": language.NoCredits,
}


def section(title: str) -> str:
    return re.split(r"^##+ ", TEXT.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_every_part_of_the_language_has_a_section() -> None:
    assert set(SECTIONS.values()) == set(Closed.__subclasses__())


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
