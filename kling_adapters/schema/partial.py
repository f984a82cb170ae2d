"""Parameters of a model whose documentation was not seen to the end: unknown ones are accepted with a warning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias, cast

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from kling_adapters.media.inputs import check_media
from kling_adapters.media.reader import MediaError, is_local
from kling_adapters.schema.params import Params


class _Unchecked:
    """Accepts any JSON value, and local media in it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_validate_unchecked)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {}


def _validate_unchecked(value: Any) -> Any:
    try:
        return _read_json(value)
    except (MediaError, ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, MediaError) else "not a JSON value"
        raise PydanticCustomError("unchecked", "Input is {reason}", {"reason": reason}) from None


def _read_json(value: Any) -> Any:
    """Return a JSON value with lists for tuples. Raises MediaError or ValueError."""
    if is_local(value):
        check_media(value)
    elif isinstance(value, str):
        value.encode()
    elif type(value) is int:
        str(value)  # Python writes no number of more than 4300 digits
    elif isinstance(value, list | tuple):
        return [_read_json(item) for item in cast("Sequence[Any]", value)]
    elif isinstance(value, dict):
        members = cast("Mapping[Any, Any]", value)
        return {_read_name(name): _read_json(member) for name, member in members.items()}
    elif not (value is None or type(value) is bool or (type(value) is float and math.isfinite(value))):
        raise ValueError
    return value


def _read_name(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError  # noqa: TRY004  one error for everything that is not JSON
    name.encode()
    return name


Unchecked: TypeAlias = Annotated[Any, _Unchecked()]
"""The value of a parameter that no spec describes."""


class PartialParams(Params, extra="allow"):
    """The parameters of a model whose documentation was not seen to the end.

    A parameter that the spec does not have is accepted with an UnknownParameter warning, and sent as it is. Known
    parameters are checked as ever.
    """

    __pydantic_extra__: dict[str, Unchecked] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]
