"""Problems of the allowed values of a parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kling_codegen.closed import iter_repeated
from kling_codegen.keywords import LARGEST, is_kind
from kling_codegen.messages import LocatedMessage, Message, format_value, wrong_type


def enum_problems(kind: str, keywords: Mapping[str, Any], *, is_nullable: bool) -> Iterator[LocatedMessage]:
    """Yield keywords that do not go with `enum`, and allowed values of another type, out of range or listed twice."""
    for name in sorted(keywords.keys() & {"minimum", "maximum", "minLength", "maxLength", "format"}):
        text = f"{name} does not go with enum, which lists the allowed values"
        yield (name,), Message(text, about_key=True)
    for index, value in iter_repeated(keywords["enum"]):
        yield ("enum", index), Message(f"the allowed value {format_value(value)} is listed twice")
    for index, value in enumerate(keywords["enum"]):
        if not (is_kind(kind, value) or (is_nullable and value is None)):
            yield ("enum", index), wrong_type(kind, value).with_subject("the allowed value")
        elif isinstance(value, int) and not -LARGEST - 1 <= value <= LARGEST:
            text = f"the allowed value {format_value(value)} is out of range"
            yield ("enum", index), Message(text, f"{-LARGEST - 1} to {LARGEST}")
    if is_nullable and None not in keywords["enum"]:
        yield ("enum",), Message("the type allows null, but the allowed values do not list it")
