"""Old names of parameters, which are accepted in calls and never sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kling_adapters import _text
from kling_adapters._warnings import DeprecatedParameter, warn_caller
from kling_adapters.schema.declared import Model


def replace_old_names(model: Model, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of a call under their present names, and warn about each old one.

    An old name beside the present one stays: it is an unknown parameter, and `explain` says why.

    Args:
        model: The parameter model.
        data: The parameters by name.

    Returns:
        The parameters in the same order.

    """
    renamed = find_renamed(model)
    if not renamed.keys() & data.keys():
        return data
    result: dict[str, Any] = {}
    for name, value in data.items():
        present = renamed.get(name)
        if present is None or {present, field_name(model, present)} & {*data, *result}:
            result[name] = value
        else:
            warn_of_old_name(model, name)
            result[present] = value
    return result


def find_renamed(model: Model) -> Mapping[str, str]:
    """Return the present name of each old name; a model within another has none."""
    adapter = getattr(model, "adapter", None)
    return adapter.renamed if adapter else {}


def warn_of_old_name(model: Model, name: str) -> None:
    """Warn the caller of a parameter that was renamed."""
    adapter = getattr(model, "adapter")  # noqa: B009  only parameter models have one
    old, present = _text.escape(name), _text.escape(adapter.renamed[name])
    warn_caller(
        f"{adapter.slug}: {old} was renamed to {present}, and is sent as {present}. Use {present}: a later "
        f"version refuses {old}",
        DeprecatedParameter,
    )


def field_name(model: Model, wire_name: str) -> str:
    """Return the name in Python of a parameter."""
    return next((name for name, field in model.model_fields.items() if field.alias == wire_name), wire_name)
