"""Parameters as their annotations declare them, read once for each model."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from annotated_types import MaxLen, MinLen
from pydantic import MISSING, BaseModel
from pydantic.fields import FieldInfo

from kling_adapters.schema.param_types import IntOrStrForms, map_alternate_forms

Model: TypeAlias = type[BaseModel]

_READ_MODELS = 1024


@dataclass(frozen=True)
class Shape:
    """The objects and lists in an annotation.

    Attributes:
        model: The model of an object; None if it can be none.
        item: The shape of the items of a list; None if it can be none.
        limits: The numbers of items that the list can have.

    """

    model: Model | None
    item: Shape | None
    limits: tuple[MinLen | MaxLen, ...]

    def find_model(self) -> Model | None:
        """Return the model of the objects, in lists at any depth; None if there are no objects."""
        return self.model or (self.item.find_model() if self.item else None)


@dataclass(frozen=True)
class Parameter:
    """A parameter of a model.

    Attributes:
        name: The gateway's name.
        attribute: The name in Python.
        default: The documented default; MISSING if it has none.
        shape: The objects and lists that it takes.
        choices: The allowed values, in lists at any depth; empty if the type has no Literal.
        declared_forms: The allowed values by their alternate form, of an IntOrStr.
        is_number: Whether it takes a float.

    """

    name: str
    attribute: str
    default: Any
    shape: Shape
    choices: tuple[Any, ...]
    declared_forms: Mapping[Any, Any]
    is_number: bool


@functools.lru_cache(_READ_MODELS)
def read_declared(model: Model) -> Mapping[str, Parameter]:
    """Return the parameters of a complete model by the gateway's names."""
    return {parameter.name: parameter for parameter in _iter_parameters(model)}


@functools.lru_cache(_READ_MODELS)
def list_containers(model: Model) -> Sequence[Parameter]:
    """Return the parameters of a complete model that take objects or lists."""
    parameters = read_declared(model).values()
    return [parameter for parameter in parameters if parameter.shape.model or parameter.shape.item]


@functools.lru_cache(_READ_MODELS)
def map_wire_names(model: Model) -> Mapping[str, str]:
    """Return the gateway's names of the parameters of a complete model by the names in Python."""
    return {name: field.alias or name for name, field in model.model_fields.items()}


@functools.lru_cache(_READ_MODELS)
def map_attributes(model: Model) -> Mapping[str, str]:
    """Return the names in Python of the parameters of a complete model by the gateway's names."""
    return {wire_name: name for name, wire_name in map_wire_names(model).items()}


def _iter_parameters(model: Model) -> Iterator[Parameter]:
    for attribute, field in model.model_fields.items():
        parts = (*field.metadata, *_iter_parts(field.annotation))
        choices = tuple(choice for part in parts if get_origin(part) is Literal for choice in get_args(part))
        has_forms = any(isinstance(part, IntOrStrForms) for part in parts)
        yield Parameter(
            field.alias or attribute,
            attribute,
            MISSING if field.is_required() else field.default,
            _read_shape(field.annotation, field.metadata),
            choices,
            map_alternate_forms(choices) if has_forms else {},
            float in parts,
        )


def _read_shape(annotation: Any, metadata: Iterable[Any]) -> Shape:
    model: Model | None = None
    item: Shape | None = None
    limits: list[MinLen | MaxLen] = []
    for kind, marks in iter_types(annotation, metadata):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            model = kind
        elif get_origin(kind) is Sequence:
            item = _read_shape(get_args(kind)[0], ())
            limits += [mark for mark in marks if isinstance(mark, MinLen | MaxLen)]
    return Shape(model, item, tuple(limits))


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


def _iter_parts(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and all its parts, at any depth."""
    yield annotation
    for argument in get_args(annotation):
        yield from _iter_parts(argument)
