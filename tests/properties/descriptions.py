"""Descriptions of the parameters of a model: what its packaged JSON Schema says.

The tests of the folder compare each other description with this one; each is read independently of the code that wrote
it. The golden tree is tested too, because its specs use every keyword.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import (
    Any,
)

import pytest

import kling_adapters
from kling_adapters import CatalogEntry, Params

ROOT = Path(__file__).parents[2]
RUNTIME = Path(kling_adapters.__file__).parent
GOLDEN = ROOT / "tests" / "golden" / "core"
BOUNDS = {
    "": ("minimum", "maximum"),
    " characters": ("minLength", "maxLength"),
    " items": ("minItems", "maxItems"),
}


@dataclass(frozen=True)
class Parameter:
    """A parameter; `choices` and `default` as the text of a command or as JSON, `about` without its spaces."""

    kind: str
    required: bool
    choices: tuple[str, ...] = ()
    limits: frozenset[str] = frozenset()
    default: str = ""
    about: str = ""


@dataclass(frozen=True)
class Model:
    """A model of this repository or of the golden tree."""

    slug: str
    name: str
    models: Path
    root: Path

    @property
    def module(self) -> types.ModuleType:
        return load(self.models / f"{re.sub('[.-]', '_', self.slug)}.py")

    @cached_property
    def model(self) -> type[Params]:
        model: type[Params] = getattr(self.module, self.name)
        return model

    @cached_property
    def schema(self) -> dict[str, Any]:
        path = self.models / "schemas" / f"{self.slug}.json"
        schema: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return schema

    @property
    def page(self) -> str:
        return (self.root / "docs" / "models" / f"{self.slug}.md").read_text("utf-8")


def load(path: Path) -> types.ModuleType:
    """Import a file; a module of this repository is imported by its own name."""
    if path.is_relative_to(RUNTIME):
        return importlib.import_module(f"kling_adapters.models.{path.stem}")
    spec = importlib.util.spec_from_file_location(f"golden_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TREES = {"here": (RUNTIME / "models", ROOT), "golden": (GOLDEN / "models", GOLDEN)}


def index(tree: str) -> tuple[CatalogEntry, ...]:
    catalog: tuple[CatalogEntry, ...] = load(TREES[tree][0] / "__init__.py").CATALOG
    return catalog


MODELS = [Model(entry.slug, entry.name, *TREES[tree]) for tree in TREES for entry in index(tree)]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.slug)
each_tree = pytest.mark.parametrize("tree", TREES)


def parameters_of_schema(schema: Mapping[str, Any], prefix: str = "") -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    for name, part in schema["properties"].items():
        inner, path, quantifier, limits = part, prefix + name, "", set[str]()
        while True:
            bounds = ((unit, inner.get(low), inner.get(high)) for unit, (low, high) in BOUNDS.items())
            limits |= {limit_text(quantifier, unit, low, high) for unit, low, high in bounds} - {""}
            if "items" not in inner:
                break
            inner, path, quantifier = inner["items"], f"{path}[]", "each "
        parameters[prefix + name] = Parameter(
            kind_of_schema(part),
            required=name in schema.get("required", ()),
            choices=choices(inner.get("enum", ())),
            limits=frozenset(limits),
            default=plain(part["default"]) if "default" in part else "",
            about=remove_spaces(part.get("description", "")),
        )
        if "properties" in inner:
            parameters |= parameters_of_schema(inner, f"{path}.")
    return parameters


def described_parameters(schema: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return the parameters with all that a page says about them."""
    parameters = parameters_of_schema(schema)
    for name, part in walk_schema(schema):
        extension = part.get("x-kling", {})
        about = parameters[name].about
        if old_names := extension.get("renamed_from"):
            about += f"Formerly{','.join(map(remove_spaces, old_names))}."
        assert ("deprecated" in extension) == part.get("deprecated", False)
        if deprecated := extension.get("deprecated"):
            advice = f";use{remove_spaces(deprecated['use'])}" if "use" in deprecated else ""
            about += f"Deprecatedsince{deprecated['since']}{advice}."
        parameters[name] = replace(parameters[name], about=about)
    return parameters


def walk_schema(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, part in schema["properties"].items():
        yield prefix + name, part
        inner, path = part, prefix + name
        while "items" in inner:
            inner, path = inner["items"], f"{path}[]"
        if "properties" in inner:
            yield from walk_schema(inner, f"{path}.")


def kind_of_schema(part: Mapping[str, Any]) -> str:
    kinds = [part["type"]] if isinstance(part["type"], str) else part["type"]
    link = url_or_file(part.get("x-kling", {}).get("media"))
    words = [link if part.get("format") == "uri" else kind for kind in kinds if kind != "null"]
    if "array" in words:
        words[words.index("array")] = f"list of {kind_of_schema(part['items'])}"
    return " or ".join([*words, "null"] if "null" in kinds else words)


def url_or_file(media: str | None) -> str:
    return f"{media} (URL or file)" if media else "URL or file"


def limit_text(quantifier: str, unit: str, low: Any, high: Any) -> str:
    match low, high:
        case None, None:
            return ""
        case _, None:
            return f"{quantifier}at least {plain(low)}{unit}"
        case None, _:
            return f"{quantifier}at most {plain(high)}{unit}"
        case _:
            return f"{quantifier}{plain(low)} to {plain(high)}{unit}"


def plain(value: Any) -> str:
    """Return the JSON of a value, with 1.0 as 1."""
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value, ensure_ascii=False)


def choices(values: Iterable[Any]) -> tuple[str, ...]:
    """Return the text of allowed values without null, which is part of the kind."""
    return tuple(value if isinstance(value, str) else plain(value) for value in values if value is not None)


def remove_spaces(text: str) -> str:
    return "".join(text.split())
