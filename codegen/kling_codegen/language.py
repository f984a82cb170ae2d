"""What a spec and gateway.yaml may say.

The language is closed. JSON Schema tools ignore what they do not know, so a misspelt `minLenght` would be a
constraint that silently vanishes. Here an unknown key is an error, and values are checked against the rest.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, TypeAlias, TypeVar, cast

from pydantic import (
    MISSING,
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    RootModel,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError


@dataclass(frozen=True)
class Message:
    """What is wrong, what may stand there instead, and what was probably meant; the last two may be empty.

    `key` tells that it is said of the key, not of its value.
    """

    what: str
    allowed: str = ""
    meant: str = ""
    key: bool = False

    def __str__(self) -> str:
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        return f"{self.what}{allowed}{f'; did you mean {self.meant}?' if self.meant else ''}"

    def of(self, subject: str) -> Message:
        """Return the same, said of `subject`."""
        return replace(self, what=f"{subject} {self.what}")


Location: TypeAlias = tuple[str | int, ...]
Problem: TypeAlias = tuple[Location, Message]

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
LintRule: TypeAlias = Literal[
    "no-description",
    "limit-in-prose",
    "rule-in-prose",
    "no-source",
    "sample-default",
    "unexplained",
    "unknown-about",
    "placeholder",
    "odd-form",
    "no-example",
    "unused-silence",
]
RANGES = {
    ("minimum", "maximum"): ("number", ""),
    ("minLength", "maxLength"): ("string", "characters"),
    ("minItems", "maxItems"): ("array", "items"),
}
"""Each pair of bounds, the type it bounds and what is counted."""


# The kind of a schema whose type is wrong: nothing else can be said of it.
UNKNOWN = "unknown"


class Refused(ValueError):
    """Raised by the checks of single values; carries the Message."""

    def __init__(self, message: Message) -> None:
        super().__init__(str(message))
        self.message = message


def _kind(value: Any) -> Any:
    if value in KIND_VALUES:
        return value
    raise Refused(Message(f"{shown(value)} is no type", _KINDS_SHOWN, closest(value, KINDS)))


def _number(value: Any) -> Any:
    if not _is("number", value):
        raise Refused(wrong_kind("number", value))
    return value


def _day(value: Any) -> Any:
    if isinstance(value, date):
        return value
    try:
        # fromisoformat takes 20261121, too.
        return date.fromisoformat(value if len(value) == len("2026-11-21") else "")
    except (TypeError, ValueError):
        raise Refused(Message(f"{shown(value)} is no day", "such as 2026-11-21")) from None


SLUG = r"^[a-z][a-z0-9]*([.-][a-z0-9]+)*$"
_TEXT, _LINE, _SENTENCE = r"\S", r"^\S(.*\S)?$", r"^\S.*\.$"
_SUBMIT, _REQUEST = r"^/[^{}]*\{slug\}[^{}]*$", r"^/[^{}]*\{request_id\}[^{}]*$"
_PATH, _ORIGIN, _CURRENCY = r"^/[^{}]*$", r"^https://[^\s/?#]+$", "^[A-Z]{3}$"
PATTERNS = {
    SLUG: "small letters and digits, in words joined by - or .; it starts with a letter",
    HTTP_URL: "an http or https URL",
    _TEXT: "text that is not empty",
    _LINE: "one line that neither starts nor ends with a space",
    _SENTENCE: "one sentence on one line, with a full stop",
    _SUBMIT: "a path that starts with / and has {slug} once",
    _REQUEST: "a path that starts with / and has {request_id} once",
    _PATH: "a path that starts with /",
    _ORIGIN: "an https URL without a path",
    _CURRENCY: "three capital letters, such as USD",
}
"""What each pattern of the language asks for, in words."""

_KINDS_SHOWN = ", ".join([*KINDS, '[one of these, "null"]'])
Kind: TypeAlias = Annotated[Any, AfterValidator(_kind), WithJsonSchema({"enum": KIND_VALUES})]
Number: TypeAlias = Annotated[Any, AfterValidator(_number), WithJsonSchema({"type": "number"})]
Price: TypeAlias = Annotated[float, Field(ge=0)]
Day: TypeAlias = Annotated[
    date, BeforeValidator(_day), WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"})
]
Text: TypeAlias = Annotated[str, Field(pattern=_TEXT)]
# These become the first line of a docstring.
Line: TypeAlias = Annotated[str, Field(pattern=_LINE, max_length=100)]
Sentence: TypeAlias = Annotated[str, Field(pattern=_SENTENCE, max_length=100)]
Url: TypeAlias = Annotated[str, Field(pattern=HTTP_URL)]
Count: TypeAlias = Annotated[int, Field(ge=0)]
Seconds: TypeAlias = Annotated[float, Field(gt=0)]


class Report(Protocol):
    """What a validation is given to go on after the first problem: see load.py, which implements it."""

    def note(self, data: Any, problems: Iterable[Problem]) -> None:
        """Take problems at locations within `data`."""

    def salvage(self, model: type[ClosedT], data: Any, error: ValidationError) -> ClosedT:
        """Note what is wrong with `data` and return what can be made of the rest, or raise."""
        ...


class Closed(BaseModel):
    """The base of every part of the language: no unknown key, no conversion of values.

    Validated with a Report as context, all that is wrong is noted there; without one, a ValidationError is
    raised, which need not have all of it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    # The keys without which nothing can be said of the rest; None is all that must be there.
    essential: ClassVar[frozenset[str] | None] = None
    # Whether problems() has something to say although a key is wrong.
    judged_in_part: ClassVar[bool] = False

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong although every value by itself is well formed."""
        return iter(())

    @classmethod
    def keys(cls, given: Mapping[str, Any]) -> list[str]:  # noqa: ARG003  a schema looks at it
        """Return the keys that may stand beside those of `given`."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        report: Report | None = info.context
        try:
            value, whole = handler(data), True
        except ValidationError as error:
            if report is None:
                raise
            value, whole = report.salvage(cls, data, error), False
        problems = list(value.problems()) if whole or cls.judged_in_part else []
        if problems and report is None:
            details = [
                InitErrorDetails(
                    type=PydanticCustomError("spec", "{what}", {"what": str(what)}), loc=at, input=None
                )
                for at, what in problems
            ]
            raise ValidationError.from_exception_data(cls.__name__, details)
        if problems and report is not None:
            report.note(data, problems)
        return value


