"""The reference of the kinds of rules, which stands between marks in specs/README.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from kling_codegen.rules.condition import Condition
from kling_codegen.rules.consequences import Then
from kling_codegen.rules.rule import KINDS


@dataclass(frozen=True)
class Key:
    """A key within a rule, with an example in YAML."""

    name: str
    is_required: bool
    example: str
    meaning: str


@dataclass(frozen=True)
class Kind:
    """A kind of rule; one that is a list has no keys."""

    key: str
    example: str
    meaning: str
    keys: tuple[Key, ...]


def describe_rules() -> list[Kind]:
    """Return the reference of each kind of rule."""
    return [Kind(key, kind.example, kind.meaning, tuple(_keys(kind))) for key, kind in KINDS.items()]


def describe_parts() -> list[Kind]:
    """Return the reference of each part of a rule that has keys of its own."""
    fields = ((name, field.annotation) for kind in KINDS.values() for name, field in _fields(kind).items())
    return [Kind(name, part.example, "", tuple(_keys(part))) for name, part in fields if part is Then]


def _fields(part: type[Condition | Then]) -> dict[str, FieldInfo]:
    fields: dict[str, FieldInfo] = getattr(part, "model_fields", {})
    return fields


def _keys(part: type[Condition | Then]) -> Iterator[Key]:
    example = yaml.safe_load(part.example)
    for name, field in _fields(part).items() if isinstance(example, dict) else ():
        meaning = (field.description or "").rstrip(".")
        yield Key(name, field.is_required(), _flow(example[name]), meaning[:1].lower() + meaning[1:])


def _flow(value: Any) -> str:
    """Return a value in YAML's flow style; JSON is YAML."""
    return value if isinstance(value, str) and value.isidentifier() else json.dumps(value)
