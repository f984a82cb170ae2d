"""What is wrong with parameters, from pydantic's words to those that a caller can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError, core_schema

from kling_adapters import _text
from kling_adapters.errors import MOST_SHOWN, Problem
from kling_adapters.media.inputs import describe_media
from kling_adapters.media.reader import is_local
from kling_adapters.schema import fields as _fields
from kling_adapters.schema.param_types import MEDIA

_PYDANTIC_TYPES = frozenset(get_args(core_schema.ErrorType))
_LONGEST_NAME = 100

_LIMITS = {
    "greater_than_equal": ("ge", "is too small"),
    "less_than_equal": ("le", "is too large"),
    "string_too_long": ("max_length", "are too many"),
    "string_too_short": ("min_length", "are too few"),
    "too_long": ("max_length", "are too many"),
    "too_short": ("min_length", "are too few"),
}
_WRONG_TYPES = {
    "string_type": "is not text",
    "string_unicode": "has half a character (a lone surrogate)",
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
    "dict_type": "is not an object with parameters",
}


def explain(model: _fields.Model, error: ValidationError) -> list[Problem]:
    """Return every problem that pydantic has found with the parameters of a model."""
    return [
        _explain(model, details, is_shown=number < MOST_SHOWN)
        for number, details in enumerate(error.errors(include_url=False))
    ]


def rule_error(problem: Problem) -> InitErrorDetails:
    """Return a broken rule as an error of pydantic."""
    context = {"problem": _text.escape(_text.shorten(problem.message))}
    template = "{problem}"
    if problem.allowed:
        context["allowed"] = problem.allowed
        template += "; allowed: {allowed}"
    if problem.suggestion:
        context["suggestion"] = problem.suggestion
        template += "; did you mean {suggestion}?"
    error = PydanticCustomError("rule", template, context)
    return InitErrorDetails(type=error, loc=(problem.path,), input=problem.value)


def repeat_errors(error: ValidationError) -> list[InitErrorDetails]:
    """Return the errors of pydantic such that it can be raised again, with more of them."""
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
    # The message is complete already; it is no literal text, as pydantic's types want one.
    return PydanticCustomError(details["type"], details["msg"], details.get("ctx"))


def _explain(model: _fields.Model, details: ErrorDetails, *, is_shown: bool) -> Problem:
    path, value, context = details["loc"], details["input"], details.get("ctx", {})
    allowed: str | None = None
    suggestion: str | None = None
    match details["type"]:
        case "missing":
            # The value is the whole object, which is not what is wrong.
            message, value = "required, but missing", None
        case "extra_forbidden":
            message = "unknown parameter"
            holder = _fields.model_at(model, path[:-1])
            suggestion = _closest(str(path[-1]), _fields.names(holder) if holder and is_shown else [])
        case "literal_error":
            choices = _fields.choices_at(model, path)
            message, allowed = f"{_show(value)} is not allowed", ", ".join(map(repr, choices))
            suggestion = _closest(value, [choice for choice in choices if isinstance(choice, str)])
        case "media":
            message, allowed = f"{_show(value)} is {context['problem']}", MEDIA
            suggestion = _suggest_file(value) if is_shown else None
        case "rule":
            message, allowed = context["problem"], context.get("allowed")
            suggestion = context.get("suggestion")
        case kind if kind in _LIMITS:
            message, allowed = _explain_limit(kind, value, context)
        case kind if kind in _WRONG_TYPES:
            message = f"{_show(value)} {_WRONG_TYPES[kind]}"
        case _:
            message = f"{_show(value)}: {details['msg'][0].lower()}{details['msg'][1:]}"
    return Problem(_path(path), message, value, allowed, suggestion)


def _explain_limit(kind: str, value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    name, excess = _LIMITS[kind]
    bound = "at most" if name in ("le", "max_length") else "at least"
    measured = _show(value)
    if name in ("max_length", "min_length"):
        length = context.get("actual_length", len(value))
        measured = f"{length} {'characters' if isinstance(value, str) else 'items'}"
    return f"{measured} {excess}", f"{bound} {_text.format_number(context[name])}"


def _path(location: Iterable[str | int]) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if step != "" else '.""'
    return text.removeprefix(".") or "parameters"


def _show(value: Any) -> str:
    return _text.shorten(describe_media(value), 200) if is_local(value) else _text.show(value)


def _closest(word: Any, known: Iterable[str]) -> str | None:
    # Of a text as long as a book, nobody has mistyped a name; to compare it takes minutes.
    if not isinstance(word, str) or len(word) > _LONGEST_NAME:
        return None
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)


def _suggest_file(value: Any) -> str | None:
    """Return how to pass a file that was named by its text.

    Only within the working folder: the message can reach whoever sent the text, and tells that the file exists.
    """
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    file = Path(value)
    try:
        if not file.is_absolute() and ".." not in file.parts and file.is_file():
            return f"Path({value!r})"
    except (OSError, ValueError):
        pass
    return None
