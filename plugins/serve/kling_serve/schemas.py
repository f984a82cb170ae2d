"""JSON Schemas of models as other programs read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast


def simplify_schema(schema: Mapping[str, Any], media: str, pattern: str = "") -> dict[str, Any]:
    """Return a JSON Schema without the facts that only this project reads.

    Args:
        schema: The packaged schema of a model, or a part of it.
        media: What may be sent where a model takes a URL; added to the description of such parameters.
        pattern: A pattern of it, besides that of a URL; empty if it can be any text.

    """
    simple = {
        key: _simplify_part(value, media, pattern)
        for key, value in schema.items()
        if key not in ("x-kling", "$schema", "$id", "examples")
    }
    if "media" in schema.get("x-kling", {}):
        url = simple.pop("pattern", None)
        simple.pop("format", None)
        if url and pattern:
            simple["pattern"] = f"{url}|{pattern}"
        simple["description"] = f"{simple.get('description', '')} {media}".strip()
    return simple


def _simplify_part(value: Any, media: str, pattern: str) -> Any:
    if isinstance(value, dict):
        return simplify_schema(cast("dict[str, Any]", value), media, pattern)
    if isinstance(value, list):
        return [_simplify_part(item, media, pattern) for item in cast("Sequence[Any]", value)]
    return value
