"""The consequences of a condition: the part `then` of the rule `when`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from pydantic import Field

from kling_codegen.closed import Closed, Text, iter_repeated
from kling_codegen.keywords import UNKNOWN, Count, Number
from kling_codegen.messages import LocatedMessage, Location, Message, format_number, format_value
from kling_codegen.rules.condition import join_names, quote
from kling_codegen.rules.paths import find_target
from kling_codegen.schema import Schema, violations


@dataclass(frozen=True)
class Bound:
    """A bound: the keyword of JSON Schema, the types that it limits, the counted unit, and the values beyond it."""

    keyword: str
    kinds: tuple[str, ...]
    unit: str
    beyond: str

    @property
    def is_lower(self) -> bool:
        """True for a smallest value."""
        return self.keyword.startswith("min")


_NUMBERS = ("integer", "number")
BOUNDS: Final = {
    "minimum": Bound("minimum", _NUMBERS, "", "smaller numbers"),
    "maximum": Bound("maximum", _NUMBERS, "", "larger numbers"),
    "min_length": Bound("minLength", ("string",), " characters", "shorter texts"),
    "max_length": Bound("maxLength", ("string",), " characters", "longer texts"),
    "min_items": Bound("minItems", ("array",), " items", "shorter lists"),
    "max_items": Bound("maxItems", ("array",), " items", "longer lists"),
}
"""The bounds of a consequence, by key."""

COMPARED_KINDS: Final = ("string", "integer", "number", "boolean")
Choices: TypeAlias = Annotated[list[Any], Field(min_length=1)]


class Then(Closed):
    """The parameters that a condition limits, requires or forbids."""

    example: ClassVar = (
        "{allowed: {duration: [5, 10]}, minimum: {seed: 1}, maximum: {duration: 5}, min_length: {prompt: 10}, "
        "max_length: {prompt: 500}, min_items: {image_urls: 2}, max_items: {image_urls: 4}, "
        "required: [image_url], forbidden: [video_url]}"
    )

    allowed: Annotated[
        dict[Text, Choices], Field(description="Parameters, and the only values they can have.")
    ] = {}
    minimum: Annotated[dict[Text, Number], Field(description="Parameters, and their smallest number.")] = {}
    maximum: Annotated[dict[Text, Number], Field(description="Parameters, and their largest number.")] = {}
    min_length: Annotated[
        dict[Text, Count], Field(description="Parameters, and their smallest number of characters.")
    ] = {}
    max_length: Annotated[
        dict[Text, Count], Field(description="Parameters, and their largest number of characters.")
    ] = {}
    min_items: Annotated[
        dict[Text, Count], Field(description="Parameters, and their smallest number of items.")
    ] = {}
    max_items: Annotated[
        dict[Text, Count], Field(description="Parameters, and their largest number of items.")
    ] = {}
    required: Annotated[list[Text], Field(description="Parameters that must be set.")] = []
    forbidden: Annotated[list[Text], Field(description="Parameters that must not be set.")] = []

    def problems(self) -> Iterator[LocatedMessage]:
        consequences = list(self.iter_consequences())
        if not consequences:
            yield (), Message("then needs a consequence", ", ".join(type(self).model_fields))
        for key in ("required", "forbidden"):
            for index, name in iter_repeated(getattr(self, key)):
                yield (key, index), Message(f"{name} is listed twice")
        for at, name, key, _ in consequences:
            if name in self.forbidden and key != "forbidden":
                yield at, Message(f"{name} is forbidden, so nothing else can be said of it")
        for low, high in (("minimum", "maximum"), ("min_length", "max_length"), ("min_items", "max_items")):
            for name, limit in getattr(self, high).items():
                least = getattr(self, low).get(name)
                if least is not None and least > limit:
                    yield (high, name), Message(f"{high} {limit} is below {low} {least}")

    def iter_consequences(self) -> Iterator[tuple[Location, str, str, Any]]:
        """Yield the location, the parameter, the key and the limit of each consequence."""
        for key in ("allowed", *BOUNDS):
            yield from (((key, name), name, key, limit) for name, limit in getattr(self, key).items())
        for key in ("required", "forbidden"):
            yield from (((key, index), name, key, None) for index, name in enumerate(getattr(self, key)))

    def reference_errors(
        self, properties: Mapping[str, Schema], required: Sequence[str]
    ) -> Iterator[LocatedMessage]:
        """Yield limits that a parameter cannot have."""
        for at, name, key, limit in self.iter_consequences():
            target = find_target(name, properties, required)
            if target is None or target.schema.kind == UNKNOWN:
                continue
            if key == "forbidden" and target.is_required:
                yield at, Message(f"{name} is required, so it is always set")
            elif key in BOUNDS and not {*BOUNDS[key].kinds} & _kinds(target.schema):
                kinds = " or ".join(BOUNDS[key].kinds)
                yield at, Message(f"{name} must be of type {kinds}, not {target.schema.kind}")
            elif "format" in target.schema.keywords() and (key == "allowed" or key in BOUNDS):
                yield at, Message(f"{name} has a format, and callers may pass a file for it")
            elif key == "allowed" and target.schema.kind not in COMPARED_KINDS:
                yield at, uncomparable(name, target.schema.kind)
            elif key == "allowed":
                yield from _choice_errors(at, name, limit, target.schema)

    def text(self) -> str:
        """Return the consequences as the end of a sentence."""
        return join_names(
            [describe_consequence(name, key, limit) for _, name, key, limit in self.iter_consequences()]
        )


def _kinds(schema: Schema) -> set[str]:
    return {schema.kind, schema.list_form.kind}


def uncomparable(name: str, kind: str) -> Message:
    """Return the message for a parameter whose values a condition cannot list."""
    return Message(f"{name} must be a text, a number or a boolean, not an {kind}")


def _choice_errors(
    at: Location, name: str, choices: Sequence[Any], schema: Schema
) -> Iterator[LocatedMessage]:
    for index, value in iter_repeated(choices):
        yield (*at, index), Message(f"the value {format_value(value)} is listed twice")
    for index, value in enumerate(choices):
        for below, message in violations(schema, value):
            yield (*at, index, *below), message.with_subject(f"{name}:")


def describe_consequence(name: str, key: str, limit: Any) -> str:
    """Return a consequence as a part of a sentence."""
    if key == "required":
        return f"{name} must be set"
    if key == "forbidden":
        return f"{name} must not be set"
    if key == "allowed":
        return f"{name} must be {join_choices(limit)}"
    bound = BOUNDS[key]
    end = "least" if bound.is_lower else "most"
    unit = bound.unit.removesuffix("s") if limit == 1 else bound.unit
    return f"{name} must {'have' if unit else 'be'} at {end} {format_number(limit)}{unit}"


def join_choices(values: Sequence[Any]) -> str:
    """Return values within a sentence: `a`, `a or b`, `a, b or c`."""
    *first, last = map(quote, values)
    return f"{', '.join(first)} or {last}" if first else last


def is_violated(key: str, value: Any, limit: Any) -> bool:
    """Return whether a value violates a consequence; null is not set."""
    if key == "required":
        return value is None
    if value is None:
        return False
    if key == "allowed":
        return value not in limit
    if key in BOUNDS:
        amount = len(value) if BOUNDS[key].unit else value
        return bool(amount < limit if BOUNDS[key].is_lower else amount > limit)
    return True
