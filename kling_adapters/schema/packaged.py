"""Readers of the packaged JSON Schema of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def list_declared(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the schema of each parameter by every name that calls may use, old names included."""
    properties: Mapping[str, Mapping[str, Any]] = schema["properties"]
    renamed = {
        old: declared
        for declared in properties.values()
        for old in declared.get("x-kling", {}).get("renamed_from", ())
    }
    return {**renamed, **properties}


def iter_parameters(
    schema: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Yield each parameter with its path and whether it is required, followed by the parameters inside it."""
    for name, declared in schema["properties"].items():
        yield prefix + name, declared, name in schema.get("required", ())
        path, inner = find_item(prefix + name, declared)
        if "properties" in inner:
            yield from iter_parameters(inner, f"{path}.")


def find_item(path: str, declared: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the path and the schema of the items of a list, at any depth; those of any other value itself."""
    while "items" in declared:
        path, declared = f"{path}[]", declared["items"]
    return path, declared
