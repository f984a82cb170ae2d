"""Values of parameters, valid or not, as plain data by the gateway's names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from annotated_types import MaxLen, MinLen
from pydantic import MISSING, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails

from kling_adapters.schema.declared import (
    Model,
    Parameter,
    Shape,
    list_containers,
    map_wire_names,
    read_declared,
)

FieldPath: TypeAlias = tuple[str | int, ...]

_ATOMS = frozenset({str, int, float, bool, type(None)})


def dump_set_fields(value: Any, *, with_defaults: bool = False) -> Any:
    """Return the set fields by the gateway's names. Unlike model_dump(), keep local media as it is.

    Args:
        value: Parameters, objects in them, lists, or any other value, which is returned unchanged.
        with_defaults: True to add the documented defaults of unset fields.

    Returns:
        The value as plain data.

    """
    if type(value) in _ATOMS:
        return value
    if isinstance(value, BaseModel):
        names, set_names = map_wire_names(type(value)), value.model_fields_set
        members = {
            names[name]: dump_set_fields(member, with_defaults=with_defaults)
            for name, member in vars(value).items()
            if (with_defaults or name in set_names) and member is not MISSING and name in names
        }
        # The unknown parameters of a partial model.
        return {**members, **value.model_extra} if value.model_extra else members
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        return [dump_set_fields(item, with_defaults=with_defaults) for item in items]
    return value


def iter_members(model: Model, data: Mapping[str, Any]) -> Iterator[tuple[str, Any, FieldInfo]]:
    """Yield the gateway's name, the value and the field of every set parameter."""
    for name, field in model.model_fields.items():
        wire_name = field.alias or name
        value = data.get(wire_name, data.get(name, MISSING))
        if value is not MISSING:
            yield wire_name, value, field


def read_value(parameter: Parameter, value: Any, *, with_defaults: bool = False) -> Any:
    """Return the value of a parameter, valid or not, as plain data in the declared form.

    Args:
        parameter: The parameter.
        value: Its value. MISSING stays as it is, and so does local media.
        with_defaults: True to add the documented defaults of unset parameters of objects in it.

    Returns:
        The value.

    """
    if parameter.shape.find_model() is None:
        return _coerce(parameter, dump_set_fields(value))
    return _read_objects(parameter.shape, value, with_defaults=with_defaults)


def find_member(parameter: Parameter, data: Mapping[str, Any]) -> Any:
    """Return the value of a parameter, by either of its names; MISSING if it is not set."""
    return data.get(parameter.name, data.get(parameter.attribute, MISSING))


def _coerce(parameter: Parameter, value: Any) -> Any:
    """Return the declared form of a value of an IntOrStr field or of a number; any other value unchanged."""
    if parameter.is_number and isinstance(value, int | Decimal | Fraction) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError, ValueError):
            return float(value)
    if type(value) in (str, int):
        return parameter.declared_forms.get(value, value)
    return value


def _read_members(model: Model, members: Mapping[str, Any], *, with_defaults: bool) -> dict[str, Any]:
    """Return the known members of an object, valid or not, as plain data."""
    parameters = read_declared(model)
    defaults = {
        name: dump_set_fields(parameter.default)
        for name, parameter in parameters.items()
        if with_defaults and parameter.default is not MISSING
    }
    return defaults | {
        name: read_value(parameters[name], value, with_defaults=with_defaults)
        for name, value in members.items()
    }


def _read_objects(shape: Shape, value: Any, *, with_defaults: bool) -> Any:
    """Return the objects in a value; one of another shape becomes a value that a path does not enter."""
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        if shape.item is None:
            return tuple(items)
        return [_read_objects(shape.item, item, with_defaults=with_defaults) for item in items]
    if isinstance(value, BaseModel) and shape.model:
        return _read_members(type(value), _list_set_members(value), with_defaults=with_defaults)
    if not isinstance(value, Mapping):
        return value
    data = cast("Mapping[str, Any]", value)
    if shape.model is None:
        return MappingProxyType(data)
    return _read_members(shape.model, _members_of_data(shape.model, data), with_defaults=with_defaults)


def _members_of_data(model: Model, data: Mapping[str, Any]) -> dict[str, Any]:
    members = {name: find_member(parameter, data) for name, parameter in read_declared(model).items()}
    return {name: member for name, member in members.items() if member is not MISSING}


def _list_set_members(value: BaseModel) -> dict[str, Any]:
    names, set_names = map_wire_names(type(value)), value.model_fields_set
    return {
        names[name]: member
        for name, member in vars(value).items()
        if name in set_names and member is not MISSING
    }


def find_model(model: Model, path: FieldPath) -> Model | None:
    """Return the model of the object at a path; None if there is none."""
    current: Model | None = model
    for step in path:
        if current is None or isinstance(step, int):
            continue
        parameter = _find_parameter(current, step)
        current = parameter.shape.find_model() if parameter else None
    return current


def find_choices(model: Model, path: FieldPath) -> Sequence[Any]:
    """Return the values that the Literal at a path allows."""
    steps = tuple(step for step in path if isinstance(step, str))
    holder = find_model(model, steps[:-1])
    parameter = _find_parameter(holder, steps[-1]) if holder else None
    return parameter.choices if parameter else ()


def _find_parameter(model: Model, name: str) -> Parameter | None:
    parameters = read_declared(model)
    return parameters.get(name) or parameters.get(map_wire_names(model).get(name, ""))


def find_length_errors(shape: Shape, value: Any, path: FieldPath = ()) -> list[InitErrorDetails]:
    """Return an error for every list, at any depth, with too many or too few items.

    pydantic reports either the length of a list or its items.
    """
    errors: list[InitErrorDetails] = []
    if shape.model and isinstance(value, Mapping):
        data = cast("Mapping[str, Any]", value)
        for parameter in list_containers(shape.model):
            member = find_member(parameter, data)
            errors += find_length_errors(parameter.shape, member, (*path, parameter.name))
    elif shape.item and isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        errors += [error for limit in shape.limits if (error := _find_length_error(limit, items, path))]
        if shape.item.model or shape.item.item:
            for number, item in enumerate(items):
                errors += find_length_errors(shape.item, item, (*path, number))
    return errors


def _find_length_error(
    limit: MinLen | MaxLen, items: Sequence[Any], path: FieldPath
) -> InitErrorDetails | None:
    count = len(items)
    context = {"field_type": "List", "actual_length": count}
    if isinstance(limit, MaxLen) and count > limit.max_length:
        context["max_length"] = limit.max_length
        return InitErrorDetails(type="too_long", loc=path, input=items, ctx=context)
    if isinstance(limit, MinLen) and count < limit.min_length:
        context["min_length"] = limit.min_length
        return InitErrorDetails(type="too_short", loc=path, input=items, ctx=context)
    return None
