"""One parameter in a spec: its keywords, and validation of values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import MISSING, Field

from kling_codegen.closed import Closed, Text, iter_repeated
from kling_codegen.enum_problems import enum_problems
from kling_codegen.keywords import (
    ANNOTATIONS,
    HTTP_URL,
    KEYWORDS_OF,
    KIND_VALUES,
    RANGES,
    UNKNOWN,
    Count,
    Kind,
    Number,
    bare_kind,
    is_kind,
)
from kling_codegen.life import Deprecated
from kling_codegen.messages import (
    LocatedMessage,
    Message,
    find_closest,
    format_list,
    format_value,
    wrong_type,
)


class Schema(Closed):
    """One parameter, in a subset of JSON Schema. Objects never take unknown properties."""

    essential = frozenset()

    type: Annotated[Kind, Field(description="The type, or [type, null] where the gateway accepts null.")]
    format: Annotated[Literal["uri"] | MISSING, Field(description="uri: an http or https URL.")] = MISSING
    media: Annotated[
        Literal["image", "video", "audio"] | MISSING, Field(description="The kind of media at the URL.")
    ] = MISSING
    enum: Annotated[list[Any] | MISSING, Field(min_length=1, description="The allowed values.")] = MISSING
    default: Annotated[
        Any | MISSING, Field(description="The value that the gateway uses for an unset parameter.")
    ] = MISSING
    minimum: Annotated[Number | MISSING, Field(description="The smallest allowed number.")] = MISSING
    maximum: Annotated[Number | MISSING, Field(description="The largest allowed number.")] = MISSING
    # The names are JSON Schema's.
    minLength: Annotated[Count | MISSING, Field(description="The smallest number of characters.")] = MISSING  # noqa: N815
    maxLength: Annotated[Count | MISSING, Field(description="The largest number of characters.")] = MISSING  # noqa: N815
    minItems: Annotated[Count | MISSING, Field(description="The smallest number of items.")] = MISSING  # noqa: N815
    maxItems: Annotated[Count | MISSING, Field(description="The largest number of items.")] = MISSING  # noqa: N815
    items: Annotated[Schema | MISSING, Field(description="The type of each item of an array.")] = MISSING
    other_form: Annotated[
        Schema | MISSING, Field(alias="or", description="The list that is accepted instead of the text.")
    ] = MISSING
    required: Annotated[list[Text] | MISSING, Field(description="Properties that must be set.")] = MISSING
    properties: Annotated[
        dict[Text, Schema] | MISSING, Field(min_length=1, description="The properties of an object.")
    ] = MISSING
    description: Annotated[
        Text | MISSING, Field(description="The effect of the parameter, in our own words.")
    ] = MISSING
    renamed_from: Annotated[
        list[Text] | MISSING,
        Field(
            min_length=1, max_length=10, description="Old names of the parameter, which are still accepted."
        ),
    ] = MISSING
    deprecated: Annotated[
        Deprecated | MISSING, Field(description="Set for a parameter that callers should no longer set.")
    ] = MISSING

    @classmethod
    def allowed_keys(cls, data: Mapping[str, Any]) -> list[str]:
        """Return the keywords that the type allows, in a fixed order."""
        kind = data.get("type")
        fitting = (
            KEYWORDS_OF[bare_kind(kind)] | ANNOTATIONS if kind in KIND_VALUES else super().allowed_keys(data)
        )
        return [name for name in super().allowed_keys(data) if name in fitting]

    @property
    def kind(self) -> str:
        """The type without null."""
        return bare_kind(getattr(self, "type", UNKNOWN))

    @property
    def nullable(self) -> bool:
        """True if null is an allowed value."""
        return isinstance(getattr(self, "type", UNKNOWN), list)

    @property
    def list_form(self) -> Schema:
        """The form that is a list; the schema itself if it has one form only."""
        return self if self.other_form is MISSING else self.other_form

    def keywords(self) -> dict[str, Any]:
        """Return the keywords of this level that the spec has, in a fixed order."""
        return {
            field.alias or name: getattr(self, name)
            for name, field in type(self).model_fields.items()
            if name in self.model_fields_set
        }

    def problems(self) -> Iterator[LocatedMessage]:
        """Yield keywords that contradict the type or each other, and an invalid default."""
        keywords = self.keywords()
        yield from self._keyword_problems(keywords)
        for low, high in RANGES:
            if low in keywords and high in keywords and keywords[low] > keywords[high]:
                yield (high,), Message(f"{high} {keywords[high]} is below {low} {keywords[low]}")
        yield from self._required_problems(keywords)
        yield from self._form_problems(keywords)
        if "enum" in keywords:
            yield from enum_problems(self.kind, keywords, is_nullable=self.nullable)
        if "default" in keywords:
            for at, message in violations(self, self.default):
                yield ("default", *at), message.with_subject("the default")
            if self.default and self.items is not MISSING and self.items.kind in ("array", "object"):
                text = "the default of a list of lists or objects can only be empty"
                yield ("default",), Message(text, "[]")

    def _keyword_problems(self, keywords: Mapping[str, Any]) -> Iterator[LocatedMessage]:
        if self.kind == UNKNOWN:
            return
        allowed = self.allowed_keys(keywords)
        for name in keywords:
            if name not in allowed:
                text = f"{name} does not go with type {self.kind}"
                yield (name,), Message(text, ", ".join(allowed), about_key=True)
        for name in sorted(keywords.keys() & {"minLength", "maxLength"}) if "format" in keywords else ():
            text = f"{name} does not go with format, because callers may pass a file"
            yield (name,), Message(text, about_key=True)
        if "media" in keywords and "format" not in keywords:
            yield ("media",), Message("media needs format: uri", about_key=True)
        for name in ("items", "properties"):
            if name in allowed and name not in keywords:
                yield (), Message(f"type {self.kind} needs {name}", about_key=True)

    def _form_problems(self, keywords: Mapping[str, Any]) -> Iterator[LocatedMessage]:
        if self.items is not MISSING and self.items.other_form is not MISSING:
            yield ("items", "or"), Message("or does not go with items", about_key=True)
        if self.other_form is MISSING:
            return
        for name in sorted(keywords.keys() & {"enum", "format", "minLength", "maxLength"}):
            yield (name,), Message(f"{name} does not go with or", about_key=True)
        if self.other_form.kind not in ("array", UNKNOWN) or self.other_form.nullable:
            yield ("or", "type"), Message("the other form is not a list", "array")
        for name in sorted(self.other_form.keywords().keys() & {"default", "description"}):
            yield ("or", name), Message(f"{name} belongs to the parameter, not into or", about_key=True)
        if isinstance(keywords.get("default"), list):
            yield ("default",), Message("the default of a parameter with or cannot be a list")

    def _required_problems(self, keywords: Mapping[str, Any]) -> Iterator[LocatedMessage]:
        required: list[str] = keywords.get("required", [])
        properties: dict[str, Schema] = keywords.get("properties", {})
        for index, name in iter_repeated(required):
            yield ("required", index), Message(f"{name} is listed twice")
        for index, name in enumerate(required):
            if name not in properties:
                text = f"{name} is required but is not a property"
                yield ("required", index), Message(text, "", find_closest(name, properties))
            for key, state in (("default", "have a default"), ("deprecated", "be deprecated")):
                if name in properties and key in properties[name].model_fields_set:
                    text = f"{name} is required, so it cannot {state}"
                    yield ("properties", name, key), Message(text)


class Input(Closed):
    """The parameters of a model, as a closed object."""

    essential = frozenset({"properties"})

    required: Annotated[list[Text], Field(description="Parameters that must be set.")] = []
    properties: Annotated[dict[Text, Schema], Field(min_length=1, description="The parameters by name.")]

    def problems(self) -> Iterator[LocatedMessage]:
        """Yield the problems of the parameters as one object."""
        return self.as_schema().problems()

    def as_schema(self) -> Schema:
        """Return the whole as one schema."""
        return Schema.model_construct(type="object", required=self.required, properties=self.properties)


def violations(schema: Schema, value: Any) -> Iterator[LocatedMessage]:
    """Yield the violations of a schema by a value."""
    if isinstance(value, list):
        schema = schema.list_form
    if schema.nullable and value is None:
        return
    if not is_kind(schema.kind, value):
        yield (), wrong_type(schema.kind, value)
        return
    keywords = schema.keywords()
    if "enum" in keywords and value not in keywords["enum"]:
        allowed = keywords["enum"]
        text = f"{format_value(value)} is not allowed"
        yield (), Message(text, format_list(map(format_value, allowed)), find_closest(value, allowed))
    if "format" in keywords and not (isinstance(value, str) and re.fullmatch(HTTP_URL, value)):
        text = f"{format_value(value)} is not an http or https URL"
        yield (), Message(text, "such as https://example.com/cat.png")
    yield from _range_violations(keywords, value)
    if schema.items is not MISSING and isinstance(value, list):
        for index, item in enumerate(cast("Sequence[Any]", value)):
            yield from _violations_below(index, schema.items, item)
    if schema.properties is not MISSING and isinstance(value, dict):
        required = keywords.get("required", ())
        yield from _member_violations(schema.properties, required, cast("dict[str, Any]", value))


def _range_violations(keywords: Mapping[str, Any], value: Any) -> Iterator[LocatedMessage]:
    for (low, high), (kind, unit) in RANGES.items():
        if is_kind(kind, value):
            size = len(value) if unit else value
            subject = f"{format_value(value)} has {size} {unit}, which" if unit else format_value(value)
            if low in keywords and size < keywords[low]:
                yield (), Message(f"{subject} is below {low} {keywords[low]}")
            if high in keywords and size > keywords[high]:
                yield (), Message(f"{subject} is above {high} {keywords[high]}")


def _member_violations(
    properties: Mapping[str, Schema], required: Sequence[str], value: Mapping[str, Any]
) -> Iterator[LocatedMessage]:
    for name in required:
        if name not in value:
            yield (), Message(f"lacks the required {name}")
    for name, item in value.items():
        if name in properties:
            yield from _violations_below(name, properties[name], item)
        else:
            suggestion = find_closest(name, properties)
            allowed = "" if suggestion else format_list(properties)
            yield (name,), Message("is not a parameter", allowed, suggestion, about_key=True)


def _violations_below(step: str | int, schema: Schema, value: Any) -> Iterator[LocatedMessage]:
    yield from (((step, *at), message) for at, message in violations(schema, value))
