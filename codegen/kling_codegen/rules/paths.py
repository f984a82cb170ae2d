"""Paths of rules into nested parameters: names with dots between them, such as elements.frontal_image_url."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import MISSING

from kling_codegen.keywords import UNKNOWN
from kling_codegen.schema import Schema


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
    name, _, rest = path.partition(".")
    schema = properties.get(name)
    if schema is None:
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


def list_paths(properties: Mapping[str, Schema]) -> list[str]:
    """Return the paths of all parameters that have one, nested ones included."""
    paths: list[str] = []
    for name, schema in properties.items():
        if "." in name:
            continue
        paths.append(name)
        inner = schema.list_form
        while inner.items is not MISSING:
            inner = inner.items
        if inner.properties is not MISSING:
            paths += [f"{name}.{path}" for path in list_paths(inner.properties)]
    return paths
