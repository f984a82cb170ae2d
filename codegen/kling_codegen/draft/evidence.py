"""An existing spec of the model as evidence: a page that can be read as the spec says is read so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from pydantic import MISSING

from kling_codegen.schema import Schema

Evidence: TypeAlias = Mapping[str, Schema]
"""The parameters of a spec by their paths, such as elements.label."""

NO_EVIDENCE: Final[Evidence] = MappingProxyType({})


def collect_evidence(properties: Mapping[str, Schema], prefix: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield the path and the schema of each parameter, those within objects too."""
    for name, schema in properties.items():
        yield f"{prefix}{name}", schema
        inner = schema
        while inner.items is not MISSING:
            inner = inner.items
        if inner.properties is not MISSING:
            yield from collect_evidence(inner.properties, f"{prefix}{name}.")


def list_values(schema: Schema) -> list[Any]:
    """Return the allowed values without null, which a page shows as a default only."""
    return [value for value in schema.keywords().get("enum", ()) if value is not None]


def is_printed(values: Sequence[Any], text: str) -> bool:
    """Return whether a page that runs values together prints these as `text`."""
    return "".join(json.dumps(value, ensure_ascii=False) for value in values) == "".join(text.split())
