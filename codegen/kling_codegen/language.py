"""What a spec and gateway.yaml may say.

The language is closed. JSON Schema tools ignore what they do not know, so a misspelt `minLenght` would be a
constraint that silently vanishes. Here an unknown key is an error, and values are checked against the rest.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    MISSING,
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

# Of a slug, and of nothing else.
SLUG = r"^[a-z][a-z0-9]*([.-][a-z0-9]+)*$"

Location: TypeAlias = tuple[str | int, ...]
Problem: TypeAlias = tuple[Location, str]

HTTP_URL = r"^https?://[^\s/?#]+[^\s]*$"

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
    "null": type(None),
}
RANGES = (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems"))


def _kind(value: Any) -> Any:
    if value in KIND_VALUES:
        return value
    raise ValueError(f'{value!r} is no type; write one of {", ".join(KINDS)}, or [that, "null"]')


def _number(value: Any) -> Any:
    if not _is("number", value):
        raise ValueError(f"{value!r} is not a number")
    return value


Kind: TypeAlias = Annotated[Any, AfterValidator(_kind), WithJsonSchema({"enum": KIND_VALUES})]
Number: TypeAlias = Annotated[Any, AfterValidator(_number), WithJsonSchema({"type": "number"})]
Text: TypeAlias = Annotated[str, Field(pattern=r"\S")]
# These become the first line of a docstring.
Line: TypeAlias = Annotated[str, Field(pattern=r"^\S(.*\S)?$", max_length=100)]
Sentence: TypeAlias = Annotated[str, Field(pattern=r"^\S.*\.$", max_length=100)]
Url: TypeAlias = Annotated[str, Field(pattern=HTTP_URL)]
Count: TypeAlias = Annotated[int, Field(ge=0)]
Seconds: TypeAlias = Annotated[float, Field(gt=0)]


class Closed(BaseModel):
    """The base of every part of the language: no unknown key, no conversion of values."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong although every value by itself is well formed."""
        return iter(())

    @model_validator(mode="after")
    def _check(self) -> Closed:
        details = [
            InitErrorDetails(type=PydanticCustomError("spec", "{what}", {"what": what}), loc=at, input=None)
            for at, what in self.problems()
        ]
        if details:
            raise ValidationError.from_exception_data(type(self).__name__, details)
        return self


class Schema(Closed):
    """One parameter, in a subset of JSON Schema. Objects never take unknown properties."""

    type: Annotated[Kind, Field(description="The type, or [type, null] where the gateway takes null.")]
    format: Annotated[Literal["uri"] | MISSING, Field(description="uri: an http or https URL.")] = MISSING
    enum: Annotated[list[Any] | MISSING, Field(min_length=1, description="The allowed values.")] = MISSING
    default: Annotated[Any | MISSING, Field(description="What the gateway takes for an unset parameter.")] = (
        MISSING
    )
    minimum: Number | MISSING = MISSING
    maximum: Number | MISSING = MISSING
    minLength: Count | MISSING = MISSING  # noqa: N815  the names are JSON Schema's
    maxLength: Count | MISSING = MISSING  # noqa: N815
    minItems: Count | MISSING = MISSING  # noqa: N815
    maxItems: Count | MISSING = MISSING  # noqa: N815
    items: Annotated[Schema | MISSING, Field(description="The type of each item of an array.")] = MISSING
    required: Annotated[list[Text] | MISSING, Field(description="Properties that must be given.")] = MISSING
    properties: Annotated[dict[str, Schema] | MISSING, Field(min_length=1)] = MISSING
    description: Annotated[Text | MISSING, Field(description="What it does, in our own words.")] = MISSING

    @property
    def kind(self) -> str:
        """The type without null."""
        return str(self.type[0] if self.nullable else self.type)

    @property
    def nullable(self) -> bool:
        """Whether null is a value of its own."""
        return isinstance(self.type, list)

    def given(self) -> dict[str, Any]:
        """Return the keywords of this level that the spec has, in a fixed order."""
        return {
            name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set
        }

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        given = self.given()
        for name in sorted(given.keys() - KEYWORDS_OF[self.kind] - {"type", "description"}):
            yield (name,), f"{name} does not go with type {self.kind}"
        for needed in ("items", "properties"):
            if needed in KEYWORDS_OF[self.kind] and needed not in given:
                yield (needed,), f"type {self.kind} needs {needed}"
        for low, high in RANGES:
            if low in given and high in given and given[low] > given[high]:
                yield (high,), f"{high} is below {low}"
        yield from _misplaced_required(given.get("required", []), given.get("properties", {}))
        if "enum" in given:
            yield from self._enum_problems(given)
        if "default" in given:
            for at, what in violations(self, self.default):
                yield ("default", *at), f"the default {what}"
            if self.default and self.items is not MISSING and self.items.kind in ("array", "object"):
                yield ("default",), "the default of a list of lists or objects can only be empty"

    def _enum_problems(self, given: Mapping[str, Any]) -> Iterator[Problem]:
        for name in sorted(given.keys() & {"minimum", "maximum", "minLength", "maxLength", "format"}):
            yield (name,), f"{name} does not go with enum, which already says what is allowed"
        for index in _repeated(given["enum"]):
            yield ("enum", index), f"the allowed value {given['enum'][index]!r} is there twice"
        bare = Schema.model_construct(type=self.type)
        for index, value in enumerate(given["enum"]):
            for _, what in violations(bare, value):
                yield ("enum", index), f"the allowed value {what}"
        if self.nullable and None not in given["enum"]:
            yield ("enum",), "the type allows null, but the allowed values do not list it"


