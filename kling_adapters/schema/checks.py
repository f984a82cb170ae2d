"""Validation of a parameter model as a whole: its fields and its rules, with every error at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from pydantic import ValidationError, ValidatorFunctionWrapHandler
from pydantic_core import InitErrorDetails, core_schema

from kling_adapters.schema.declared import Model, Shape
from kling_adapters.schema.deprecations import has_deprecated, warn_of_deprecated
from kling_adapters.schema.explain import repeat_errors, rule_error
from kling_adapters.schema.fields import find_length_errors
from kling_adapters.schema.renames import find_renamed, replace_old_names
from kling_adapters.schema.rule_values import CallValues, ValidValues
from kling_adapters.schema.rules import Rule
from kling_adapters.schema.unknown import accepts_unknown, find_repeated_names, warn_of_unknown

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
        if not self._can_warn or not isinstance(data, Mapping):
            return self._validate(data, validate)
        call = replace_old_names(self._model, cast("Mapping[str, Any]", data))
        fields = self._validate(call, validate)
        if info.context is not REPEATED:
            warn_of_deprecated(self._model, call)
            warn_of_unknown(self._model, call)
        return fields

    @functools.cached_property
    def _can_warn(self) -> bool:
        """True if a call can have an old, a deprecated or an unknown name."""
        model = self._model
        return bool(find_renamed(model)) or has_deprecated(model) or accepts_unknown(model)

    def _validate(self, data: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            fields = validate(data)
        except ValidationError as error:
            if not isinstance(data, Mapping):
                raise
            skipped_errors = list(self._iter_skipped_errors(cast("Mapping[str, Any]", data), error))
            if not skipped_errors:
                raise
            errors = repeat_errors(error) + skipped_errors
        else:
            rules, repeated = self._get_rules(), find_repeated_names(self._model, data)
            if not rules and not repeated:
                return fields
            members, _, set_names = fields
            set_values = ValidValues(self._model, members, set_names)
            errors = list(self._iter_rule_errors(rules, ValidValues(self._model, members), set_values))
            errors += repeated
            if not errors:
                return fields
        raise ValidationError.from_exception_data(self._model.__name__, errors) from None

    def _iter_skipped_errors(
        self, data: Mapping[str, Any], error: ValidationError
    ) -> Iterator[InitErrorDetails]:
        yield from find_repeated_names(self._model, data)
        lengths = find_length_errors(Shape(self._model, None, ()), data)
        if lengths:
            reported = {(details["type"], details["loc"]) for details in error.errors(include_input=False)}
            yield from (
                details for details in lengths if (details["type"], details.get("loc")) not in reported
            )
        values = CallValues(self._model, data, with_defaults=True)
        yield from self._iter_rule_errors(self._get_rules(), values, CallValues(self._model, data))

    def _iter_rule_errors(
        self, rules: Sequence[Rule], values: Mapping[str, Any], set_values: Mapping[str, Any]
    ) -> Iterator[InitErrorDetails]:
        """Yield the problems of the rules; see Rule for the arguments."""
        for rule in rules:
            for problem in rule.problems(values, set_values):
                if not _is_within(problem.path, getattr(self._model, "unchecked", frozenset())):
                    yield rule_error(self._model, problem)


def _is_within(path: str, names: frozenset[str]) -> bool:
    """Return whether a path is that of one of these parameters, or of a part of one."""
    return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in names)
