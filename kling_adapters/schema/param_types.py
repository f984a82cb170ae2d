"""Types of parameters that Python and pydantic lack."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, TypeAlias, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

from kling_adapters.media.inputs import check_media
from kling_adapters.media.reader import MediaError
from kling_adapters.media.urls import HTTP_URL, compile_http_url, decode_data_url
from kling_adapters.result import ArtifactKind

T = TypeVar("T")

# Patterns of JSON Schema cannot contain lone surrogates.
_URL_IN_JSON = f"^{HTTP_URL}$".replace(r"\ud800-\udfff", "")

EXPECTED_MEDIA = "a URL such as https://example.com/cat.png, a Path, bytes, or a file opened in mode 'rb'"


class _Media:
    """Accepts a URL or local media, and decodes a data: URL. `kind` is the kind of local media; None for any."""

    def __init__(self, kind: ArtifactKind | None = None) -> None:
        self.kind: ArtifactKind | None = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # Bound here, because most values are URLs, and to look this up for each takes as long as its match.
        match_url = compile_http_url().fullmatch

        def validate(value: Any) -> Any:
            return value if isinstance(value, str) and match_url(value) else self._validate(value)

        return core_schema.no_info_plain_validator_function(validate)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "format": "uri", "pattern": _URL_IN_JSON}

    def _validate(self, value: Any) -> Any:
        try:
            if isinstance(value, str) and value.startswith("data:"):
                value = decode_data_url(value)
            check_media(value, self.kind)
        except MediaError as error:
            raise PydanticCustomError(
                "media",
                "Input is {problem}; expected {expected}",
                {"problem": str(error), "expected": EXPECTED_MEDIA},
            ) from None
        return value


_UrlOrFile: TypeAlias = str | Path | bytes | bytearray | memoryview | IO[bytes]

Media: TypeAlias = Annotated[_UrlOrFile, _Media()]
"""The http or https URL of a media file, or local media, which is uploaded before the job is submitted.

Local media is a Path, bytes, a file opened in binary mode, or a base64 data: URL. A URL is sent unchanged:
parsing and formatting could break its signature.
"""


ImageMedia: TypeAlias = Annotated[_UrlOrFile, _Media("image")]
"""Media that is an image: a file of another kind is refused. What is at a URL is not checked."""

VideoMedia: TypeAlias = Annotated[_UrlOrFile, _Media("video")]
"""Media that is a video; see ImageMedia."""

AudioMedia: TypeAlias = Annotated[_UrlOrFile, _Media("audio")]
"""Media that is sound, also in a container of videos; see ImageMedia."""


class IntOrStrForms:
    """Converts between an integer and its decimal text; see IntOrStr."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        if schema["type"] != "literal":
            raise TypeError(f"IntOrStr takes a Literal, not {source!r}")
        choices = schema["expected"]
        declared_forms = map_alternate_forms(choices)
        expected = " or ".join(map(repr, choices))

        def coerce(value: Any) -> Any:
            # A Literal would accept True, 1.0 and Decimal(1), because they equal 1.
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise PydanticKnownError("literal_error", {"expected": expected})
            return declared_forms.get(value, value)

        return core_schema.no_info_before_validator_function(coerce, schema)


def map_alternate_forms(choices: Iterable[Any]) -> dict[Any, Any]:
    """Return the choices by their alternate form: 5 by "5", and "5" by 5."""
    return {str(choice) if isinstance(choice, int) else int(choice): choice for choice in choices}


IntOrStr: TypeAlias = Annotated[T, IntOrStrForms()]
"""A Literal of integers or of decimal texts that accepts both forms.

`IntOrStr[Literal[5, 10]]` also accepts "10", and `IntOrStr[Literal["3"]]` also 3: examples on the models'
pages send both. The declared form is sent. Nothing else is accepted: not " 5", "05", 5.0 or True.
"""


class _TextOr:
    """Accepts text beside a list; see TextOr."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        union: Any = handler(source)
        # Not the union itself, whose errors would name each of its members.
        _, list_schema = union["choices"]

        def choose(value: Any, validate_list: core_schema.ValidatorFunctionWrapHandler) -> Any:
            if isinstance(value, str):
                return _validate_text(value)
            if not isinstance(value, list | tuple):
                raise PydanticCustomError("form", "Input is neither text nor a list")
            return validate_list(value)

        return core_schema.no_info_wrap_validator_function(choose, list_schema)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.WrapValidatorFunctionSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "type": ["string", "array"]}


def _validate_text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PydanticKnownError("string_unicode") from None
    return value


TextOr: TypeAlias = Annotated[str | T, _TextOr()]
"""A list or text: `TextOr[Sequence[Element]]`, where the page has one form in its table and another in its prose."""


class _BoolFirst:
    """Rejects values that only equal a bool; see BoolOnly."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.chain_schema([core_schema.bool_schema(strict=True), handler(source)])

    def __get_pydantic_json_schema__(
        self, schema: core_schema.ChainSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(schema["steps"][-1])


BoolOnly: TypeAlias = Annotated[T, _BoolFirst()]
"""A Literal of bools that accepts bools only: `BoolOnly[Literal[True]]` rejects 1, which equals True."""


@dataclass(frozen=True)
class Deprecation:
    """Mark of a parameter that callers should no longer set. A call that sets it issues a warning.

    Attributes:
        since: The day from which it is deprecated, such as 2026-11-21.
        use: The replacement; None if the spec has none.

    """

    since: str
    use: str | None = None

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "deprecated": True}
