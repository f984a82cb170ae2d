"""TypedDicts, fields and rules of a model, read through Python's typing, agree with its packaged JSON Schema."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import (
    IO,
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import MISSING, BaseModel
from pydantic.fields import FieldInfo

from tests.properties.descriptions import (
    Model,
    Parameter,
    choices,
    each_model,
    limit_text,
    parameters_of_schema,
    plain,
    remove_spaces,
    url_or_file,
)
from tests.properties.prose_rules import plain_content

# Arguments of `submit` and `run`: a parameter with such a name can only be passed in an object.
OPTIONS = {"extra", "save_to", "tag", "timeout", "unchecked"}


@dataclass(frozen=True)
class Shape:
    """The content of an annotation; `model` is the class of the object in it, below `depth` lists."""

    kind: str
    choices: tuple[str, ...] = ()
    limits: frozenset[str] = frozenset()
    model: Any = None
    depth: int = 0


def shape(annotation: Any, metadata: Sequence[Any] = ()) -> Shape:
    while get_origin(annotation) in (Annotated, NotRequired):
        annotation, *more = get_args(annotation)
        metadata = [*more, *metadata]
    bare = bare_shape(annotation, metadata)
    bounds = {
        kind: getattr(limit, name)
        for item in metadata
        for limit in (item.metadata if isinstance(item, FieldInfo) else [item])
        for kind, name in ((Ge, "ge"), (Le, "le"), (MinLen, "min_length"), (MaxLen, "max_length"))
        if isinstance(limit, kind)
    }
    unit = " items" if bare.kind.startswith("list") else " characters"
    limits = {
        limit_text("", "", bounds.get(Ge), bounds.get(Le)),
        limit_text("", unit, bounds.get(MinLen), bounds.get(MaxLen)),
    }
    return replace(bare, limits=bare.limits | limits - {""})


def bare_shape(annotation: Any, metadata: Sequence[Any]) -> Shape:
    arguments = get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in arguments if member not in (types.NoneType, MISSING)]
        if set(members) == {str, Path, bytes, bytearray, memoryview, IO[bytes]}:
            [mark] = [mark for mark in metadata if type(mark).__name__ == "_Media"]
            result = Shape(url_or_file(mark.kind))
        elif str in members and len(members) == 2:
            [member] = [member for member in members if member is not str]
            result = shape(member)
            result = replace(result, kind=f"string or {result.kind}")
        elif len(members) == 2:
            model, typed = members
            assert f"{model.__name__}Input" == typed.__name__
            result = Shape("object", model=typed)
        else:
            [member] = members
            result = shape(member, metadata)
        nullable = types.NoneType in arguments
        return replace(result, kind=f"{result.kind} or null") if nullable else result
    if get_origin(annotation) is Literal:
        return replace(bare_shape(type(arguments[0]), ()), choices=choices(arguments))
    if get_origin(annotation) is Sequence:
        item = shape(arguments[0])
        limits = frozenset(f"each {limit.removeprefix('each ')}" for limit in item.limits)
        return replace(item, kind=f"list of {item.kind}", limits=limits, depth=item.depth + 1)
    if is_typeddict(annotation) or issubclass(annotation, BaseModel):
        return Shape("object", model=annotation)
    return Shape({str: "string", int: "integer", float: "number", bool: "boolean"}[annotation])


def parameters_of_typed_dict(typed: Any, prefix: str = "") -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    for name, hint in get_type_hints(typed, include_extras=True).items():
        hinted = shape(hint)
        parameters[prefix + name] = Parameter(hinted.kind, name in typed.__required_keys__, hinted.choices)
        if hinted.model is not None:
            parameters |= parameters_of_typed_dict(hinted.model, f"{prefix}{name}{'[]' * hinted.depth}.")
    return parameters


def parameters_of_model(model: type[BaseModel], prefix: str = "") -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    for name, field in model.model_fields.items():
        annotated, wire = shape(field.annotation, field.metadata), field.alias or name
        no_default = field.is_required() or field.default is MISSING
        parameters[prefix + wire] = Parameter(
            annotated.kind,
            field.is_required(),
            annotated.choices,
            annotated.limits,
            "" if no_default else plain(field.default),
            remove_spaces(field.description or ""),
        )
        if annotated.model is not None:
            parameters |= parameters_of_model(annotated.model, f"{prefix}{wire}{'[]' * annotated.depth}.")
    return parameters


def sort_choices(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Return the parameters with sorted choices: Python caches a Literal under any order of its values."""
    return {
        name: replace(parameter, choices=tuple(sorted(parameter.choices)))
        for name, parameter in parameters.items()
    }


@each_model
def test_typed_dict_agrees(model: Model) -> None:
    expected: dict[str, Parameter] = {}
    for name, parameter in sort_choices(parameters_of_schema(model.schema)).items():
        declared = model.schema["properties"].get(name, {})
        old_names = declared.get("x-kling", {}).get("renamed_from", ())
        # A call may set the old name instead, so neither is required.
        required = parameter.required and not old_names
        for key in {name, *old_names} - OPTIONS:
            expected[key] = Parameter(parameter.kind, required, parameter.choices)
    assert sort_choices(parameters_of_typed_dict(getattr(model.module, f"{model.name}Input"))) == expected


@each_model
def test_model_fields_agree(model: Model) -> None:
    expected = sort_choices(parameters_of_schema(model.schema))
    parameters = sort_choices(parameters_of_model(model.model))
    assert parameters == expected
    assert list(parameters) == list(expected)


@each_model
def test_adapter_rules_agree(model: Model) -> None:
    def rule_data(rule: Any) -> dict[str, Any]:
        name = re.sub("(?<!^)([A-Z])", r"_\1", type(rule).__name__).lower()
        content = {key: value for key, value in vars(rule).items() if value not in (None, (), {})}
        data: dict[str, Any] = json.loads(json.dumps({name: content.get("names", content)}))
        return data

    rules = [dict([plain_content(rule)]) for rule in model.schema["x-kling"]["rules"]]
    assert [rule_data(rule) for rule in model.model.adapter.rules] == rules
