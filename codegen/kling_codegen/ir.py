"""The intermediate representation, with every name, type and order of the generated files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from pydantic import MISSING

from kling_codegen import docs, language, names
from kling_codegen.corrections import bounds, deprecation_mark, input_type, model_type
from kling_codegen.entry import Entry
from kling_codegen.field_types import TypedClass, TypedField, infer_classes
from kling_codegen.json_schema import build_json_schema
from kling_codegen.literals import text_literal
from kling_codegen.renames import list_renamed
from kling_codegen.rules.condition import Condition
from kling_codegen.rules.rule import iter_conditions
from kling_codegen.schema import Schema

LINE_LENGTH = 110

# The package of the models that the clients of kling-adapters have typed calls for.
CORE = "kling_adapters.models"


@dataclass(frozen=True)
class Field:
    """One field of a class, as Python source. `default` is None for a required field."""

    name: str
    wire: str
    type: str
    input_type: str
    arguments: tuple[str, ...]
    default: str | None
    deprecation: str = ""

    @property
    def fits(self) -> bool:
        """True if the declaration fits on one line."""
        annotation = f"Annotated[{self.type}, Field({', '.join(self.arguments)}){self.deprecation}]"
        return len(f"    {self.name}: {annotation} = {self.default or ''}") <= LINE_LENGTH


@dataclass(frozen=True)
class Class:
    """One class of a module and the TypedDict of the same parameters."""

    name: str
    input_name: str
    summary: str
    description: str | None
    fields: tuple[Field, ...]
    input_fields: tuple[Field, ...]

    @property
    def functional(self) -> bool:
        """True if the TypedDict has a key that cannot be written in a class statement."""
        return any(
            names.is_reserved(field.wire)
            or field.wire.startswith("__")
            or not names.can_be_argument(field.wire)
            for field in self.input_fields
        )


@dataclass(frozen=True)
class RuleCall:
    """A call of one of the rule classes of kling_adapters.schema.rules."""

    name: str
    fields: tuple[str, ...]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Module:
    """One model: the module of its classes, its schema and its documentation.

    `by_slug`: the clients have typed calls for its slug, which need a TypedDict of the parameters.
    """

    slug: str
    package: str
    by_slug: bool
    name: str
    title: str
    page: str
    read: str
    returns: str
    latency: float | None
    unseen: str | None
    retirement: str
    renamed: Mapping[str, str]
    rules: tuple[RuleCall, ...]
    parts: tuple[Class, ...]
    model: Class
    json_schema: Mapping[str, Any]
    document: docs.Page

    @property
    def rule_classes(self) -> list[str]:
        """The names of the rule classes that the module imports."""
        return sorted({rule.name for rule in self.rules})

    @property
    def param_types(self) -> list[str]:
        """The names that the module imports from kling_adapters.schema.param_types."""
        fields = [field for part in (*self.parts, self.model) for field in (*part.fields, *part.input_fields)]
        words = {
            word
            for field in fields
            for text in (field.type, field.input_type, field.deprecation)
            for word in re.findall(r"\w+", text)
        }
        return sorted(words & names.PARAM_TYPES)

    @property
    def entry(self) -> Entry:
        """The facts of the model that shared files have."""
        return Entry(
            slug=self.slug,
            title=self.title,
            returns=self.returns,
            latency=self.latency,
            retirement=self.retirement,
            usual=self.document.usual,
            needs=self.document.needs,
            page=self.page,
            module=self.name,
            model=self.model.name,
            input=self.model.input_name,
        )


def build_module(spec: language.Spec, package: str = CORE) -> Module:
    """Return the representation of one model; `package` is the import name of its package."""
    by_slug = package == CORE
    name = names.class_name(spec.slug)
    typed_classes = infer_classes(name, spec.input.as_schema())
    class_names = _final_names(typed_classes)
    *parts, model = [_build_class(typed, class_names, spec.summary) for typed in typed_classes]
    return Module(
        slug=spec.slug,
        package=package,
        by_slug=by_slug,
        name=names.module_name(spec.slug),
        title=spec.title,
        page=spec.source.page,
        read=spec.source.read.isoformat(),
        returns=spec.returns,
        latency=spec.latency_seconds,
        unseen=None if spec.source.unseen is MISSING else spec.source.unseen,
        retirement=_retirement(spec),
        renamed=list_renamed(spec.input.properties),
        rules=tuple(_rule_call(condition) for _, condition in iter_conditions(spec.rules)),
        parts=tuple(parts),
        model=model,
        json_schema=build_json_schema(spec),
        document=docs.build_page(spec, name, package, by_slug=by_slug),
    )


def _retirement(spec: language.Spec) -> str:
    """Return the source text of the retirement of a model; an empty text if there is none."""
    if spec.retired is MISSING:
        return ""
    use = "" if spec.retired.use is MISSING else f", use={spec.retired.use!r}"
    return f"Retirement(since={str(spec.retired.since)!r}{use})"


def _rule_call(condition: Condition) -> RuleCall:
    fields, arguments = condition.arguments()
    return RuleCall(type(condition).__name__, fields, arguments)


def _final_names(typed_classes: list[TypedClass]) -> dict[str, str]:
    """Return the final name of each class, so that neither it nor its TypedDict conflicts with another name."""
    *parts, model = [typed.name for typed in typed_classes]
    # A field would hide a class of its name from its own annotation.
    fields = {field.name for typed in typed_classes for field in typed.fields}
    used = {model, f"{model}Input", *fields} | names.RESERVED
    final = {model: model}
    for part in parts:
        # The first letter of a parameter may have no upper case, as in Chinese; the name of a class does.
        name = part if part[0].isupper() else f"Model{part}"
        while {name, f"{name}Input"} & used or names.is_reserved(name):
            name += "Model"
        final[part] = name
        used |= {name, f"{name}Input"}
    return final


def _build_class(typed: TypedClass, class_names: Mapping[str, str], summary: str) -> Class:
    name = class_names[typed.name]
    fields = tuple(_build_field(field, class_names) for field in typed.fields)
    if typed.user is None:
        arguments = [
            field for field in _with_old_names(typed, fields) if field.wire not in docs.CALL_ARGUMENTS
        ]
        return Class(name, f"{name}Input", summary, None, fields, tuple(arguments))
    description = None if typed.schema.description is MISSING else typed.schema.description
    role = "The value" if typed.user.schema.list_form.items is MISSING else "An item"
    return Class(name, f"{name}Input", f"{role} of `{typed.user.wire}`.", description, fields, fields)


def _with_old_names(typed: TypedClass, fields: Sequence[Field]) -> Iterator[Field]:
    """Yield the keys of the TypedDict of a model; a key with an old name is not needed, nor is that name."""
    renamed = list_renamed(typed.schema.keywords()["properties"])
    for field in fields:
        old_names = [old for old, name in renamed.items() if name == field.wire]
        if old_names and field.default is None:
            field = replace(field, input_type=f"NotRequired[{field.input_type}]")  # noqa: PLW2901
        yield field
        yield from (replace(field, wire=old) for old in old_names)


def _build_field(typed: TypedField, class_names: Mapping[str, str]) -> Field:
    schema = typed.schema
    arguments = [f"alias={typed.wire!r}"] if typed.name != typed.wire else []
    arguments += bounds(schema)
    if schema.description is not MISSING:
        arguments.append(f"description={text_literal(schema.description)}")
    is_optional = not typed.is_required and schema.default is MISSING
    input_annotation = input_type(typed.type, schema, class_names)
    return Field(
        name=typed.name,
        wire=typed.wire,
        type=model_type(typed.type, schema, class_names, is_optional=is_optional),
        input_type=input_annotation if typed.is_required else f"NotRequired[{input_annotation}]",
        arguments=tuple(arguments),
        default=None if typed.is_required else _default(schema),
        deprecation=deprecation_mark(schema),
    )


def _default(schema: Schema) -> str:
    default = schema.default
    if isinstance(default, str):
        return text_literal(default)
    if isinstance(default, list):
        # All objects share the default of a list, so it must be immutable.
        return repr(tuple(cast("list[object]", default)))
    return "MISSING" if default is MISSING else repr(default)