ClosedT = TypeVar("ClosedT", bound=Closed)


class Schema(Closed):
    """One parameter, in a subset of JSON Schema. Objects never take unknown properties."""

    essential = frozenset()
    judged_in_part = True

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
        dict[str, Schema] | MISSING, Field(min_length=1, description="The properties of an object.")
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
        yield from _misplaced_required(given.get("required", []), given.get("properties", {}))
        if "enum" in given:
            yield from self._enum_problems(given)
        if "default" in given:
            for at, what in violations(self, self.default):
                yield ("default", *at), what.of("the default")
            if self.default and self.items is not MISSING and self.items.kind in ("array", "object"):
                yield (
                    ("default",),
                    Message("the default of a list of lists or objects can only be empty", "[]"),
                )

    def _keyword_problems(self, given: Mapping[str, Any]) -> Iterator[Problem]:
        if self.kind == UNKNOWN:
            return
        allowed = self.keys(given)
        for name in given:
            if name not in allowed:
                what = f"{name} does not go with type {self.kind}"
                yield (name,), Message(what, ", ".join(allowed), key=True)
        for needed in ("items", "properties"):
            if needed in allowed and needed not in given:
                yield (), Message(f"type {self.kind} needs {needed}", key=True)

    def _enum_problems(self, given: Mapping[str, Any]) -> Iterator[Problem]:
        for name in sorted(given.keys() & {"minimum", "maximum", "minLength", "maxLength", "format"}):
            yield (name,), Message(f"{name} does not go with enum, which says what is allowed", key=True)
        for index in repeated(given["enum"]):
            yield ("enum", index), Message(f"the allowed value {shown(given['enum'][index])} is there twice")
        bare = Schema.model_construct(type=getattr(self, "type", UNKNOWN))
        for index, value in enumerate(given["enum"]):
            for _, what in violations(bare, value):
                yield ("enum", index), what.of("the allowed value")
        if self.nullable and None not in given["enum"]:
            yield ("enum",), Message("the type allows null, but the allowed values do not list it")


