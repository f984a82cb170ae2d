"""One parameter: what a spec may say of it, and whether a value fits what is said."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import MISSING, AfterValidator, Field, WithJsonSchema

from kling_codegen.closed import Closed, Refused, Text, repeated
from kling_codegen.messages import Message, Problem, closest, listed, shown, wrong_kind

# What \s is differs between Python, ECMAScript and Rust, whose patterns JSON Schema and pydantic use; what only some of
# them take for a space is named.
HTTP_URL = r"^https?://[^\s\x00-\x1f\x85\ufeff/?#][^\s\x00-\x1f\x85\ufeff]*$"

KINDS = ("string", "integer", "number", "boolean", "array", "object")
KIND_VALUES = [*KINDS, *([kind, "null"] for kind in KINDS)]
KEYWORDS_OF = {
    "string": {"enum", "default", "format", "minLength", "maxLength"},
    "integer": {"enum", "default", "minimum", "maximum"},
    # Not enum: a Literal of floats cannot be written in Python.
    "number": {"default", "minimum", "maximum"},
    "boolean": {"enum", "default"},
    "array": {"default", "items", "minItems", "maxItems"},
    "object": {"properties", "required"},
}
PYTHON_TYPES = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "array": list,
    "object": dict,
}
RANGES = {
    ("minimum", "maximum"): ("number", ""),
    ("minLength", "maxLength"): ("string", "characters"),
    ("minItems", "maxItems"): ("array", "items"),
}
"""Each pair of bounds, the type it bounds and what is counted."""
# pydantic finds no larger integer in a Literal.
LARGEST = 2**63 - 1
# The kind of a schema whose type is wrong: nothing else can be said of it.
UNKNOWN = "unknown"


def _kind(value: Any) -> Any:
    if value in KIND_VALUES:
        return value
    raise Refused(Message(f"{shown(value)} is no type", _KINDS_SHOWN, closest(value, KINDS)))


def _number(value: Any) -> Any:
    if not _is("number", value):
        raise Refused(wrong_kind("number", value))
    return value


_KINDS_SHOWN = ", ".join([*KINDS, '[one of these, "null"]'])
Kind: TypeAlias = Annotated[Any, AfterValidator(_kind), WithJsonSchema({"enum": KIND_VALUES})]
Number: TypeAlias = Annotated[Any, AfterValidator(_number), WithJsonSchema({"type": "number"})]
# pydantic takes no count that is larger than a machine's.
Count: TypeAlias = Annotated[int, Field(ge=0, le=10**9)]


class Schema(Closed):
    """One parameter, in a subset of JSON Schema. Objects never take unknown properties."""

    essential = frozenset()

    type: Annotated[Kind, Field(description="The type, or [type, null] where the gateway takes null.")]
    format: Annotated[Literal["uri"] | MISSING, Field(description="uri: an http or https URL.")] = MISSING
    enum: Annotated[list[Any] | MISSING, Field(min_length=1, description="The allowed values.")] = MISSING
    default: Annotated[Any | MISSING, Field(description="What the gateway takes for an unset parameter.")] = (
        MISSING
    )
    minimum: Annotated[Number | MISSING, Field(description="The smallest allowed number.")] = MISSING
    maximum: Annotated[Number | MISSING, Field(description="The largest allowed number.")] = MISSING
    # The names are JSON Schema's.
    minLength: Annotated[Count | MISSING, Field(description="The smallest number of characters.")] = MISSING  # noqa: N815
    maxLength: Annotated[Count | MISSING, Field(description="The largest number of characters.")] = MISSING  # noqa: N815
    minItems: Annotated[Count | MISSING, Field(description="The smallest number of items.")] = MISSING  # noqa: N815
    maxItems: Annotated[Count | MISSING, Field(description="The largest number of items.")] = MISSING  # noqa: N815
    items: Annotated[Schema | MISSING, Field(description="The type of each item of an array.")] = MISSING
    required: Annotated[list[Text] | MISSING, Field(description="Properties that must be given.")] = MISSING
    properties: Annotated[
        dict[Text, Schema] | MISSING, Field(min_length=1, description="The properties of an object.")
    ] = MISSING
    description: Annotated[Text | MISSING, Field(description="What it does, in our own words.")] = MISSING

    @classmethod
    def keys(cls, given: Mapping[str, Any]) -> list[str]:
        """See Closed."""
        kind = given.get("type")
        fitting = (
            KEYWORDS_OF[_bare(kind)] | {"type", "description"} if kind in KIND_VALUES else cls.model_fields
        )
        return [name for name in cls.model_fields if name in fitting]

    @property
    def kind(self) -> str:
        """The type without null."""
        return _bare(getattr(self, "type", UNKNOWN))

    @property
    def nullable(self) -> bool:
        """Whether null is a value of its own."""
        return isinstance(getattr(self, "type", UNKNOWN), list)

    def given(self) -> dict[str, Any]:
        """Return the keywords of this level that the spec has, in a fixed order."""
        return {
            name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set
        }

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        given = self.given()
        yield from self._keyword_problems(given)
        for low, high in RANGES:
            if low in given and high in given and given[low] > given[high]:
                yield (high,), Message(f"{high} {given[high]} is below {low} {given[low]}")
        yield from self._required_problems(given)
        if "enum" in given:
            yield from self._enum_problems(given)
        if "default" in given:
            for at, what in violations(self, self.default):
                yield ("default", *at), what.of("the default")
            if self.default and self.items is not MISSING and self.items.kind in ("array", "object"):
                what = Message("the default of a list of lists or objects can only be empty", "[]")
                yield ("default",), what

    def _keyword_problems(self, given: Mapping[str, Any]) -> Iterator[Problem]:
        if self.kind == UNKNOWN:
            return
        allowed = self.keys(given)
        for name in given:
            if name not in allowed:
                what = f"{name} does not go with type {self.kind}"
                yield (name,), Message(what, ", ".join(allowed), key=True)
        for name in sorted(given.keys() & {"minLength", "maxLength"}) if "format" in given else ():
            yield (name,), Message(f"{name} does not go with format, as a file may be given", key=True)
        for needed in ("items", "properties"):
            if needed in allowed and needed not in given:
                yield (), Message(f"type {self.kind} needs {needed}", key=True)

    def _required_problems(self, given: Mapping[str, Any]) -> Iterator[Problem]:
        required: list[str] = given.get("required", [])
        properties: dict[str, Schema] = given.get("properties", {})
        for index, name in repeated(required):
            yield ("required", index), Message(f"{name} is there twice")
        for index, name in enumerate(required):
            if name not in properties:
                meant = closest(name, properties)
                yield ("required", index), Message(f"{name} is required but is no property", "", meant)
            elif "default" in properties[name].model_fields_set:
                what = Message(f"{name} is required, so it cannot have a default")
                yield ("properties", name, "default"), what

    def _enum_problems(self, given: Mapping[str, Any]) -> Iterator[Problem]:
        for name in sorted(given.keys() & {"minimum", "maximum", "minLength", "maxLength", "format"}):
            yield (name,), Message(f"{name} does not go with enum, which says what is allowed", key=True)
        for index, value in repeated(given["enum"]):
            yield ("enum", index), Message(f"the allowed value {shown(value)} is there twice")
        for index, value in enumerate(given["enum"]):
            if not (_is(self.kind, value) or (self.nullable and value is None)):
                yield ("enum", index), wrong_kind(self.kind, value).of("the allowed value")
            elif isinstance(value, int) and not -LARGEST - 1 <= value <= LARGEST:
                what = f"the allowed value {shown(value)} is out of range"
                yield ("enum", index), Message(what, f"{-LARGEST - 1} to {LARGEST}")
        if self.nullable and None not in given["enum"]:
            yield ("enum",), Message("the type allows null, but the allowed values do not list it")


class Input(Closed):
    """The parameters of a model: an object that takes nothing else."""

    essential = frozenset({"properties"})

    required: Annotated[list[Text], Field(description="Parameters that must be given.")] = []
    properties: Annotated[dict[Text, Schema], Field(min_length=1, description="The parameters by name.")]

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        return self.as_schema().problems()

    def as_schema(self) -> Schema:
        """Return the whole as one schema."""
        return Schema.model_construct(type="object", required=self.required, properties=self.properties)


def violations(schema: Schema, value: Any) -> Iterator[Problem]:
    """Yield where `value` breaks `schema`."""
    if schema.nullable and value is None:
        return
    if not _is(schema.kind, value):
        yield (), wrong_kind(schema.kind, value)
        return
    given = schema.given()
    if "enum" in given and value not in given["enum"]:
        allowed = given["enum"]
        yield (
            (),
            Message(f"{shown(value)} is not allowed", listed(map(shown, allowed)), closest(value, allowed)),
        )
    if "format" in given and not (isinstance(value, str) and re.fullmatch(HTTP_URL, value)):
        what = f"{shown(value)} is not an http or https URL"
        yield (), Message(what, "such as https://example.com/cat.png")
    yield from _out_of_range(given, value)
    if schema.items is not MISSING and isinstance(value, list):
        for index, item in enumerate(cast("Sequence[Any]", value)):
            yield from _within(index, schema.items, item)
    if schema.properties is not MISSING and isinstance(value, dict):
        for name in given.get("required", ()):
            if name not in value:
                yield (), Message(f"lacks the required {name}")
        yield from _members(schema.properties, cast("dict[str, Any]", value))


def _out_of_range(given: Mapping[str, Any], value: Any) -> Iterator[Problem]:
    for (low, high), (kind, noun) in RANGES.items():
        if _is(kind, value):
            size = len(value) if noun else value
            said = f"{shown(value)} has {size} {noun}, which" if noun else shown(value)
            if low in given and size < given[low]:
                yield (), Message(f"{said} is below {low} {given[low]}")
            if high in given and size > given[high]:
                yield (), Message(f"{said} is above {high} {given[high]}")


def _members(known: Mapping[str, Schema], value: Mapping[str, Any]) -> Iterator[Problem]:
    for name, item in value.items():
        if name in known:
            yield from _within(name, known[name], item)
        else:
            meant = closest(name, known)
            yield (name,), Message("is no parameter", "" if meant else listed(known), meant, key=True)


def _within(step: str | int, schema: Schema, value: Any) -> Iterator[Problem]:
    yield from (((step, *at), what) for at, what in violations(schema, value))


def _bare(kind: Any) -> str:
    return str(cast("Sequence[Any]", kind)[0] if isinstance(kind, list) else kind)


def _is(kind: str, value: Any) -> bool:
    if kind == UNKNOWN:
        return True
    # To Python, True is an int.
    if isinstance(value, bool):
        return kind == "boolean"
    finite = not isinstance(value, float) or math.isfinite(value)
    return finite and isinstance(value, PYTHON_TYPES[kind])
