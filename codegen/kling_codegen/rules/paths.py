"""Paths of rules into nested parameters: names with dots between them, such as elements.frontal_image_url."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from pydantic import MISSING

from kling_codegen.keywords import UNKNOWN
from kling_codegen.schema import Schema

Indexes: TypeAlias = tuple[int, ...]
"""Indexes of an item in its lists; empty for a parameter outside lists."""


@dataclass(frozen=True)
class Target:
    """The parameter at a path.

    Attributes:
        schema: Its schema.
        is_required: True if its object requires it.
        list_path: The path of the innermost list that has its object as an item; empty outside lists.

    """

    schema: Schema
    is_required: bool
    list_path: str = ""


def find_target(
    path: str,
    properties: Mapping[str, Schema],
    required: Sequence[str],
    list_path: str = "",
    before: str = "",
) -> Target | None:
    """Return the parameter at a path through objects and lists of objects; None if there is none."""
    name, dot, rest = path.partition(".")
    schema = properties.get(name)
    if schema is None or (dot and not rest):
        return None
    if not rest:
        return Target(schema, name in required, list_path)
    schema, place = schema.list_form, f"{before}{name}"
    while schema.items is not MISSING:
        schema, list_path = schema.items, place
    if schema.kind == UNKNOWN:
        # Its problem is reported elsewhere.
        return Target(schema, is_required=False, list_path=list_path)
    inner_required = [] if schema.required is MISSING else schema.required
    inner = {} if schema.properties is MISSING else schema.properties
    return find_target(rest, inner, inner_required, list_path, f"{place}.")


def find_item(schema: Schema, path: str = "") -> tuple[Schema, str]:
    """Return the items of the innermost list of a parameter, or the parameter itself, and their path: shots[]."""
    schema = schema.list_form
    while schema.items is not MISSING:
        schema, path = schema.items, f"{path}[]"
    return schema, path


def list_paths(properties: Mapping[str, Schema]) -> list[str]:
    """Return the paths of all parameters that have one, nested ones included."""
    paths: list[str] = []
    for name, schema in properties.items():
        if "." in name:
            continue
        paths.append(name)
        inner, _ = find_item(schema)
        if inner.properties is not MISSING:
            paths += [f"{name}.{path}" for path in list_paths(inner.properties)]
    return paths


def find_values(path: str, value: Any, indexes: Indexes = ()) -> Iterator[tuple[Indexes, Any]]:
    """Yield the indexes and the value of a parameter in every object that can have it; None where it is not set."""
    if isinstance(value, list):
        for index, item in enumerate(cast("Sequence[Any]", value)):
            yield from find_values(path, item, (*indexes, index))
    elif isinstance(value, dict):
        members = cast("Mapping[str, Any]", value)
        name, _, rest = path.partition(".")
        if rest:
            yield from find_values(rest, members.get(name), indexes)
        else:
            yield indexes, members.get(name)


def with_defaults(properties: Mapping[str, Schema], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return valid values with the defaults of unset parameters, of nested ones, too."""
    defaults = {name: schema.default for name, schema in properties.items() if schema.default is not MISSING}
    return defaults | {name: _fill(properties[name], value) for name, value in values.items()}


def _fill(schema: Schema, value: Any) -> Any:
    filled: Any = value
    if isinstance(value, list) and schema.list_form.items is not MISSING:
        items = schema.list_form.items
        filled = [_fill(items, item) for item in cast("Sequence[Any]", value)]
    elif isinstance(value, dict) and schema.properties is not MISSING:
        filled = with_defaults(schema.properties, cast("Mapping[str, Any]", value))
    return filled
