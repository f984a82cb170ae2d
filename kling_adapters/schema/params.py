"""Base classes of the generated parameter models."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from kling_adapters.errors import ConfigError, ParamsInvalid
from kling_adapters.media.inputs import describe_media, replace_media
from kling_adapters.media.reader import LocalMedia
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.checks import Checks
from kling_adapters.schema.core_lists import move_lists_to_core
from kling_adapters.schema.explain import explain, refuses_value
from kling_adapters.schema.fields import dump_set_fields
from kling_adapters.schema.renames import field_name, find_renamed, warn_of_old_name


class Part(BaseModel):
    """Base of all generated models, nested ones included: closed, strict, frozen."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        frozen=True,
        validate_by_name=True,
        # No real limit, but pydantic rejects lone surrogates, which cannot be sent, in texts that have one.
        str_max_length=sys.maxsize,
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler, /) -> CoreSchema:
        schema = handler(source)
        move_lists_to_core(handler.resolve_ref_schema(schema))
        return schema

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        _remove_unreal_limits(handler.resolve_ref_schema(schema).get("properties"))
        return schema


def _remove_unreal_limits(schema: Any) -> None:
    """Remove the str_max_length of Part from a JSON Schema."""
    if isinstance(schema, dict):
        parts = cast("dict[str, Any]", schema)
        if parts.get("maxLength") == sys.maxsize:
            del parts["maxLength"]
        for part in parts.values():
            _remove_unreal_limits(part)
    elif isinstance(schema, list):
        for part in schema:  # pyright: ignore[reportUnknownVariableType]  mypy knows the type
            _remove_unreal_limits(part)


class Params(Part):
    """The parameters of one model, valid from construction.

    As a part of another pydantic model, in a union or in a TypeAdapter, pydantic raises its own
    ValidationError. Parameters can be copied and pickled, except with an open file in them: use a Path or
    bytes instead.

    Args:
        **data: The parameters by name.

    Raises:
        ParamsInvalid: The parameters violate the spec; it has every problem.

    """

    adapter: ClassVar[Adapter]
    unchecked: ClassVar[frozenset[str]] = frozenset()
    """Parameters that take any value, because a call asks for it; empty for every generated model."""

    def wire(self) -> dict[str, Any]:
        """Return the JSON body to send: the set parameters, by the gateway's names and in the declared types.

        Returns:
            The body.

        Raises:
            ConfigError: A parameter is local media, which only a client can upload.

        """
        body: dict[str, Any] = replace_media(dump_set_fields(self), _refuse_media)
        return body

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise self._make_error(error) from None

    # Marks it as pydantic's own __init__: pydantic would call any other one, which raises ParamsInvalid, for
    # a part of another model, too.
    functools.update_wrapper(__init__, BaseModel.__init__)

    if not TYPE_CHECKING:  # to type checkers, an old name is not an attribute

        def __getattr__(self, name: str) -> Any:
            if name not in find_renamed(type(self)):
                return super().__getattr__(name)
            warn_of_old_name(type(self), name)
            return getattr(self, field_name(type(self), find_renamed(type(self))[name]))

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """See pydantic. Raises ParamsInvalid."""
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise cls._make_error(error) from None

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """See pydantic. Raises ParamsInvalid."""
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError as error:
            raise cls._make_error(error) from None

    @classmethod
    def model_validate_strings(cls, obj: Any, **options: Any) -> Self:
        """See pydantic. Raises ParamsInvalid."""
        try:
            return super().model_validate_strings(obj, **options)
        except ValidationError as error:
            raise cls._make_error(error) from None

    @classmethod
    def _make_error(cls, error: ValidationError) -> ParamsInvalid:
        errors = error.errors(include_url=False)
        return ParamsInvalid(cls.adapter.slug, explain(cls, errors), can_be_unchecked=refuses_value(errors))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler, /) -> CoreSchema:
        schema = super().__get_pydantic_core_schema__(source, handler)
        # The validator wraps the fields and not the model, so that a union still sees a model and names it.
        model: Any = handler.resolve_ref_schema(schema)
        while model["type"] != "model":
            model = model["schema"]
        fields = model["schema"]
        # As a part of another model, a model brings the schema that it already has.
        if not isinstance(fields.get("function", {}).get("function"), Checks):
            checks = Checks(cls, lambda: cls.adapter.rules)
            model["schema"] = core_schema.with_info_wrap_validator_function(checks, fields)
        return schema


def _refuse_media(media: LocalMedia) -> NoReturn:
    raise ConfigError(f"{describe_media(media)} has not been uploaded: submit() and run() upload it")