class Input(Closed):
    """The parameters of a model: an object that takes nothing else."""

    essential = frozenset({"properties"})
    judged_in_part = True

    required: Annotated[list[Text], Field(description="Parameters that must be given.")] = []
    properties: Annotated[dict[str, Schema], Field(min_length=1, description="The parameters by name.")]

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        yield from _misplaced_required(self.required, self.properties)

    def as_schema(self) -> Schema:
        """Return the whole as one schema."""
        return Schema.model_construct(type="object", required=self.required, properties=self.properties)


class Requires(Closed):
    """If `field` is given, each of `present` must be given, and each of `equals` must have that value."""

    field: Annotated[Text, Field(description="The parameter that needs others.")]
    present: Annotated[list[Text], Field(description="Parameters that must be given with it.")] = []
    equals: Annotated[dict[str, Any], Field(description="Parameters and the values they must have.")] = {}

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        if not self.present and not self.equals:
            yield (), Message("requires needs present or equals")

    def named(self) -> Iterator[tuple[Location, str]]:
        """See Rule."""
        yield ("field",), self.field
        yield from ((("present", index), name) for index, name in enumerate(self.present))
        yield from ((("equals", name), name) for name in self.equals)

    def misfits(self, known: Mapping[str, Schema]) -> Iterator[Problem]:
        """See Rule."""
        for name in self.equals.keys() & known.keys():
            for at, what in violations(known[name], self.equals[name]):
                yield ("equals", name, *at), what.of(f"{name}:")

    def broken(self, given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        """See Rule."""
        if self.field not in given:
            return
        for name in self.present:
            if name not in given:
                yield Message(f"{self.field} needs {name}, which is not given")
        for name, wanted in self.equals.items():
            if values.get(name) != wanted:
                yield Message(f"{self.field} needs {name} to be {shown(wanted)}")


class References(Closed):
    """Each `token` with a number in the text `field` must name an item of `list`, counted from 1."""

    field: Annotated[Text, Field(description="The text that names items.")]
    token: Annotated[str, Field(description="How it names them, such as @Image{n}.")]
    list: Annotated[Text, Field(description="The list that has the items.")]

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        if self.token.count("{n}") != 1 or self.token == "{n}":  # noqa: S105  no password
            yield ("token",), Message(f"{shown(self.token)} must have {{n}} once, and more around it")

    def named(self) -> Iterator[tuple[Location, str]]:
        """See Rule."""
        yield ("field",), self.field
        yield ("list",), self.list

    def misfits(self, known: Mapping[str, Schema]) -> Iterator[Problem]:
        """See Rule."""
        for (at, name), kind in zip(self.named(), ("string", "array"), strict=True):
            if name in known and known[name].kind not in (kind, UNKNOWN):
                yield at, Message(f"{name} must be of type {kind}, not {known[name].kind}")

    def broken(self, given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        """See Rule."""
        pattern = re.escape(self.token).replace(re.escape("{n}"), "([0-9]+)")
        count = len(values.get(self.list) or ())
        for found in re.finditer(pattern, values.get(self.field) or ""):
            if not 1 <= int(found[1]) <= count:
                yield Message(f"{self.field} names {found[0]}, but {self.list} has {count} items")


class MaxBytes(Closed):
    """A local file given for `field` may have at most `bytes` bytes."""

    field: Annotated[Text, Field(description="A parameter with format uri.")]
    bytes: Annotated[int, Field(gt=0, description="The size of the largest file that may be given.")]

    def named(self) -> Iterator[tuple[Location, str]]:
        """See Rule."""
        yield ("field",), self.field

    def misfits(self, known: Mapping[str, Schema]) -> Iterator[Problem]:
        """See Rule."""
        if self.field in known and known[self.field].format is MISSING:
            yield ("field",), Message(f"{self.field} must have format uri")

    def broken(self, given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        """See Rule. An example has URLs, whose sizes are not known."""
        return iter(())


class Group(RootModel[Annotated[list[Text], Field(min_length=2)]]):
    """The parameters of at_least_one_of or mutually_exclusive."""

    model_config = ConfigDict(strict=True, frozen=True)

    def named(self) -> Iterator[tuple[Location, str]]:
        """See Rule."""
        yield from (((index,), name) for index, name in enumerate(self.root))

    def misfits(self, known: Mapping[str, Schema]) -> Iterator[Problem]:
        """See Rule."""
        yield from (
            ((index,), Message(f"{self.root[index]} is there twice")) for index in repeated(self.root)
        )

    def given(self, given: Mapping[str, Any]) -> list[str]:
        """Return those of the group that are given."""
        return [name for name in self.root if name in given]


class AtLeastOneOf(Group):
    """One of these parameters must be given, or several; a default does not count as given."""

    def broken(self, given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        """See Rule."""
        if not self.given(given):
            yield Message("is incomplete", f"at least one of {', '.join(self.root)}")


class MutuallyExclusive(Group):
    """Only one of these parameters may be given; a default does not count as given."""

    def broken(self, given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Message]:
        """See Rule."""
        if len(found := self.given(given)) > 1:
            yield Message(f"gives {' and '.join(found)} together", f"only one of {', '.join(self.root)}")


Condition: TypeAlias = Requires | References | MaxBytes | AtLeastOneOf | MutuallyExclusive


class Rule(Closed):
    """One condition that JSON Schema says badly; exactly one of the keys.

    Each has `named`: the parameters it names and where; `misfits`: what is wrong with it, given the known
    parameters; `broken`: how an example breaks it, by what is given (not null) and that with the defaults.
    """

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    requires: Annotated[
        Requires | MISSING, Field(description="A parameter that needs others, or needs them to have a value.")
    ] = MISSING
    references: Annotated[
        References | MISSING, Field(description="A text that names items of a list by their number.")
    ] = MISSING
    at_least_one_of: Annotated[
        AtLeastOneOf | MISSING, Field(description="Parameters of which one must be given.")
    ] = MISSING
    mutually_exclusive: Annotated[
        MutuallyExclusive | MISSING, Field(description="Parameters of which only one may be given.")
    ] = MISSING
    max_bytes: Annotated[MaxBytes | MISSING, Field(description="The size of a local file.")] = MISSING

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        if len(self.model_fields_set) != 1:
            yield (), Message("a rule has exactly one key", ", ".join(type(self).model_fields))

    def condition(self) -> tuple[str, Condition] | None:
        """Return the key and its value, unless they were wrong."""
        found = ((name, getattr(self, name)) for name in type(self).model_fields)
        return next(((name, value) for name, value in found if value is not MISSING), None)

    def misfits(self, known: Mapping[str, Schema], required: Iterable[str]) -> Iterator[Problem]:
        """Yield where the rule names a parameter that is not `known`, or one it can say nothing of."""
        if not (condition := self.condition()):
            return
        key, value = condition
        yield from (((key, *at), what) for at, what in value.misfits(known))
        for at, name in value.named():
            if name not in known:
                what = Message(f"{name} is no parameter of this model", "", closest(name, known))
                yield (key, *at), what
            elif isinstance(value, Group) and name in required:
                yield (key, *at), Message(f"{name} is required, so it is always given")


class Source(Closed):
    """Where the facts of a spec come from."""

    page: Annotated[Url, Field(description="The documentation page.")]
    document: Annotated[Text, Field(description="The stored copy of the page.")]
    read: Annotated[Day, Field(description="The day the page was read.")]


class Pricing(Closed):
    """What one unit costs, as the page states it: from the cheapest to the dearest."""

    currency: Annotated[str, Field(pattern=_CURRENCY, description="Such as USD.")]
    low: Annotated[Price, Field(alias="from", description="The lowest price of a unit.")]
    high: Annotated[Price, Field(alias="to", description="The highest; the same where there is one price.")]
    unit: Annotated[
        Literal["generation", "second", "minute", "image", "megapixel"],
        Field(description="What the price is for."),
    ]

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        if self.low > self.high:
            yield ("to",), Message(f"to {self.high:g} is below from {self.low:g}")


class Discrepancy(Closed):
    """Where a page contradicts itself, and what was decided."""

    about: Annotated[
        Text,
        Field(
            description="The parameters, as in shots.prompt, with commas between them; or the title, tagline."
        ),
    ]
    page: Annotated[Text, Field(description="What the page says.")]
    decision: Annotated[Text, Field(description="What this spec takes it for, and why.")]


class Silence(Closed):
    """A finding of `kling-codegen lint` that is known and right as it is."""

    silence: Annotated[LintRule, Field(description="The rule, as in the brackets of the finding.")]
    about: Annotated[
        Text | MISSING,
        Field(description="The parameter, as in shots.prompt; without it, the spec as a whole."),
    ] = MISSING
    reason: Annotated[Text, Field(description="Why it is right as it is.")]


class Example(Closed):
    """An input that the model takes."""

    essential = frozenset({"input"})

    name: Annotated[Text, Field(description="What it shows.")]
    input: Annotated[dict[str, Any], Field(description="The parameters.")]


class Spec(Closed):
    """One model."""

    essential = frozenset({"input"})
    judged_in_part = True

    slug: Annotated[str, Field(pattern=SLUG, description="The name in the API's URL.")]
    title: Annotated[Line, Field(description="The name for people.")]
    summary: Annotated[Sentence, Field(description="One sentence of our own.")]
    returns: Annotated[Literal["video", "image", "audio", "text"], Field(description="What the model makes.")]
    latency_seconds: Annotated[
        Seconds | None, Field(description="The page's average; null where it gives none.")
    ]
    pricing: Annotated[Pricing | MISSING, Field(description="The page's price line as figures.")] = MISSING
    source: Annotated[Source, Field(description="Where the facts come from.")]
    input: Annotated[Input, Field(description="The parameters.")]
    rules: Annotated[list[Rule], Field(description="Conditions between parameters.")] = []
    discrepancies: Annotated[
        list[Discrepancy], Field(description="Where the page contradicts itself, and what was decided.")
    ] = []
    examples: Annotated[list[Example], Field(description="Inputs that the model takes.")] = []
    lint: Annotated[list[Silence], Field(description="Findings of lint that are right as they are.")] = []

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        known = self.input.properties
        broken = [
            (("rules", index, *at), what)
            for index, rule in enumerate(self.rules)
            for at, what in rule.misfits(known, self.input.required)
        ]
        yield from broken
        for index, example in enumerate(self.examples):
            found = list(violations(self.input.as_schema(), example.input))
            if not found and not broken:
                found = [((), what) for what in _broken(self.rules, example.input, known)]
            for at, what in found:
                yield ("examples", index, "input", *at), what.of(f"the example:{_dotted(at)}")


class Key(Closed):
    """How a request is authenticated."""

    header: Annotated[Text, Field(description="The header that carries the key.")]
    environment: Annotated[Text, Field(description="The environment variable that holds the key.")]


class Paths(Closed):
    """The calls of the gateway, below its base URL."""

    submit: Annotated[str, Field(pattern=_SUBMIT, description="Starts a job; has {slug}.")]
    status: Annotated[str, Field(pattern=_REQUEST, description="The state of a job; has {request_id}.")]
    result: Annotated[str, Field(pattern=_REQUEST, description="What a job made; has {request_id}.")]
    credits: Annotated[str, Field(pattern=_PATH, description="What is left on the account.")]


class State(Closed):
    """A state of a job."""

    name: Annotated[Text, Field(description="As the gateway writes it.")]
    meaning: Annotated[Text, Field(description="What it says of the job.")]
    terminal: Annotated[bool, Field(description="Whether nothing changes any more.")]


class Error(Closed):
    """A status code, and what a submit that was answered with it may do."""

    status: Annotated[int, Field(ge=400, le=599, description="The HTTP status.")]
    name: Annotated[Text, Field(description="As the documentation calls it.")]
    meaning: Annotated[Text, Field(description="What went wrong.")]
    submit: Annotated[
        Literal["safe", "never", "uncertain"],
        Field(description="Whether the submit may be repeated, will never do, or may have started a job."),
    ]
    source: Annotated[
        Literal["seed", "docs", "client", "digest"], Field(description="Where the fact comes from.")
    ]


class Gateway(Closed):
    """gateway.yaml: what all models share."""

    essential = frozenset({"states", "errors"})
    judged_in_part = True

    base_url: Annotated[str, Field(pattern=_ORIGIN, description="Where the gateway is.")]
    key: Annotated[Key, Field(description="How a request is authenticated.")]
    paths: Annotated[Paths, Field(description="The calls, below base_url.")]
    record_lifetime_seconds: Annotated[int, Field(gt=0, description="How long the gateway knows a job.")]
    output_lifetime_seconds: Annotated[int, Field(gt=0, description="How long an output can be fetched.")]
    states: Annotated[list[State], Field(min_length=1, description="The states of a job.")]
    errors: Annotated[list[Error], Field(min_length=1, description="What each status code means.")]

    def problems(self) -> Iterator[Problem]:
        """See Closed."""
        for index in repeated(state.name for state in self.states):
            yield ("states", index, "name"), Message(f"the state {self.states[index].name} is there twice")
        for index in repeated(error.status for error in self.errors):
            yield (
                ("errors", index, "status"),
                Message(f"the status {self.errors[index].status} is there twice"),
            )


def violations(schema: Schema, value: Any) -> Iterator[Problem]:
    """Yield where `value` breaks `schema`."""
    if schema.nullable and _is("null", value):
        return
    if not _is(schema.kind, value):
        yield (), wrong_kind(schema.kind, value)
        return
    given = schema.given()
    if "enum" in given and value not in given["enum"]:
        allowed = given["enum"]
        yield (), Message(f"{shown(value)} is not allowed", _listed(allowed), closest(value, allowed))
    if "format" in given and not (isinstance(value, str) and re.fullmatch(HTTP_URL, value)):
        yield (
            (),
            Message(f"{shown(value)} is not an http or https URL", "such as https://example.com/cat.png"),
        )
    yield from (((), what) for what in _out_of_range(given, value))
    parts: Iterable[tuple[str | int, Schema, Any]] = ()
    if schema.items is not MISSING and isinstance(value, list):
        parts = [(index, schema.items, item) for index, item in enumerate(cast("Sequence[Any]", value))]
    if schema.properties is not MISSING and isinstance(value, dict):
        known, value = schema.properties, cast("dict[str, Any]", value)
        yield from (
            ((), Message(f"lacks the required {name}"))
            for name in given.get("required", ())
            if name not in value
        )
        for name in value:
            if name not in known:
                meant = closest(name, known)
                yield (name,), Message("is no parameter", "" if meant else ", ".join(known), meant, key=True)
        parts = [(name, known[name], item) for name, item in value.items() if name in known]
    for name, part, item in parts:
        yield from (((name, *at), what) for at, what in violations(part, item))


def _out_of_range(given: Mapping[str, Any], value: Any) -> Iterator[Message]:
    for (low, high), (kind, noun) in RANGES.items():
        if not _is(kind, value):
            continue
        size = len(value) if noun else value
        said = f"{shown(value)} has {size} {noun}, which" if noun else shown(value)
        if low in given and size < given[low]:
            yield Message(f"{said} is below {low} {given[low]}")
        if high in given and size > given[high]:
            yield Message(f"{said} is above {high} {given[high]}")


def editor_schemas() -> dict[str, str]:
    """Return the JSON Schemas (draft-07, as editors want it) of spec files and of gateway.yaml, by file name."""
    return {
        "spec.schema.json": _editor_schema(Spec, "A model spec of kling-adapters"),
        "gateway.schema.json": _editor_schema(Gateway, "What all models of kling-adapters share"),
    }


def _editor_schema(model: type[Closed], title: str) -> str:
    made = model.model_json_schema(ref_template="#/definitions/{model}", schema_generator=_WithoutFieldTitles)
    schema = {
        "$comment": "Generated by kling-codegen from its language.py.",
        "$schema": "http://json-schema.org/draft-07/schema#",
        **made,
        "title": title,
        "definitions": made["$defs"],
    }
    del schema["$defs"]
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


class _WithoutFieldTitles(GenerateJsonSchema):
    """Editors show titles, and those that pydantic makes of field names say nothing."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def shown(value: Any) -> str:
    """Return a value as a spec would have it, on one line that is not too long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def closest(value: Any, known: Iterable[Any]) -> str:
    """Return the one of `known` that `value` may be a misspelling of, or nothing."""
    words = [word for word in known if isinstance(word, str)]
    if not isinstance(value, str):
        return str(value) if str(value) in words else ""
    small = {word.lower(): word for word in words}
    found = difflib.get_close_matches(value.lower(), small, n=1)
    return small[found[0]] if found else ""


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(shown, values))


def _bare(kind: Any) -> str:
    return str(cast("Sequence[Any]", kind)[0] if isinstance(kind, list) else kind)


_BOOLEAN_WORDS = {
    "on": "true",
    "yes": "true",
    "true": "true",
    "off": "false",
    "no": "false",
    "false": "false",
}


def wrong_kind(kind: str, value: Any) -> Message:
    """Say that a value is of another type than `kind`, and how it may have been meant."""
    meant = ""
    if kind == "string" and isinstance(value, int | float):
        meant = f'"{shown(value)}"'
    elif kind in ("integer", "number") and isinstance(value, str):
        digits = value.replace("_", "")
        meant = (
            digits
            if re.fullmatch(r"-?[0-9]+" if kind == "integer" else r"-?[0-9]+(\.[0-9]+)?", digits)
            else ""
        )
    elif kind == "boolean":
        meant = _BOOLEAN_WORDS.get(str(value).lower(), "")
    return Message(f"{shown(value)} is not of type {kind}", "true, false" if kind == "boolean" else "", meant)


def _is(kind: str, value: Any) -> bool:
    if kind == UNKNOWN:
        return True
    # To Python, True is an int.
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, PYTHON_TYPES[kind]) and not (
        isinstance(value, float) and not math.isfinite(value)
    )


def _misplaced_required(required: list[str], properties: Mapping[str, Schema]) -> Iterator[Problem]:
    for index in repeated(required):
        yield ("required", index), Message(f"{required[index]} is there twice")
    for index, name in enumerate(required):
        if name not in properties:
            meant = closest(name, properties)
            yield ("required", index), Message(f"{name} is required but is no property", "", meant)
        elif "default" in properties[name].model_fields_set:
            yield ("properties", name, "default"), Message(f"{name} is required, so it cannot have a default")


def _broken(
    rules: Iterable[Rule], example: Mapping[str, Any], properties: Mapping[str, Schema]
) -> Iterator[Message]:
    """Yield which rules an example breaks that fits the schema."""
    given = {name: value for name, value in example.items() if value is not None}
    defaults = {name: schema.default for name, schema in properties.items() if schema.default is not MISSING}
    for rule in rules:
        if condition := rule.condition():
            yield from condition[1].broken(given, {**defaults, **example})


def repeated(values: Iterable[Any]) -> Iterator[int]:
    """Yield the index of each value that was there before."""
    # By repr: to Python, 1 and True are the same.
    seen: set[str] = set()
    for index, value in enumerate(values):
        if repr(value) in seen:
            yield index
        seen.add(repr(value))


def dotted(at: Location) -> str:
    """Return a location as text: rules[0].requires.field."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at).lstrip(".")


def _dotted(at: Location) -> str:
    return f" {dotted(at)}" if at else ""
