"""Conversion of the errors of pydantic to problems, and back."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError, core_schema

from kling_adapters import _text
from kling_adapters.errors import MAX_SHOWN_PROBLEMS
from kling_adapters.media.inputs import describe_media
from kling_adapters.media.reader import is_local
from kling_adapters.problems import Problem
from kling_adapters.schema.declared import Model, read_declared
from kling_adapters.schema.fields import FieldPath, find_choices, find_model
from kling_adapters.schema.param_types import EXPECTED_MEDIA
from kling_adapters.schema.paths import format_location, parse_location
from kling_adapters.schema.renames import find_renamed

_PYDANTIC_TYPES = frozenset(get_args(core_schema.ErrorType))
_MAX_NAME_LENGTH = 100
_CLOSE_RATIO = 0.6

_LIMITS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "string_too_long": ("max_length", "at most"),
    "string_too_short": ("min_length", "at least"),
    "too_long": ("max_length", "at most"),
    "too_short": ("min_length", "at least"),
}
_WRONG_TYPES = {
    "string_type": "is not text",
    "string_unicode": "contains a lone surrogate",
    "int_type": "is not an integer",
    "int_from_float": "is not an integer",
    "float_type": "is not a finite number",
    "finite_number": "is not a finite number",
    "bool_type": "is not true or false",
    "sequence_str": "is not a list",
    "is_instance_of": "is not a list",
    "list_type": "is not a list",
    "model_type": "is not an object with parameters",
    "model_attributes_type": "is not an object with parameters",
}


def explain(model: Model, errors: Sequence[ErrorDetails]) -> list[Problem]:
    """Return every problem that pydantic has found with the parameters of a model."""
    return [
        _explain(model, details, is_shown=number < MAX_SHOWN_PROBLEMS)
        for number, details in enumerate(errors)
    ]


def refuses_value(errors: Sequence[ErrorDetails]) -> bool:
    """Return whether pydantic refuses the value of a parameter, which the gateway may take nevertheless."""
    return any(details["loc"] and details["type"] not in ("missing", "extra_forbidden") for details in errors)


def rule_error(model: Model, problem: Problem) -> InitErrorDetails:
    """Return the violation of a rule as an error of pydantic."""
    context = {"problem": _text.escape(_text.shorten(problem.message))}
    template = "{problem}"
    if problem.allowed:
        context["allowed"] = problem.allowed
        template += "; allowed: {allowed}"
    error = PydanticCustomError("rule", template, context)
    path = problem.path
    location = (path,) if path in read_declared(model) else parse_location(path)
    return InitErrorDetails(type=error, loc=location, input=problem.value)


def repeat_errors(error: ValidationError) -> list[InitErrorDetails]:
    """Return the errors of pydantic in the form that a new ValidationError takes."""
    return [
        InitErrorDetails(
            type=details["type"] if details["type"] in _PYDANTIC_TYPES else _repeat_custom_error(details),
            loc=details["loc"],
            input=details["input"],
            ctx=details.get("ctx", {}),
        )
        for details in error.errors(include_url=False)
    ]


def _repeat_custom_error(details: Any) -> PydanticCustomError:
    # The message is final and not a template; the type of PydanticCustomError allows literal texts only.
    return PydanticCustomError(details["type"], details["msg"], details.get("ctx"))


def _explain(model: Model, details: ErrorDetails, *, is_shown: bool) -> Problem:
    """Return one error as a problem. Suggestions take time, and only those of shown problems are made."""
    location, value, context = details["loc"], details["input"], details.get("ctx", {})
    allowed: str | None = None
    suggestion: str | None = None
    file: str | None = None
    match details["type"]:
        case "missing":
            # The value of the error is the whole object.
            message, value = "required, but missing", None
        case "extra_forbidden":
            message, suggestion = _explain_unknown(model, location, is_shown=is_shown)
        case "literal_error":
            choices = find_choices(model, location)
            message, allowed = f"{_show(value)} is not allowed", ", ".join(map(repr, choices))
            suggestion = find_closest(value, [choice for choice in choices if isinstance(choice, str)])
        case "media":
            message, allowed = f"{_show(value)} is {context['problem']}", EXPECTED_MEDIA
            file = value if is_shown and _is_file(value) else None
            suggestion = None if file is None else f"Path({file!r})"
        case "unchecked":
            message = f"{_show(value)} is {context['reason']}"
        case "form":
            message = f"{_show(value)} is neither text nor a list"
        case "rule":
            message, allowed = context["problem"], context.get("allowed")
        case kind if kind in _LIMITS:
            message, allowed = _explain_limit(kind, value, context)
        case kind if kind in _WRONG_TYPES:
            message = f"{_show(value)} {_WRONG_TYPES[kind]}"
        case _:
            message = f"{_show(value)}: {details['msg'][0].lower()}{details['msg'][1:]}"
    path = format_location(location) or "parameters"
    return Problem(path, message, value, allowed, suggestion, file)


def _explain_unknown(model: Model, location: FieldPath, *, is_shown: bool) -> tuple[str, str | None]:
    """Return the message and the suggestion for an unknown name, which may be an old name beside the present one."""
    *place, name = location
    holder = find_model(model, tuple(place))
    if holder is None:
        return "unknown parameter", None
    if present := find_renamed(holder).get(str(name)):
        return f"is the old name of {present}, which is also set; pass {present} only", None
    return "unknown parameter", find_closest(str(name), read_declared(holder) if is_shown else [])


def _explain_limit(kind: str, value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    """Return the message and the allowed values."""
    name, bound = _LIMITS[kind]
    allowed = f"{bound} {_text.format_number(context[name])}"
    if name in ("ge", "le"):
        return f"{_show(value)} is too {'small' if name == 'ge' else 'large'}", allowed
    unit = "characters" if isinstance(value, str) else "items"
    excess = "many" if name == "max_length" else "few"
    return f"too {excess} {unit} ({context.get('actual_length', len(value))})", allowed


def _show(value: Any) -> str:
    return _text.shorten(describe_media(value), 200) if is_local(value) else _text.show(value)


def find_closest(name: Any, choices: Iterable[str]) -> str | None:
    """Return the choice that a name is probably a misspelling of."""
    # A very long text is not a misspelt name, and comparing it takes minutes.
    if not isinstance(name, str) or len(name) > _MAX_NAME_LENGTH:
        return None
    if name.isdecimal():
        # One number is not a misspelling of another.
        choices = [choice for choice in choices if not choice.isdecimal()]
    # difflib takes long, and its ratio is never larger than that of the lengths, or of the letters in common.
    letters = set(name)
    counts = [name.count(letter) for letter in letters]
    similar = [
        choice
        for choice in choices
        if (fewest := _CLOSE_RATIO / 2 * (len(name) + len(choice))) <= len(name)
        and sum(map(min, counts, map(choice.count, letters))) >= fewest
    ]
    ratios = [
        (ratio, choice)
        for choice in similar
        if (ratio := difflib.SequenceMatcher(None, choice, name).ratio()) >= _CLOSE_RATIO
    ]
    return max(ratios)[1] if ratios else None


def _is_file(value: Any) -> bool:
    """Return whether a text is the path of an existing file.

    Only within the working folder: the message discloses that the file exists, and may reach a stranger.
    """
    if not isinstance(value, str):
        return False
    path = Path(value)
    # Path.is_file() raises an error for a long text.
    return not path.is_absolute() and ".." not in path.parts and os.path.isfile(path)  # noqa: PTH113
