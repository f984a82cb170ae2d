"""The base of every generated parameter model."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NoReturn, Self, cast

from pydantic import (
    MISSING,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, core_schema

from kling_adapters.errors import ConfigError, ParamsInvalid
from kling_adapters.media.inputs import describe_media, replace_media
from kling_adapters.media.reader import LocalMedia
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.explain import explain, repeat_errors, rule_error
from kling_adapters.schema.fields import coerce, iter_length_errors, iter_members


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

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        _drop_endless_lengths(handler.resolve_ref_schema(schema).get("properties"))
        return schema


def _drop_endless_lengths(schema: Any) -> None:
    """Remove from a JSON Schema the length that bounds nothing; see str_max_length above."""
    if isinstance(schema, dict):
        parts = cast("dict[str, Any]", schema)
        if parts.get("maxLength") == sys.maxsize:
            del parts["maxLength"]
        for part in parts.values():
            _drop_endless_lengths(part)
    elif isinstance(schema, list):
        for part in schema:  # pyright: ignore[reportUnknownVariableType]  mypy knows the type
            _drop_endless_lengths(part)


class _Checks:
    """Checks the fields of a model and its rules, and reports everything that is wrong at once."""

    def __init__(self, model: type[Params]) -> None:
        self._model = model

    def __call__(self, data: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        """Return the fields, as pydantic hands them to the model. Raises ValidationError."""
        try:
            fields = validate(data)
        except ValidationError as error:
            if not isinstance(data, Mapping):
                raise
            errors = repeat_errors(error)
            reported = {(details["type"], details["loc"]) for details in error.errors(include_input=False)}
            errors += self._iter_missed_errors(cast("Mapping[str, Any]", data), reported)
        else:
            if not self._model.adapter.rules:
                return fields
            values, _, names = fields
            errors = list(self._iter_broken_rules(self._dump_set(values, names)))
            if not errors:
                return fields
        raise ValidationError.from_exception_data(self._model.__name__, errors) from None

    def _iter_missed_errors(
        self, data: Mapping[str, Any], reported: set[tuple[str, tuple[str | int, ...]]]
    ) -> Iterator[InitErrorDetails]:
        """Yield what is wrong with parameters beside what pydantic has reported."""
        for details in iter_length_errors(self._model, (), data):
            if (details["type"], details.get("loc")) not in reported:
                yield details
        values = {
            wire: coerce(field, dump_set_fields(value))
            for wire, value, field in iter_members(self._model, data)
        }
        yield from self._iter_broken_rules(values)

    def _iter_broken_rules(self, values: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
        for rule in self._model.adapter.rules:
            for problem in rule.problems({**self._defaults, **values}, values):
                yield rule_error(problem)

    def _dump_set(self, values: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
        fields = self._model.model_fields
        return {
            fields[name].alias or name: dump_set_fields(values[name])
            for name in fields
            if name in names and values[name] is not MISSING
        }

    @functools.cached_property
    def _defaults(self) -> dict[str, Any]:
        return {
            field.alias or name: dump_set_fields(field.default)
            for name, field in self._model.model_fields.items()
            if not field.is_required() and field.default is not MISSING
        }


class Params(Part):
    """The parameters of one model, valid from the moment they exist.

    Raises ParamsInvalid, with every problem at once, when constructed from something the spec does not allow. As a
    part of another pydantic model, in a union or in a TypeAdapter, pydantic's own ValidationError says the same.
    It can be copied and pickled, unless there is an open file in it: give a Path or bytes then.
    """

    adapter: ClassVar[Adapter]

    def wire(self) -> dict[str, Any]:
        """Return the JSON body to send: only what was set, under the gateway's names and in the declared types.

        Raises ConfigError while there is local media in it: only a client can upload it.
        """
        body: dict[str, Any] = replace_media(dump_set_fields(self), _not_uploaded)
        return body

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise self._invalid(error) from None

    # Marks it as pydantic's own, as far as pydantic is concerned: one of another kind would be called, and raise
    # ParamsInvalid, also where the model is a part of another one.
    functools.update_wrapper(__init__, BaseModel.__init__)

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """See pydantic. Raises ParamsInvalid."""
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise cls._invalid(error) from None

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """See pydantic. Raises ParamsInvalid."""
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError as error:
            raise cls._invalid(error) from None

    @classmethod
    def model_validate_strings(cls, obj: Any, **options: Any) -> Self:
        """See pydantic. Raises ParamsInvalid."""
        try:
            return super().model_validate_strings(obj, **options)
        except ValidationError as error:
            raise cls._invalid(error) from None

    @classmethod
    def _invalid(cls, error: ValidationError) -> ParamsInvalid:
        return ParamsInvalid(cls.adapter.slug, explain(cls, error))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler, /) -> CoreSchema:
        schema = handler(source)
        # Within the model, so that pydantic names it by its class where it is one of a union.
        model: Any = handler.resolve_ref_schema(schema)
        while model["type"] != "model":
            model = model["schema"]
        fields = model["schema"]
        # A model that is a part of another comes with the schema that it has already.
        if not isinstance(fields.get("function", {}).get("function"), _Checks):
            model["schema"] = core_schema.no_info_wrap_validator_function(_Checks(cls), fields)
        return schema


def dump_set_fields(value: Any) -> Any:
    """Return what was set, under the gateway's names; model_dump() would take a file for a list of lines."""
    if isinstance(value, Part):
        aliases = {name: field.alias or name for name, field in type(value).model_fields.items()}
        return {
            aliases.get(name, name): dump_set_fields(member)
            for name, member in vars(value).items()
            if name in value.model_fields_set and member is not MISSING
        }
    if isinstance(value, list | tuple):
        return [dump_set_fields(item) for item in cast("Sequence[Any]", value)]
    return value


def _not_uploaded(media: LocalMedia) -> NoReturn:
    raise ConfigError(f"{describe_media(media)} has not been uploaded: submit() and run() do that")