class Input(Closed):
    """The parameters of a model: an object that takes nothing else."""

    required: Annotated[list[Text], Field(description="Parameters that must be given.")] = []
    properties: Annotated[dict[str, Schema], Field(min_length=1)]

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        yield from _misplaced_required(self.required, self.properties)

    def as_schema(self) -> Schema:
        """Return the whole as one schema."""
        return Schema.model_construct(type="object", required=self.required, properties=self.properties)


class Requires(Closed):
    """If `field` is given, each of `present` must be given, and each of `equals` must have that value."""

    field: Text
    present: list[Text] = []
    equals: dict[str, Any] = {}

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        if not self.present and not self.equals:
            yield (), "requires needs present or equals"


class References(Closed):
    """Each `token` with a number in the text `field` must name an item of `list`, counted from 1."""

    field: Text
    token: Annotated[str, Field(description="Such as @Image{n}.")]
    list: Text

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        if self.token.count("{n}") != 1 or self.token == "{n}":  # noqa: S105  no password
            yield ("token",), f"{self.token!r} must have {{n}} once, and more around it"


class MaxBytes(Closed):
    """A local file given for `field` may have at most `bytes` bytes."""

    field: Text
    bytes: Annotated[int, Field(gt=0)]


class Rule(Closed):
    """One condition that JSON Schema says badly; exactly one of the keys."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    requires: Requires | MISSING = MISSING
    references: References | MISSING = MISSING
    max_bytes: MaxBytes | MISSING = MISSING

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        if len(self.model_fields_set) != 1:
            yield (), "a rule has exactly one of requires, references, max_bytes"

    def misfits(self, known: Mapping[str, Schema]) -> Iterator[Problem]:
        """Yield where the rule names a parameter that is not `known`, or one of the wrong type."""
        if (needs := self.requires) is not MISSING:
            named: list[tuple[Location, str]] = [(("requires", "field"), needs.field)]
            named += [(("requires", "present", index), name) for index, name in enumerate(needs.present)]
            named += [(("requires", "equals", name), name) for name in needs.equals]
            for name, value in needs.equals.items():
                for at, what in violations(known[name], value) if name in known else ():
                    yield ("requires", "equals", name, *at), f"{name}: {what}"
        elif (refers := self.references) is not MISSING:
            named = [(("references", "field"), refers.field), (("references", "list"), refers.list)]
            for (at, name), kind in zip(named, ("string", "array"), strict=True):
                if name in known and known[name].kind != kind:
                    yield at, f"{name} must be of type {kind}, not {known[name].kind}"
        elif (limit := self.max_bytes) is not MISSING:
            named = [(("max_bytes", "field"), limit.field)]
            if limit.field in known and known[limit.field].format is MISSING:
                yield ("max_bytes", "field"), f"{limit.field} must have format uri"
        else:
            named = []
        yield from ((at, f"{name} is no parameter of this model") for at, name in named if name not in known)


class Source(Closed):
    """Where the facts of a spec come from."""

    page: Annotated[Url, Field(description="The documentation page.")]
    document: Annotated[Text, Field(description="The stored copy of the page.")]
    read: Annotated[date, Field(description="The day the page was read.")]


class Discrepancy(Closed):
    """Where a page contradicts itself, and what was decided."""

    about: Text
    page: Annotated[Text, Field(description="What the page says.")]
    decision: Text


class Example(Closed):
    """An input that the model takes."""

    name: Text
    input: dict[str, Any]


class Spec(Closed):
    """One model."""

    slug: Annotated[str, Field(pattern=SLUG, description="The name in the API's URL.")]
    title: Line
    summary: Annotated[Sentence, Field(description="One sentence of our own.")]
    returns: Literal["video", "image", "audio", "text"]
    latency_seconds: Annotated[
        Seconds | None, Field(description="The page's average; null where it gives none.")
    ]
    source: Source
    input: Input
    rules: list[Rule] = []
    discrepancies: list[Discrepancy] = []
    examples: list[Example] = []

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        known = self.input.properties
        broken = [
            (("rules", index, *at), what)
            for index, rule in enumerate(self.rules)
            for at, what in rule.misfits(known)
        ]
        yield from broken
        for index, example in enumerate(self.examples):
            found = list(violations(self.input.as_schema(), example.input))
            if not found and not broken:
                found = [((), what) for what in _broken(self.rules, example.input, known)]
            for at, what in found:
                yield ("examples", index, "input", *at), f"the example: {_dotted(at)}{what}"


class Key(Closed):
    """How a request is authenticated."""

    header: Text
    environment: Annotated[Text, Field(description="The environment variable that holds the key.")]


class Paths(Closed):
    """The calls of the gateway, below its base URL."""

    submit: Annotated[str, Field(pattern=r"^/[^{}]*\{slug\}[^{}]*$")]
    status: Annotated[str, Field(pattern=r"^/[^{}]*\{request_id\}[^{}]*$")]
    result: Annotated[str, Field(pattern=r"^/[^{}]*\{request_id\}[^{}]*$")]
    credits: Annotated[str, Field(pattern=r"^/[^{}]*$")]


class State(Closed):
    """A state of a job."""

    name: Text
    meaning: Text
    terminal: bool


class Error(Closed):
    """A status code, and what a submit that was answered with it may do."""

    status: Annotated[int, Field(ge=400, le=599)]
    name: Text
    meaning: Text
    submit: Literal["safe", "never", "uncertain"]
    source: Literal["seed", "docs", "client", "digest"]


class Gateway(Closed):
    """gateway.yaml: what all models share."""

    base_url: Annotated[str, Field(pattern=r"^https://[^\s/?#]+$")]
    key: Key
    paths: Paths
    record_lifetime_seconds: Annotated[int, Field(gt=0)]
    output_lifetime_seconds: Annotated[int, Field(gt=0)]
    states: Annotated[list[State], Field(min_length=1)]
    errors: Annotated[list[Error], Field(min_length=1)]

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        for index in _repeated(state.name for state in self.states):
            yield ("states", index, "name"), f"the state {self.states[index].name} is there twice"
        for index in _repeated(error.status for error in self.errors):
            yield ("errors", index, "status"), f"the status {self.errors[index].status} is there twice"


def violations(schema: Schema, value: Any) -> Iterator[Problem]:
    """Yield where `value` breaks `schema`."""
    if schema.nullable and _is("null", value):
        return
    if not _is(schema.kind, value):
        yield (), f"{value!r} is not of type {schema.kind}"
        return
    given = schema.given()
    if "enum" in given and value not in given["enum"]:
        yield (), f"{value!r} is not one of {', '.join(map(repr, given['enum']))}"
    if "format" in given and not re.fullmatch(HTTP_URL, value):
        yield (), f"{value!r} is not an http or https URL"
    yield from (((), what) for what in _out_of_range(schema, given, value))
    parts: Iterable[tuple[str | int, Schema, Any]] = ()
    if schema.items is not MISSING:
        parts = [(index, schema.items, item) for index, item in enumerate(value)]
    if schema.properties is not MISSING:
        known = schema.properties
        yield from (
            ((), f"lacks the required {name}") for name in given.get("required", ()) if name not in value
        )
        yield from (((name,), "is no parameter") for name in value if name not in known)
        parts = [(name, known[name], item) for name, item in value.items() if name in known]
    for name, part, item in parts:
        yield from (((name, *at), what) for at, what in violations(part, item))


def _out_of_range(schema: Schema, given: Mapping[str, Any], value: Any) -> Iterator[str]:
    size = value if schema.kind in ("integer", "number") else len(value) if schema.kind != "boolean" else 0
    for low, high in RANGES:
        if low in given and size < given[low]:
            yield f"{value!r} is below {low} {given[low]}"
        if high in given and size > given[high]:
            yield f"{value!r} is above {high} {given[high]}"


def editor_schema() -> str:
    """Return the JSON Schema (draft-07, as editors want it) of a spec file."""
    made = Spec.model_json_schema(ref_template="#/definitions/{model}", schema_generator=_WithoutFieldTitles)
    schema = {
        "$comment": "Generated by kling-codegen from its language.py.",
        "$schema": "http://json-schema.org/draft-07/schema#",
        **made,
        "title": "A model spec of kling-adapters",
        "definitions": made["$defs"],
    }
    del schema["$defs"]
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


class _WithoutFieldTitles(GenerateJsonSchema):
    """Editors show titles, and those that pydantic makes of field names say nothing."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _is(kind: str, value: Any) -> bool:
    # To Python, True is an int.
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, PYTHON_TYPES[kind]) and not (
        isinstance(value, float) and not math.isfinite(value)
    )


