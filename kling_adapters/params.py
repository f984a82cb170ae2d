"""The base of every generated parameter model, and the report of everything that is wrong with one."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import (
    IO,
    Annotated,
    Any,
    ClassVar,
    Literal,
    NoReturn,
    Self,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

from annotated_types import MaxLen, MinLen
from pydantic import (
    MISSING,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, PydanticKnownError, core_schema

from kling_adapters import inputs
from kling_adapters.adapter import Adapter
from kling_adapters.errors import ConfigError, ParamsInvalid, Problem

T = TypeVar("T")

# As in the packaged schemas, but for half characters, which are no text that could be sent.
HTTP_URL = r"https?://[^\s\x00-\x1f\x85\ufeff\ud800-\udfff/?#][^\s\x00-\x1f\x85\ufeff\ud800-\udfff]*"


class _Media:
    """Takes a URL or local media; of a data: URL, what it holds is kept."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_media)


def _media(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(HTTP_URL, value):
        return value
    try:
        if isinstance(value, str) and value.startswith("data:"):
            value = inputs.from_data_url(value)
        inputs.check(value)
    except inputs.Unusable as error:
        raise PydanticCustomError("media", "{problem}", {"problem": str(error)}) from None
    return value


Media: TypeAlias = Annotated[str | Path | bytes | bytearray | memoryview | IO[bytes], _Media()]
"""The http or https URL of a media file, or the file itself, which is uploaded before the job is submitted.

A file is a Path, its bytes, a file opened in binary mode, or a data: URL in base64. A URL is kept as the text it is: a
parsed and printed URL can lose its signature.
"""


class _TextOrInteger:
    """Lets an integer of a Literal come as its text and the other way round; see Lenient."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        if schema["type"] != "literal":
            raise TypeError(f"Lenient takes a Literal, not {source!r}")
        twins = _twins(schema["expected"])

        def untwin(value: Any) -> Any:
            # True, 1.0 and Decimal(1) equal 1, and a Literal would take them for it.
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise PydanticKnownError("literal_error", {"expected": repr(source)})
            return twins.get(value, value)

        return core_schema.no_info_before_validator_function(untwin, schema)


def _twins(choices: Iterable[Any]) -> dict[Any, Any]:
    """Return each of the choices by its other form."""
    return {str(choice) if isinstance(choice, int) else int(choice): choice for choice in choices}


Lenient: TypeAlias = Annotated[T, _TextOrInteger()]
"""`Lenient[Literal[5, 10]]` also takes "10", and `Lenient[Literal["3"]]` also 3, as the pages' own examples send them.

What is sent is the declared type. Nothing else is accepted: not " 5", "05", 5.0 or True."""


class _BooleanFirst:
    """Refuses what only equals one of the booleans of a Literal; see Exact."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.chain_schema([core_schema.bool_schema(strict=True), handler(source)])


Exact: TypeAlias = Annotated[T, _BooleanFirst()]
"""`Exact[Literal[True]]` takes True alone; a Literal without it would take 1 as well, which equals it."""


class Part(BaseModel):
    """The base of every generated model, nested ones included: closed, strict, frozen."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        frozen=True,
        validate_by_name=True,
        # It bounds nothing, but a text that is measured may have no half characters, which could not be sent.
        str_max_length=sys.maxsize,
    )


class Params(Part):
    """The parameters of one model, valid from the moment they exist.

    Raises ParamsInvalid, with every problem at once, when constructed from something the spec does not allow.
    """

    adapter: ClassVar[Adapter]

    def wire(self) -> dict[str, Any]:
        """Return the JSON body to send: only what was set, under the gateway's names and in the declared types.

        Raises ConfigError while there is local media in it: only a client can upload it.
        """
        body: dict[str, Any] = inputs.replaced(given(self), _not_uploaded)
        return body

    @model_validator(mode="wrap")
    @classmethod
    def _report_everything(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            params = handler(data)
        except ValidationError as error:
            problems = [_explain(cls, details) for details in error.errors(include_url=False)]
            if isinstance(data, Mapping):
                told = cast("Mapping[str, Any]", data)
                # pydantic reports a list as too long or its items as wrong, not both.
                problems += [problem for problem in _lengths(cls, (), told, "") if problem not in problems]
                problems += cls._broken_rules(_read(cls, told))
            raise ParamsInvalid(cls.adapter.slug, problems) from None
        problems = cls._broken_rules(given(params))
        if problems:
            raise ParamsInvalid(cls.adapter.slug, problems)
        return params

    @classmethod
    def _broken_rules(cls, told: Mapping[str, Any]) -> list[Problem]:
        defaults = {
            field.alias or name: given(field.default)
            for name, field in cls.model_fields.items()
            if not field.is_required() and field.default is not MISSING
        }
        return [
            problem for rule in cls.adapter.rules for problem in rule.problems(defaults | dict(told), told)
        ]


def given(value: Any) -> Any:
    """Return what was set, under the gateway's names; model_dump() would take a file for a list of lines."""
    if isinstance(value, Part):
        aliases = {name: field.alias or name for name, field in type(value).model_fields.items()}
        return {
            aliases.get(name, name): given(member)
            for name, member in vars(value).items()
            if name in value.model_fields_set and member is not MISSING
        }
    if isinstance(value, list | tuple):
        return [given(item) for item in cast("Sequence[Any]", value)]
    return value


def _read(model: type[BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters of which some are wrong as `given` has those that are right."""
    read: dict[str, Any] = {}
    for wire, value, field in _members(model, data):
        parts = (*field.metadata, *_within(field.annotation))
        lenient = any(isinstance(part, _TextOrInteger) for part in parts) and type(value) in (str, int)
        read[wire] = _twins(_literals(field.annotation)).get(value, value) if lenient else given(value)
    return read


def _members(model: type[BaseModel], data: Mapping[str, Any]) -> Iterator[tuple[str, Any, FieldInfo]]:
    """Yield what is set of the fields of a model, by either of their names, under the gateway's."""
    for name, field in model.model_fields.items():
        wire = field.alias or name
        value = data.get(wire, data.get(name, MISSING))
        if value is not MISSING:
            yield wire, value, field


def _not_uploaded(media: inputs.Local) -> NoReturn:
    raise ConfigError(f"{inputs.named(media)} has not been uploaded: submit() and run() do that")


_MEDIA = "a URL such as https://example.com/cat.png, a Path, bytes, or a file opened in mode 'rb'"


def _explain(model: type[BaseModel], details: ErrorDetails) -> Problem:  # noqa: C901, PLR0911, PLR0912  one case an error
    """Say one pydantic error in words a caller can act on."""
    path, value, context = details["loc"], details["input"], details.get("ctx", {})
    name = _path(path)
    shown = _shorten(value)
    match details["type"]:
        case "extra_forbidden":
            holder = _model_at(model, path[:-1])
            known = _names(holder) if holder else []
            return Problem(name, "unknown parameter", value, suggestion=_closest(str(path[-1]), known))
        case "missing":
            return Problem(name, "required, but missing")
        case "literal_error":
            choices = _choices(model, path)
            closest = _closest(value, [choice for choice in choices if isinstance(choice, str)])
            return Problem(name, f"{shown} is not allowed", value, ", ".join(map(repr, choices)), closest)
        case "media":
            return Problem(name, f"{shown} is {context['problem']}", value, _MEDIA)
        case "greater_than_equal":
            return Problem(name, f"{shown} is too small", value, f"at least {context['ge']:g}")
        case "less_than_equal":
            return Problem(name, f"{shown} is too large", value, f"at most {context['le']:g}")
        case "string_too_long":
            return Problem(
                name, f"{len(value)} characters are too many", value, f"at most {context['max_length']}"
            )
        case "string_too_short":
            return Problem(
                name, f"{len(value)} characters are too few", value, f"at least {context['min_length']}"
            )
        case "too_long":
            return _too_many(name, value, context["actual_length"], context["max_length"])
        case "too_short":
            return _too_few(name, value, context["actual_length"], context["min_length"])
        case "string_type":
            return Problem(name, f"{shown} is not text", value)
        case "string_unicode":
            return Problem(name, f"{shown} has half a character (a lone surrogate)", value)
        case "int_type" | "int_from_float":
            return Problem(name, f"{shown} is not an integer", value)
        case "float_type" | "finite_number":
            return Problem(name, f"{shown} is not a finite number", value)
        case "bool_type":
            return Problem(name, f"{shown} is not true or false", value)
        case "sequence_str" | "is_instance_of" | "list_type":
            return Problem(name, f"{shown} is not a list", value)
        case "model_type" | "model_attributes_type" | "dict_type":
            return Problem(name, f"{shown} is not an object with parameters", value)
        case _:
            return Problem(name, f"{shown}: {details['msg'][0].lower()}{details['msg'][1:]}", value)


def _lengths(annotation: Any, limits: Iterable[Any], value: Any, path: str) -> Iterator[Problem]:
    """Yield every list, at any depth, that has too many or too few items; `limits` are those beside the annotation."""
    for kind, beside in _kinds(annotation, limits):
        if isinstance(value, Mapping) and isinstance(kind, type) and issubclass(kind, BaseModel):
            for wire, member, field in _members(kind, cast("Mapping[str, Any]", value)):
                yield from _lengths(
                    field.annotation, field.metadata, member, f"{path}.{wire}".removeprefix(".")
                )
        if isinstance(value, list | tuple) and get_origin(kind) is Sequence:
            items = cast("Sequence[Any]", value)
            for limit in beside:
                if isinstance(limit, MaxLen) and len(items) > limit.max_length:
                    yield _too_many(path, value, len(items), limit.max_length)
                if isinstance(limit, MinLen) and len(items) < limit.min_length:
                    yield _too_few(path, value, len(items), limit.min_length)
            for number, item in enumerate(items):
                yield from _lengths(get_args(kind)[0], (), item, f"{path}[{number}]")


def _kinds(annotation: Any, limits: Iterable[Any]) -> Iterator[tuple[Any, Iterable[Any]]]:
    """Yield the types that an annotation allows, each with the limits beside it."""
    if get_origin(annotation) is Annotated:
        bare, *fields = get_args(annotation)
        more = [limit for field in fields if isinstance(field, FieldInfo) for limit in field.metadata]
        yield from _kinds(bare, [*limits, *more])
    elif get_origin(annotation) in (Union, UnionType):
        for choice in get_args(annotation):
            yield from _kinds(choice, limits)
    else:
        yield annotation, limits


def _too_many(path: str, value: Any, count: int, limit: int) -> Problem:
    return Problem(path, f"{count} items are too many", value, f"at most {limit}")


def _too_few(path: str, value: Any, count: int, limit: int) -> Problem:
    return Problem(path, f"{count} items are too few", value, f"at least {limit}")


def _path(location: Iterable[str | int]) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if step != "" else '.""'
    return text.removeprefix(".") or "parameters"


def _shorten(value: Any) -> str:
    if inputs.is_local(value):
        return inputs.named(value)
    try:
        text = repr(value)
    except ValueError:  # an integer of more than 4300 digits, or what holds one
        return "what is too long to be shown"
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


def _closest(word: Any, known: Iterable[str]) -> str | None:
    found = difflib.get_close_matches(word, list(known), n=1) if isinstance(word, str) else []
    return found[0] if found else None


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _annotation(model: type[BaseModel], name: str | int) -> Any:
    return next(
        (field.annotation for key, field in model.model_fields.items() if name in (key, field.alias)), None
    )


def _within(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and everything it is made of."""
    yield annotation
    for argument in get_args(annotation):
        yield from _within(argument)


def _model_at(model: type[BaseModel], path: Iterable[str | int]) -> type[BaseModel] | None:
    current: type[BaseModel] | None = model
    for step in path:
        if current is None or isinstance(step, int):
            continue
        parts = _within(_annotation(current, step))
        current = next(
            (part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None
        )
    return current


def _choices(model: type[BaseModel], path: tuple[str | int, ...]) -> list[Any]:
    names = [step for step in path if isinstance(step, str)]
    holder = _model_at(model, names[:-1])
    return _literals(_annotation(holder, names[-1])) if holder else []


def _literals(annotation: Any) -> list[Any]:
    return [
        choice for part in _within(annotation) if get_origin(part) is Literal for choice in get_args(part)
    ]
