"""Values that a call sends without validation, because the gateway takes them before the spec does."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from pydantic import Field, create_model

from kling_adapters.errors import ParamsInvalid
from kling_adapters.problems import Problem
from kling_adapters.schema.declared import read_declared
from kling_adapters.schema.explain import find_closest
from kling_adapters.schema.params import Params


def validate_others(
    model: type[Params], params: Mapping[str, Any], unchecked: Mapping[str, Any], context: Any
) -> Params:
    """Validate the parameters of a call, except for the unchecked ones.

    Args:
        model: The parameter model.
        params: The validated parameters by name.
        unchecked: The other parameters by name.
        context: The context of the validation.

    Returns:
        All parameters, those in `unchecked` as they are.

    Raises:
        ParamsInvalid: A parameter is invalid, or a name in `unchecked` is unknown or also in `params`.

    """
    names = {name: _find_wire_name(model, name) for name in unchecked}
    spec_names, set_names = read_declared(model), {_find_wire_name(model, name) for name in params}
    problems = [
        Problem(
            name, "unknown parameter; pass it in extra to send it", suggestion=find_closest(name, spec_names)
        )
        for name, wire_name in names.items()
        if wire_name not in spec_names
    ]
    problems += [
        Problem(name, "is also set; pass it in unchecked only")
        for name, wire_name in names.items()
        if wire_name in set_names
    ]
    if problems:
        raise ParamsInvalid(model.adapter.slug, problems)
    relaxed = _relax(model, frozenset(names.values()))
    return relaxed.model_validate({**params, **unchecked}, context=context)


@functools.lru_cache(maxsize=64)
def _relax(model: type[Params], wire_names: frozenset[str]) -> type[Params]:
    """Return the model with parameters that take any value, which no rule refuses either."""
    fields: dict[str, Any] = {
        name: (Any, Field(alias=field.alias))
        for name, field in model.model_fields.items()
        if (field.alias or name) in wire_names
    }
    relaxed: type[Params] = create_model(model.__name__, __base__=model, **fields)
    relaxed.unchecked = wire_names
    return relaxed


def _find_wire_name(model: type[Params], name: str) -> str:
    """Return the gateway's name of a parameter, given that name, its name in Python or an old one."""
    present = model.adapter.renamed.get(name, name)
    field = model.model_fields.get(present)
    return field.alias or present if field else present
