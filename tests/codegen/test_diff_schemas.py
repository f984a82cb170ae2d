"""The level of a random change of an input agrees with what JSON Schema says of the same change."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kling_codegen.diff.models import compare_specs
from kling_codegen.gateway import Gateway
from kling_codegen.language import Spec
from kling_codegen.load.folder import Specs, load_specs

import kling_adapters

# Values that tell any two of the schemas below apart.
LEAVES: list[Any] = [None, True, False, -1, 0, 0.5, 1, 2, 3, 5, "", "a", "bb", "ccc", "5", "https://a.b"]
ENUMS: dict[str, list[Any]] = {
    "string": ["a", "bb", "5", "https://a.b"],
    "integer": [0, 1, 2, 5],
    "boolean": [True, False],
}
LIMITS = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}


@st.composite
def schemas(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    """Return a schema of the language, without defaults and texts."""
    kinds = ["string", "integer", "number", "boolean", *(["array", "object"] if depth else [])]
    kind = draw(st.sampled_from(kinds))
    schema: dict[str, Any] = {"type": kind}
    null = draw(st.booleans())
    if null:
        schema["type"] = [kind, "null"]
    if kind in ENUMS and draw(st.booleans()):
        values = draw(st.lists(st.sampled_from(ENUMS[kind]), min_size=1, unique_by=repr))
        return schema | {"enum": [*values, None] if null else values}
    if kind == "object":
        schema["properties"] = draw(st.dictionaries(st.sampled_from("ab"), schemas(depth - 1), min_size=1))
        schema["required"] = draw(st.lists(st.sampled_from(sorted(schema["properties"])), unique=True))
        return schema
    if kind == "array":
        schema["items"] = draw(schemas(depth - 1))
    if kind == "string" and draw(st.booleans()):
        return schema | {"format": "uri"}
    if kind != "boolean":
        limits = zip(
            LIMITS.get(kind, ("minimum", "maximum")),
            sorted(draw(st.tuples(*[st.integers(0, 3)] * 2))),
            strict=True,
        )
        schema |= {key: limit for key, limit in limits if draw(st.booleans())}
    return schema


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an input of a model before and after an edit: of one keyword somewhere, or of a whole parameter."""
    old = {"properties": {"p": draw(schemas())}, "required": draw(st.sampled_from([[], ["p"]]))}
    return old, edited(draw, old)


def edited(draw: st.DrawFn, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with another of its keywords, or with one of a schema of its own."""
    if "items" in schema and draw(st.booleans()):
        return schema | {"items": edited(draw, schema["items"])}
    if "properties" in schema and draw(st.booleans()):
        parts = schema["properties"]
        name = draw(st.sampled_from(sorted(parts)))
        return schema | {"properties": parts | {name: edited(draw, parts[name])}}
    second = draw(schemas())
    if "type" not in schema:
        extra = {"properties": {draw(st.sampled_from("pq")): second}, "required": []}
        second = draw(st.sampled_from([extra, schema | {"required": [] if schema["required"] else ["p"]}]))
    elif draw(st.booleans()):
        key = draw(st.sampled_from(sorted(schema.keys() | second.keys())))
        second = {
            name: value for name, value in (schema | {key: second.get(key)}).items() if value is not None
        }
    return second


@cache
def values(depth: int = 2) -> list[Any]:
    """Return values of every shape that the schemas speak of."""
    if not depth:
        return LEAVES
    less = values(depth - 1)
    lists = [[item] * count for item in less for count in (1, 2, 3, 4)]
    objects = [{name: item} for item in less for name in "ab"]
    mixed = [{"a": item, "b": second} for item in less[::3] for second in LEAVES]
    return [*LEAVES, [], *lists, {}, *objects, *mixed]


def model(fields: dict[str, Any]) -> Spec | None:
    head = {
        "slug": "demo",
        "title": "Demo",
        "summary": "A model.",
        "returns": "video",
        "latency_seconds": None,
    }
    source = {"page": "https://example.com", "document": "demo.txt", "read": "2026-01-31"}
    try:
        return Spec.model_validate_json(json.dumps({**head, "source": source, "input": fields}))
    except ValueError:
        return None


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of the language as JSON Schema."""
    plain = dict(schema)
    if "items" in schema:
        plain["items"] = closed(schema["items"])
    if "properties" in schema:
        plain["properties"] = {name: closed(part) for name, part in schema["properties"].items()}
        plain["additionalProperties"] = False
    if plain.pop("format", None):
        plain["pattern"] = "^https?://[^/]"
    return plain


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pairs())
def test_json_schema_agrees(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Whatever was valid and no longer is makes a change breaking; whatever is valid only now, at least additive."""
    sides = [Specs(gateway(), (spec,)) for fields in pair if (spec := model(fields)) is not None]
    if len(sides) < 2:
        return
    levels = {change.level for change in compare_specs(*sides)}
    old, new = (jsonschema_rs.validator_for({"type": "object", **closed(fields)}) for fields in pair)
    inputs: list[dict[str, Any]] = [
        {},
        *({"p": value} for value in values()),
        *({"q": value} for value in LEAVES),
    ]
    verdicts = {(old.is_valid(entry), new.is_valid(entry)) for entry in inputs}
    if (True, False) in verdicts:
        assert "breaking" in levels
    if (False, True) in verdicts:
        assert levels & {"breaking", "warning", "additive"}


@cache
def gateway() -> Gateway | None:
    return load_specs(Path(kling_adapters.__file__).parents[1] / "specs").gateway
