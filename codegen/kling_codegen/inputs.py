"""Facts about the inputs of a model: the media it takes, and its longest duration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pydantic import MISSING

from kling_codegen.messages import format_number
from kling_codegen.rules.paths import find_item
from kling_codegen.schema import Schema


def list_media(properties: Mapping[str, Schema]) -> dict[str, list[str]]:
    """Return the paths of the parameters that take media, by the kind of media."""
    media: dict[str, list[str]] = {}
    for at, kind in _iter_media(properties, ""):
        media.setdefault(kind, []).append(at)
    return media


def format_longest_duration(properties: Mapping[str, Schema]) -> str:
    """Return the largest allowed value of `duration` in seconds, as every page calls it; empty without one."""
    schema = properties.get("duration")
    if schema is None:
        return ""
    values = [] if schema.enum is MISSING else [str(value) for value in schema.enum]
    numbers = [float(value) for value in values if re.fullmatch(r"\d{1,9}(\.\d+)?", value)]
    longest = max(numbers, default=None if schema.maximum is MISSING else schema.maximum)
    return "" if longest is None else f"{format_number(longest)} s"


def _iter_media(properties: Mapping[str, Schema], path: str) -> Iterator[tuple[str, str]]:
    for name, schema in properties.items():
        inner, at = find_item(schema, path + name)
        if inner.media is not MISSING:
            yield at, inner.media
        if inner.properties is not MISSING:
            yield from _iter_media(inner.properties, f"{at}.")
