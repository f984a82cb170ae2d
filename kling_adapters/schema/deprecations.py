"""Warnings about parameters that callers should no longer set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel

from kling_adapters import _text
from kling_adapters._warnings import DeprecatedParameter, warn_caller
from kling_adapters.schema.declared import Model, iter_types
from kling_adapters.schema.fields import dump_set_fields, iter_members
from kling_adapters.schema.param_types import Deprecation


def warn_of_deprecated(model: Model, data: Mapping[str, Any]) -> None:
    """Warn the caller of each deprecated parameter in a call, once for all items of a list."""
    slug: str = getattr(model, "adapter").slug  # noqa: B009  only parameter models have one
    for path, deprecation in dict(_iter_deprecated(model, data, "")).items():
        advice = f". Use {_text.escape(deprecation.use)}" if deprecation.use else ""
        warn_caller(
            f"{slug}: {_text.escape(path)} is deprecated since {deprecation.since}, and is still sent{advice}",
            DeprecatedParameter,
        )


def has_deprecated(annotation: Any) -> bool:
    """Return whether a model, or one within it, has a deprecated parameter."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        return any(find_deprecation(field.metadata) or has_deprecated(field.annotation) for field in fields)
    return any(map(has_deprecated, get_args(annotation)))


def find_deprecation(metadata: Sequence[Any]) -> Deprecation | None:
    """Return the mark of a deprecated parameter, if it has one."""
    return next((mark for mark in metadata if isinstance(mark, Deprecation)), None)


def _iter_deprecated(annotation: Any, value: Any, path: str) -> Iterator[tuple[str, Deprecation]]:
    """Yield the path of each deprecated parameter that is set, without the positions of items."""
    value = dump_set_fields(value)
    for kind, _ in iter_types(annotation, ()):
        if isinstance(value, Mapping) and isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, member, field in iter_members(kind, cast("Mapping[str, Any]", value)):
                if deprecation := find_deprecation(field.metadata):
                    yield f"{path}{name}", deprecation
                yield from _iter_deprecated(field.annotation, member, f"{path}{name}.")
        elif isinstance(value, list) and get_origin(kind) is Sequence:
            for item in cast("Sequence[Any]", value):
                yield from _iter_deprecated(get_args(kind)[0], item, path)