def _misplaced_required(required: list[str], properties: Mapping[str, Schema]) -> Iterator[Problem]:
    for index in _repeated(required):
        yield ("required", index), f"{required[index]} is there twice"
    for index, name in enumerate(required):
        if name not in properties:
            yield ("required", index), f"{name} is required but is no property"
        elif "default" in properties[name].model_fields_set:
            yield ("properties", name, "default"), f"{name} is required, so it cannot have a default"


def _broken(
    rules: Iterable[Rule], given: Mapping[str, Any], properties: Mapping[str, Schema]
) -> Iterator[str]:
    """Yield which rules an example breaks that fits the schema."""
    defaults = {name: schema.default for name, schema in properties.items() if schema.default is not MISSING}
    values = defaults | dict(given)
    for rule in rules:
        if (needs := rule.requires) is not MISSING and given.get(needs.field) is not None:
            for name in needs.present:
                if given.get(name) is None:
                    yield f"{needs.field} needs {name}, which is not given"
            for name, wanted in needs.equals.items():
                if values.get(name) != wanted:
                    yield f"{needs.field} needs {name} to be {wanted!r}"
        if (names := rule.references) is not MISSING:
            pattern = re.escape(names.token).replace(re.escape("{n}"), "([0-9]+)")
            count = len(values.get(names.list) or ())
            for found in re.finditer(pattern, values.get(names.field) or ""):
                if not 1 <= int(found[1]) <= count:
                    yield f"{names.field} names {found[0]}, but {names.list} has {count} items"


def _repeated(values: Iterable[Any]) -> Iterator[int]:
    # By repr: to Python, 1 and True are the same.
    seen: set[str] = set()
    for index, value in enumerate(values):
        if repr(value) in seen:
            yield index
        seen.add(repr(value))


def _dotted(at: Location) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at)
    return f"{text.lstrip('.')} " if text else ""
