"""Messages for the errors of pydantic."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from kling_codegen.closed import Closed
from kling_codegen.messages import (
    LocatedMessage,
    Message,
    find_closest,
    format_number,
    format_value,
    wrong_type,
)
from kling_codegen.patterns import PATTERNS, SLUG


def explain_errors(
    model: type[Closed], data: Mapping[str, Any], error: ValidationError
) -> Iterator[LocatedMessage]:
    """Yield a message for each error of pydantic, except for those that a nested model has noted."""
    for details in error.errors(include_url=False):
        at, value, context = details["loc"], details["input"], details.get("ctx", {})
        match details["type"]:
            case "noted":
                pass
            case "missing":
                yield at[:-1], Message(f"{at[-1]} is missing", about_key=True)
            case "extra_forbidden":
                yield at, _unknown_key(str(at[-1]), model, data)
            case "value_error":
                yield at, context["error"].message
            case "literal_error":
                allowed = re.findall("'(.*?)'", context["expected"])
                text = f"{format_value(value)} is not allowed"
                yield at, Message(text, ", ".join(allowed), find_closest(value, allowed))
            case kind if at[-1:] == ("[key]",):
                yield at[:-1], replace(_malformed_value(kind, value, context), about_key=True)
            case kind:
                yield at, _malformed_value(kind, value, context)


_SYNONYMS = {
    "allowed": "enum",
    "choices": "enum",
    "const": "enum",
    "desc": "description",
    "max": "maximum",
    "min": "minimum",
    "nullable": "type",
    "oneOf": "enum",
    "options": "enum",
    "values": "enum",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
}
_KINDS = {
    "string_type": "string",
    "int_type": "integer",
    "int_from_float": "integer",
    "float_type": "number",
    "bool_type": "boolean",
}


def _unknown_key(key: str, model: type[Closed], data: Mapping[str, Any]) -> Message:
    allowed = [name for name in model.allowed_keys(data) if name not in data]
    synonym = _SYNONYMS.get(key, "")
    suggestion = find_closest(key, allowed) or (synonym if synonym in allowed else "")
    return Message(f"unknown key {key}", ", ".join(allowed), suggestion, about_key=True)


def _malformed_value(kind: str, value: Any, context: Mapping[str, Any]) -> Message:
    """Return the message for a value of the wrong type, length or form."""
    if kind in _KINDS:
        return wrong_type(_KINDS[kind], value)
    shown = format_value(value)
    text, allowed, suggestion = f"{shown} is not allowed", "", ""
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        allowed = f"{words} {format_number(context[key])}"
    match kind:
        case "model_type" | "dict_type":
            text = f"{shown} is not a mapping"
        case "finite_number":
            allowed = "a finite number"
        case "list_type":
            text = f"{shown} is not a list"
        case "too_short":
            text, allowed = f"{shown} is too short", f"at least {context['min_length']}"
        case "string_too_long":
            text, allowed = f"{shown} has {len(value)} characters", f"at most {context['max_length']}"
        case "string_pattern_mismatch":
            allowed, suggestion = (
                PATTERNS[context["pattern"]],
                _suggest_slug(value, context["pattern"]),
            )
        case _:
            pass
    return Message(text, allowed, suggestion)


def _suggest_slug(value: str, pattern: str) -> str:
    slug = re.sub("[^a-z0-9.]+", "-", value.lower()).strip("-.")
    return slug if pattern == SLUG and re.fullmatch(pattern, slug) else ""
