"""The requests of a batch, as the caller passes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.params import Params

Request: TypeAlias = Params | Mapping[str, Any]
"""A request of `Kling.map`: an object such as Kling2(...), or {"model": "kling-2", "prompt": ...}."""

PrepareRequest: TypeAlias = Callable[[Request], tuple[Adapter, Mapping[str, Any]]]


def find_slug(request: object) -> str:
    """Return the slug that a request names; empty if it names none."""
    if isinstance(request, Params):
        return request.adapter.slug
    model = cast("Mapping[str, object]", request).get("model") if isinstance(request, Mapping) else None
    return model if isinstance(model, str) else ""
