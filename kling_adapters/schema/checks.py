"""Validation of a parameter model as a whole: its fields and its rules, with every error at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from pydantic import MISSING, ValidationError, ValidatorFunctionWrapHandler
from pydantic_core import InitErrorDetails, core_schema

from kling_adapters.schema.deprecations import warn_of_deprecated
from kling_adapters.schema.explain import repeat_errors, rule_error
from kling_adapters.schema.fields import (
    Model,
    dump_set_fields,
    iter_length_errors,
    iter_members,
    read_parameters,
)
from kling_adapters.schema.renames import replace_old_names
from kling_adapters.schema.rules import Rule
from kling_adapters.schema.unknown import warn_of_unknown

REPEATED: Final = {"kling_adapters": "the parameters were validated before"}
"""Context of a second validation, which issues no warnings."""


class Checks:
    """Wrap validator of a model. pydantic stops at the first error of a field; this adds the errors it skips.

    Args:
        model: The parameter model.
        get_rules: Returns the rules of the model, which is not complete yet while its validator is created.

    """

    def __init__(self, model: Model, get_rules: Callable[[], Sequence[Rule]]) -> None:
        self._model = model
        self._get_rules = get_rules

    def __call__(
        self, data: Any, validate: ValidatorFunctionWrapHandler, info: core_schema.ValidationInfo
    ) -> Any:
        """Return the validated fields in pydantic's internal form. Raises ValidationError."""
        is_quiet = info.context is REPEATED
        if isinstance(data, Mapping):
            data = replace_old_names(self._model, cast("Mapping[str, Any]", data), is_quiet=is_quiet)
        fields = self._validate(data, validate)
        if isinstance(data, Mapping) and not is_quiet:
            warn_of_deprecated(self._model, cast("Mapping[str, Any]", data))
            warn_of_unknown(self._model, cast("Mapping[str, Any]", data))
        return fields

    def _validate(self, data: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            fields = validate(data)
        except ValidationError as error:
            if not isinstance(data, Mapping):
                raise
            errors = repeat_errors(error)
            reported = {(details["type"], details["loc"]) for details in error.errors(include_input=False)}
            errors += self._iter_skipped_errors(cast("Mapping[str, Any]", data), reported)
        else:
            if not self._get_rules():
                return fields
            members, _, names = fields
            set_members = {name: member for name, member in members.items() if name in names}
            errors = list(
                self._iter_rule_errors(self._dump(members, with_defaults=True), self._dump(set_members))
            )
            if not errors:
                return fields
        raise ValidationError.from_exception_data(self._model.__name__, errors) from None

    def _iter_skipped_errors(
        self, data: Mapping[str, Any], reported: set[tuple[str, tuple[str | int, ...]]]
    ) -> Iterator[InitErrorDetails]:
        for details in iter_length_errors(self._model, (), data):
            if (details["type"], details.get("loc")) not in reported:
                yield details
        if self._get_rules():
            members = {name: value for name, value, _ in iter_members(self._model, data)}
            values = read_parameters(self._model, members, with_defaults=True)
            yield from self._iter_rule_errors(values, read_parameters(self._model, members))

    def _iter_rule_errors(
        self, values: Mapping[str, Any], set_values: Mapping[str, Any]
    ) -> Iterator[InitErrorDetails]:
        """Yield the problems of the rules; see Rule for the arguments."""
        unchecked: frozenset[str] = getattr(self._model, "unchecked", frozenset())
        for rule in self._get_rules():
            for problem in rule.problems(values, set_values):
                if not _is_within(problem.path, unchecked):
                    yield rule_error(self._model, problem)

    def _dump(self, members: Mapping[str, Any], *, with_defaults: bool = False) -> dict[str, Any]:
        """Return validated fields by the gateway's names, as plain data."""
        fields = self._model.model_fields
        return {
            fields[name].alias or name: dump_set_fields(member, with_defaults=with_defaults)
            for name, member in members.items()
            if member is not MISSING
        }


def _is_within(path: str, names: frozenset[str]) -> bool:
    """Return whether a path is that of one of these parameters, or of a part of one."""
    return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in names)
