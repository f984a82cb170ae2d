"""The reference of the kinds of rules, which stands between marks in specs/README.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from kling_codegen.rules.condition import Condition
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


def _keys(kind: type[Condition]) -> Iterator[Key]:
    example = yaml.safe_load(kind.example)
    fields: dict[str, FieldInfo] = getattr(kind, "model_fields", {})
    for name, field in fields.items() if isinstance(example, dict) else ():
        meaning = (field.description or "").rstrip(".")
        yield Key(name, field.is_required(), _flow(example[name]), meaning[:1].lower() + meaning[1:])


def _flow(value: Any) -> str:
    """Return a value in YAML's flow style; JSON is YAML."""
    return value if isinstance(value, str) and value.isidentifier() else json.dumps(value)
