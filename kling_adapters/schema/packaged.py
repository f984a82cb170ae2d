"""Readers of the packaged JSON Schema of a model."""

from __future__ import annotations

from collections.abc import Mapping
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
