"""The old names of parameters: each leads to one parameter of the model, and is the name of no other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import MISSING

from kling_codegen.messages import LocatedMessage, Location, Message
from kling_codegen.names import field_names
from kling_codegen.schema import Schema


def list_renamed(properties: Mapping[str, Schema]) -> dict[str, str]:
    """Return the present name of each old name."""
    return {
        old: name
        for name, schema in properties.items()
        if schema.renamed_from is not MISSING
        for old in schema.renamed_from
    }


def rename_problems(properties: Mapping[str, Schema]) -> Iterator[LocatedMessage]:
    """Yield old names that are in use, and those of parameters within another one."""
    # A call may use the name in Python, too.
    in_use = {python: f"the name of {wire} in Python" for wire, python in field_names(properties).items()}
    in_use |= dict.fromkeys(properties, "a parameter")
    for name, schema in properties.items():
        for index, old in enumerate([] if schema.renamed_from is MISSING else schema.renamed_from):
            at = "properties", name, "renamed_from", index
            if old in in_use:
                yield at, Message(f"{old} is {in_use[old]}, so it cannot be an old name of {name}")
            else:
                in_use[old] = f"an old name of {name}"
        for inner_at in _find_inner(schema):
            text = f"renamed_from is for parameters of the model itself, not for those within {name}"
            yield ("properties", name, *inner_at), Message(text, about_key=True)


def _find_inner(schema: Schema) -> Iterator[Location]:
    """Yield the location of each renamed_from within a parameter."""
    parts: dict[Location, Schema] = {}
    if schema.items is not MISSING:
        parts["items",] = schema.items
    if schema.properties is not MISSING:
        parts |= {("properties", name): part for name, part in schema.properties.items()}
    for at, part in parts.items():
        if part.renamed_from is not MISSING:
            yield (*at, "renamed_from")
        yield from ((*at, *inner_at) for inner_at in _find_inner(part))
