"""Reflection over parameter models: fields by the gateway's names, and the types in their annotations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, cast, get_args, get_origin

from annotated_types import MaxLen, MinLen
from pydantic import MISSING, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails

from kling_adapters.schema.param_types import IntOrStrForms, map_alternate_forms

Model: TypeAlias = type[BaseModel]
FieldPath: TypeAlias = tuple[str | int, ...]


def dump_set_fields(value: Any, *, with_defaults: bool = False) -> Any:
    """Return the set fields by the gateway's names. Unlike model_dump(), keep local media as it is.

    Args:
        value: Parameters, objects in them, lists, or any other value, which is returned unchanged.
        with_defaults: True to add the documented defaults of unset fields.

    Returns:
        The value as plain data.

    """
    if isinstance(value, BaseModel):
        members = {
            name: dump_set_fields(member, with_defaults=with_defaults)
            for name, member in _members_by_wire_name(value, with_defaults=with_defaults).items()
        }
        # The unknown parameters of a partial model.
        return {**members, **(value.model_extra or {})}
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        return [dump_set_fields(item, with_defaults=with_defaults) for item in items]
    return value


def list_names(model: Model) -> list[str]:
    """Return the gateway's names of the parameters."""
    return [field.alias or name for name, field in model.model_fields.items()]


def iter_members(model: Model, data: Mapping[str, Any]) -> Iterator[tuple[str, Any, FieldInfo]]:
    """Yield the gateway's name, the value and the field of every set parameter."""
    for name, field in model.model_fields.items():
        wire_name = field.alias or name
        value = data.get(wire_name, data.get(name, MISSING))
        if value is not MISSING:
            yield wire_name, value, field


def coerce(field: FieldInfo, value: Any) -> Any:
    """Return the declared form of a value of an IntOrStr field or of a number; any other value unchanged."""
    parts = (*field.metadata, *_iter_parts(field.annotation))
    if isinstance(value, int | Decimal | Fraction) and not isinstance(value, bool) and float in parts:
        with contextlib.suppress(OverflowError, ValueError):
            return float(value)
    if type(value) in (str, int) and any(isinstance(part, IntOrStrForms) for part in parts):
        return map_alternate_forms(_list_choices(field.annotation)).get(value, value)
    return value


def read_parameters(
    model: Model, members: Mapping[str, Any], *, with_defaults: bool = False
) -> dict[str, Any]:
    """Return parameters, valid or not, as plain data by the gateway's names and in the declared forms.

    Args:
        model: The model of the parameters.
        members: The values of the set parameters, by the gateway's names.
        with_defaults: True to add the documented defaults of unset parameters, of nested ones, too.

    Returns:
        The parameters. Local media stays as it is.

    """
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    defaults = {
        name: dump_set_fields(field.default)
        for name, field in fields.items()
        if with_defaults and not field.is_required() and field.default is not MISSING
    }
    return defaults | {
        name: _read_value(fields[name], value, with_defaults=with_defaults) if name in fields else value
        for name, value in members.items()
    }


def _read_value(field: FieldInfo, value: Any, *, with_defaults: bool) -> Any:
    if _find_nested_model(field.annotation) is None:
        return coerce(field, dump_set_fields(value))
    return _read_objects(field.annotation, value, with_defaults=with_defaults)


