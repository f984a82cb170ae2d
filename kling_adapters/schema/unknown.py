"""Warnings about parameters that the spec of a partial model does not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic_core import InitErrorDetails

from kling_adapters import _text
from kling_adapters._warnings import UnknownParameter, warn_caller
from kling_adapters.schema.declared import Model, read_declared
from kling_adapters.schema.explain import find_closest
from kling_adapters.schema.renames import find_renamed


def warn_of_unknown(model: Model, data: Mapping[str, Any]) -> None:
    """Warn the caller of the parameters in a call that the model does not have, once for all of them."""
    declared_names = read_declared(model)
    # A name in Python stands for the gateway's name, unless that is set, too.
    attributes = {name for name, field in model.model_fields.items() if field.alias not in data}
    names = [name for name in data if name not in {*declared_names, *attributes}]
    if not names:
        return
    slug: str = getattr(model, "adapter").slug  # noqa: B009  only parameter models have one
    listed = ", ".join(_describe(name, declared_names) for name in names)
    warn_caller(
        f"{slug}: not in the spec: {listed}. The documentation of this model was not seen to the end, so "
        "values of unknown parameters are not checked",
        UnknownParameter,
    )


def find_repeated_names(model: Model, data: Any) -> list[InitErrorDetails]:
    """Return the errors of old names beside their present ones, which a partial model would send as unknown ones."""
    if not isinstance(data, Mapping) or not accepts_unknown(model):
        return []
    call = cast("Mapping[str, Any]", data)
    return [
        InitErrorDetails(type="extra_forbidden", loc=(name,), input=call[name])
        for name in find_renamed(model)
        if name in call
    ]


def accepts_unknown(model: Model) -> bool:
    """Return whether a model is partial."""
    return model.model_config.get("extra") == "allow"


def _describe(name: str, declared_names: Iterable[str]) -> str:
    close = find_closest(name, declared_names)
    hint = f" (did you mean {_text.escape(close)}?)" if close else ""
    return f"{_text.escape(_text.shorten(name, 80))}{hint}"
