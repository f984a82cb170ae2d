"""The types of parameters that Python and pydantic have no name for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO, Annotated, Any, TypeAlias, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

from kling_adapters.media.inputs import check_media
from kling_adapters.media.reader import MediaError
from kling_adapters.media.urls import HTTP_URL, decode_data_url, is_http_url

T = TypeVar("T")

# Patterns of JSON Schema cannot contain lone surrogates.
_URL_IN_JSON = f"^{HTTP_URL}$".replace(r"\ud800-\udfff", "")

MEDIA = "a URL such as https://example.com/cat.png, a Path, bytes, or a file opened in mode 'rb'"


class _Media:
    """Takes a URL or local media; of a data: URL, what it holds is kept."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_media)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "format": "uri", "pattern": _URL_IN_JSON}


def _media(value: Any) -> Any:
    if is_http_url(value):
        return value
    try:
        if isinstance(value, str) and value.startswith("data:"):
            value = decode_data_url(value)
        check_media(value)
    except MediaError as error:
        raise PydanticCustomError(
            "media", "Input is {problem}; expected {expected}", {"problem": str(error), "expected": MEDIA}
        ) from None
    return value


Media: TypeAlias = Annotated[str | Path | bytes | bytearray | memoryview | IO[bytes], _Media()]
"""The http or https URL of a media file, or the file itself, which is uploaded before the job is submitted.

A file is a Path, its bytes, a file opened in binary mode, or a data: URL in base64. A URL is kept as the text it is: a
parsed and printed URL can lose its signature.
"""


class TextOrInteger:
    """Lets an integer of a Literal come as its text and the other way round; see IntOrStr."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        if schema["type"] != "literal":
            raise TypeError(f"IntOrStr takes a Literal, not {source!r}")
        choices = schema["expected"]
        declared_forms = pair_forms(choices)
        expected = " or ".join(map(repr, choices))

        def coerce(value: Any) -> Any:
            # True, 1.0 and Decimal(1) equal 1, and a Literal would take them for it.
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise PydanticKnownError("literal_error", {"expected": expected})
            return declared_forms.get(value, value)

        return core_schema.no_info_before_validator_function(coerce, schema)


def pair_forms(choices: Iterable[Any]) -> dict[Any, Any]:
    """Return each of the choices by its other form: 5 by "5", and "5" by 5."""
    return {str(choice) if isinstance(choice, int) else int(choice): choice for choice in choices}


IntOrStr: TypeAlias = Annotated[T, TextOrInteger()]
"""`IntOrStr[Literal[5, 10]]` also takes "10", and `IntOrStr[Literal["3"]]` also 3, as the pages' own examples send them.

What is sent is the declared type. Nothing else is accepted: not " 5", "05", 5.0 or True."""


class _BooleanFirst:
    """Refuses what only equals one of the booleans of a Literal; see BoolOnly."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.chain_schema([core_schema.bool_schema(strict=True), handler(source)])

    def __get_pydantic_json_schema__(
        self, schema: core_schema.ChainSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(schema["steps"][-1])


BoolOnly: TypeAlias = Annotated[T, _BooleanFirst()]
"""`BoolOnly[Literal[True]]` takes True alone; a Literal without it would take 1 as well, which equals it."""
