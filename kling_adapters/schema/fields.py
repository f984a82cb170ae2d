"""The fields of a parameter model, by the names that the gateway knows, and what their annotations say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, cast, get_args, get_origin

from annotated_types import MaxLen, MinLen
from pydantic import MISSING, BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import InitErrorDetails

from kling_adapters.schema.param_types import TextOrInteger, pair_forms

Model: TypeAlias = type[BaseModel]
Location: TypeAlias = tuple[str | int, ...]


def names(model: Model) -> list[str]:
    """Return the names of the parameters as they are sent."""
    return [field.alias or name for name, field in model.model_fields.items()]


def iter_members(model: Model, data: Mapping[str, Any]) -> Iterator[tuple[str, Any, FieldInfo]]:
    """Yield what is set of the fields of a model, by either of their names, under the gateway's."""
    for name, field in model.model_fields.items():
        wire = field.alias or name
        value = data.get(wire, data.get(name, MISSING))
        if value is not MISSING:
            yield wire, value, field


def coerce(field: FieldInfo, value: Any) -> Any:
    """Return a value of a IntOrStr field in the declared form, and any other as it is."""
    parts = (*field.metadata, *_iter_parts(field.annotation))
    if type(value) in (str, int) and any(isinstance(part, TextOrInteger) for part in parts):
        return pair_forms(_literals(field.annotation)).get(value, value)
    return value


def model_at(model: Model, path: Iterable[str | int]) -> Model | None:
    """Return the model of the object at a place, if there is one."""
    current: Model | None = model
    for step in path:
        if current is None or isinstance(step, int):
            continue
        current = next(
            (
                part
                for part in _iter_parts(_annotation(current, step))
                if isinstance(part, type) and issubclass(part, BaseModel)
            ),
            None,
        )
    return current


def choices_at(model: Model, path: Location) -> list[Any]:
    """Return the values that the parameter at a place may have, if they are listed."""
    steps = [step for step in path if isinstance(step, str)]
    holder = model_at(model, steps[:-1])
    return _literals(_annotation(holder, steps[-1])) if holder and steps else []


def iter_length_errors(
    annotation: Any, limits: Iterable[Any], value: Any, place: Location = ()
) -> Iterator[InitErrorDetails]:
    """Yield an error for every list, at any depth, that has too many or too few items.

    pydantic reports a list as too long or its items as wrong, not both. `limits` stand beside the annotation.
    """
    for kind, beside in _iter_kinds(annotation, limits):
        if isinstance(value, Mapping) and isinstance(kind, type) and issubclass(kind, BaseModel):
            for wire, member, field in iter_members(kind, cast("Mapping[str, Any]", value)):
                yield from iter_length_errors(field.annotation, field.metadata, member, (*place, wire))
        if isinstance(value, list | tuple) and get_origin(kind) is Sequence:
            items = cast("Sequence[Any]", value)
            for limit in beside:
                yield from _length_error(limit, items, place)
            for number, item in enumerate(items):
                yield from iter_length_errors(get_args(kind)[0], (), item, (*place, number))


def _length_error(limit: Any, items: Sequence[Any], place: Location) -> Iterator[InitErrorDetails]:
    count = {"field_type": "List", "actual_length": len(items)}
    if isinstance(limit, MaxLen) and len(items) > limit.max_length:
        context = {**count, "max_length": limit.max_length}
        yield InitErrorDetails(type="too_long", loc=place, input=items, ctx=context)
    if isinstance(limit, MinLen) and len(items) < limit.min_length:
        context = {**count, "min_length": limit.min_length}
        yield InitErrorDetails(type="too_short", loc=place, input=items, ctx=context)


def _iter_kinds(annotation: Any, limits: Iterable[Any]) -> Iterator[tuple[Any, Iterable[Any]]]:
    """Yield the types that an annotation allows, each with the limits beside it."""
    if get_origin(annotation) is Annotated:
        bare, *fields = get_args(annotation)
        more = [limit for field in fields if isinstance(field, FieldInfo) for limit in field.metadata]
        yield from _iter_kinds(bare, [*limits, *more])
    elif get_origin(annotation) in (Union, UnionType):
        for choice in get_args(annotation):
            yield from _iter_kinds(choice, limits)
    else:
        yield annotation, limits


def _annotation(model: Model, name: str | int) -> Any:
    return next(
        (field.annotation for key, field in model.model_fields.items() if name in (key, field.alias)), None
    )


def _iter_parts(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and everything it is made of."""
    yield annotation
    for argument in get_args(annotation):
        yield from _iter_parts(argument)


def _literals(annotation: Any) -> list[Any]:
    return [
        choice for part in _iter_parts(annotation) if get_origin(part) is Literal for choice in get_args(part)
    ]
