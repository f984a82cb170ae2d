"""The parameters of a generated class, read from its annotations and written in the form of a spec."""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import MISSING, BaseModel

Schema: TypeAlias = dict[str, Any]

TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}
BOUNDS = {Ge: ("minimum", "ge"), Le: ("maximum", "le")}
LENGTHS = {MinLen: ("min", "min_length"), MaxLen: ("max", "max_length")}


def properties_of_model(model: type[BaseModel]) -> Schema:
    """Return the parameters of a generated class as the properties of a spec."""
    properties: Schema = {}
    required: list[str] = []
    for name, field in model.model_fields.items():
        wire = field.alias or name
        schema = _schema(field.annotation, field.metadata)
        if field.is_required():
            required.append(wire)
        elif field.default is not MISSING:
            schema["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
        if field.description is not None:
            schema["description"] = field.description
        properties[wire] = schema
    return {"required": sorted(required), "properties": properties}


def properties_of_spec(schema: Schema) -> Schema:
    """Return the same of a spec, without what no annotation holds: old names; deprecations; descriptions and defaults of items."""
    properties = {name: _plain(part) for name, part in schema["properties"].items()}
    return {"required": sorted(schema.get("required", ())), "properties": properties}


def _plain(schema: Schema, *, item: bool = False) -> Schema:
    kind, *null = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    plain = {**schema, "type": kind, **({"nullable": True} if null else {})}
    for key in ("renamed_from", "deprecated"):
        plain.pop(key, None)
    if item:
        plain = {key: value for key, value in plain.items() if key not in ("description", "default")}
    if "enum" in plain:
        plain["enum"] = sorted(repr(value) for value in plain["enum"] if value is not None)
        plain["lenient"] = _has_alternate_forms([value for value in schema["enum"] if value is not None])
    if "items" in plain:
        plain["items"] = _plain(plain["items"], item=True)
    if "or" in plain:
        plain["or"] = _plain(plain["or"])
    if "properties" in plain:
        plain |= properties_of_spec(plain)
    # A bound of a number is one that a float can hold, that of an integer an integer.
    for key, whole in (("minimum", math.ceil), ("maximum", math.floor)):
        if key in plain:
            plain[key] = whole(plain[key]) if kind == "integer" else float(plain[key])
    return plain


def _has_alternate_forms(values: Sequence[Any]) -> bool:
    """Return whether "5" is accepted for 5, or 5 for "5"."""
    return all(type(value) is int for value in values) or all(
        isinstance(value, str) and value.isascii() and value.isdigit() and str(int(value)) == value
        for value in values
    )


def _schema(annotation: Any, metadata: Iterable[Any]) -> Schema:
    schema: Schema = {}
    marks = list(metadata)
    while (origin := get_origin(annotation)) in (Annotated, Union, types.UnionType) and not _has(
        marks, "_Media"
    ):
        if origin is Annotated:
            annotation, *inner = get_args(annotation)
            # A Field holds several.
            marks += [
                constraint
                for mark in inner
                for constraint in (mark.metadata if hasattr(mark, "metadata") else [mark])
            ]
        else:
            schema |= {"nullable": True} if types.NoneType in get_args(annotation) else {}
            *text, annotation = [
                part for part in get_args(annotation) if part not in (MISSING, types.NoneType)
            ]
            assert text == [str] * _has(marks, "_TextOr")
    if _has(marks, "_TextOr"):
        form = _schema(annotation, [mark for mark in marks if not _is(mark, "_TextOr")])
        return {**schema, "type": "string", "or": form}
    if _has(marks, "_Media"):
        [kind] = [mark.kind for mark in marks if _is(mark, "_Media")]
        schema |= {"type": "string", "format": "uri", **({"media": kind} if kind else {})}
    elif get_origin(annotation) is Literal:
        schema |= _schema_of_literal(get_args(annotation), marks)
    elif get_origin(annotation) is Sequence:
        schema |= {"type": "array", "items": _schema(get_args(annotation)[0], ())}
    elif annotation in TYPES:
        schema["type"] = TYPES[annotation]
    else:
        assert issubclass(annotation, BaseModel)
        schema |= {"type": "object", **properties_of_model(annotation)}
    return schema | _bounds(schema["type"], marks)


def _bounds(kind: str, marks: Iterable[Any]) -> Schema:
    bounds: Schema = {}
    for mark in marks:
        if type(mark) in BOUNDS:
            key, name = BOUNDS[type(mark)]
            bounds[key] = getattr(mark, name)
        elif type(mark) in LENGTHS:
            key, name = LENGTHS[type(mark)]
            bounds[f"{key}{'Items' if kind == 'array' else 'Length'}"] = getattr(mark, name)
    return bounds


def _schema_of_literal(values: Sequence[Any], marks: Iterable[Any]) -> Schema:
    # Without it, 1 would do for True.
    assert _has(marks, "_BoolFirst") == isinstance(values[0], bool)
    return {
        "type": TYPES[type(values[0])],
        # To typing, Literal[5, 10] is Literal[10, 5], so its cache may give either.
        "enum": sorted(map(repr, values)),
        "lenient": _has(marks, "IntOrStrForms"),
    }


def _has(marks: Iterable[Any], name: str) -> bool:
    return any(_is(mark, name) for mark in marks)


def _is(mark: Any, name: str) -> bool:
    return type(mark).__name__ == name


def differences(first: Any, second: Any, at: str = "") -> list[str]:
    """Return where two plain values differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        keys = {**first, **second}
        return [
            constraint
            for key in keys
            for constraint in differences(first.get(key, MISSING), second.get(key, MISSING), f"{at}.{key}")
        ]
    return (
        []
        if first == second and isinstance(first, bool) == isinstance(second, bool)
        else [f"{at}: {first!r} is not {second!r}"]
    )