def _read_objects(annotation: Any, value: Any, *, with_defaults: bool) -> Any:
    """Return the objects in a value; one of another shape becomes a value that a path does not enter."""
    for kind, _ in iter_types(annotation, ()):
        if get_origin(kind) is Sequence and isinstance(value, list | tuple):
            item, items = get_args(kind)[0], cast("Sequence[Any]", value)
            return [_read_objects(item, part, with_defaults=with_defaults) for part in items]
        if not isinstance(kind, type) or not issubclass(kind, BaseModel):
            continue
        model: Model = kind
        if isinstance(value, BaseModel):
            members = _members_by_wire_name(value)
            return read_parameters(type(value), members, with_defaults=with_defaults)
        if isinstance(value, Mapping):
            members = _members_of_data(model, cast("Mapping[str, Any]", value))
            return read_parameters(model, members, with_defaults=with_defaults)
    if isinstance(value, list | tuple):
        return tuple(cast("Sequence[Any]", value))
    return MappingProxyType(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else value


def _members_of_data(model: Model, data: Mapping[str, Any]) -> dict[str, Any]:
    known_names = {*model.model_fields, *list_names(model)}
    unknown = {name: member for name, member in data.items() if name not in known_names}
    return unknown | {name: member for name, member, _ in iter_members(model, data)}


def _members_by_wire_name(value: BaseModel, *, with_defaults: bool = False) -> dict[str, Any]:
    fields, set_names = type(value).model_fields, value.model_fields_set
    return {
        fields[name].alias or name: member
        for name, member in vars(value).items()
        if (with_defaults or name in set_names) and member is not MISSING and name in fields
    }


def find_model(model: Model, path: Iterable[str | int]) -> Model | None:
    """Return the model of the object at a path; None if there is none."""
    current: Model | None = model
    for step in path:
        if current is None or isinstance(step, int):
            continue
        current = _find_nested_model(_find_annotation(current, step))
    return current


def _find_nested_model(annotation: Any) -> Model | None:
    """Return the model of the objects in an annotation; None if it has none."""
    parts = _iter_parts(annotation)
    return next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None)


def find_choices(model: Model, path: FieldPath) -> list[Any]:
    """Return the values that the Literal at a path allows."""
    steps = [step for step in path if isinstance(step, str)]
    holder = find_model(model, steps[:-1])
    return _list_choices(_find_annotation(holder, steps[-1])) if holder and steps else []


def iter_length_errors(
    annotation: Any, limits: Iterable[Any], value: Any, path: FieldPath = ()
) -> Iterator[InitErrorDetails]:
    """Yield an error for every list, at any depth, with too many or too few items.

    pydantic reports either the length of a list or its items. `limits` are the metadata of the annotation.
    """
    for kind, metadata in iter_types(annotation, limits):
        if isinstance(value, Mapping) and isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, member, field in iter_members(kind, cast("Mapping[str, Any]", value)):
                yield from iter_length_errors(field.annotation, field.metadata, member, (*path, name))
        elif isinstance(value, list | tuple) and get_origin(kind) is Sequence:
            items = cast("Sequence[Any]", value)
            for limit in metadata:
                yield from _iter_length_error(limit, items, path)
            for number, item in enumerate(items):
                yield from iter_length_errors(get_args(kind)[0], (), item, (*path, number))


def _iter_length_error(limit: Any, items: Sequence[Any], path: FieldPath) -> Iterator[InitErrorDetails]:
    count = {"field_type": "List", "actual_length": len(items)}
    if isinstance(limit, MaxLen) and len(items) > limit.max_length:
        context = {**count, "max_length": limit.max_length}
        yield InitErrorDetails(type="too_long", loc=path, input=items, ctx=context)
    if isinstance(limit, MinLen) and len(items) < limit.min_length:
        context = {**count, "min_length": limit.min_length}
        yield InitErrorDetails(type="too_short", loc=path, input=items, ctx=context)


def iter_types(annotation: Any, limits: Iterable[Any]) -> Iterator[tuple[Any, Iterable[Any]]]:
    """Yield the types in a union, each with its metadata."""
    if get_origin(annotation) is Annotated:
        inner, *fields = get_args(annotation)
        metadata = [limit for field in fields if isinstance(field, FieldInfo) for limit in field.metadata]
        yield from iter_types(inner, [*limits, *metadata])
    elif get_origin(annotation) in (Union, UnionType):
        for choice in get_args(annotation):
            yield from iter_types(choice, limits)
    else:
        yield annotation, limits


def _find_annotation(model: Model, name: str | int) -> Any:
    return next(
        (field.annotation for key, field in model.model_fields.items() if name in (key, field.alias)), None
    )


def _iter_parts(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and all its parts, at any depth."""
    yield annotation
    for argument in get_args(annotation):
        yield from _iter_parts(argument)


def _list_choices(annotation: Any) -> list[Any]:
    return [
        choice for part in _iter_parts(annotation) if get_origin(part) is Literal for choice in get_args(part)
    ]
