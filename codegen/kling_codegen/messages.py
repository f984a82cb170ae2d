"""Messages about problems in a spec: the problem, the allowed values, and a suggestion."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

# Longer texts and lists are shortened in messages.
TEXT_LENGTH = 60
LIST_LENGTH = 100


@dataclass(frozen=True)
class Message:
    """One problem of a value, or of its key if `about_key`; `allowed` and `suggestion` may be empty."""

    text: str
    allowed: str = ""
    suggestion: str = ""
    about_key: bool = False

    def __str__(self) -> str:
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        return f"{self.text}{allowed}{f'; did you mean {self.suggestion}?' if self.suggestion else ''}"

    def with_subject(self, subject: str) -> Message:
        """Return the message with `subject` in front of its text."""
        return replace(self, text=f"{subject} {self.text}")


Location: TypeAlias = tuple[str | int, ...]
LocatedMessage: TypeAlias = tuple[Location, Message]


def format_location(at: Location) -> str:
    """Return a location as text: rules[0].requires.field."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at).lstrip(".")


def format_value(value: Any) -> str:
    """Return a value as a spec would write it, on one short line."""
    return shorten(json.dumps(value, ensure_ascii=False, default=str))


def escape_unprintable(text: str) -> str:
    """Return a line in which every unprintable character is written as an escape, such as u202e.

    JSON, YAML in double quotes and Python read it the same.
    """
    return "".join(c if c.isprintable() or c == "\t" else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def format_number(value: float) -> str:
    """Return a number with all its digits; a number without a fraction as an integer."""
    return repr(int(value) if float(value).is_integer() and abs(value) < 1e15 else value)


def shorten(text: str) -> str:
    """Return a text, or the beginning of one that is too long for a message."""
    return text if len(text) <= TEXT_LENGTH else f"{text[: TEXT_LENGTH - 3]}..."


def format_list(values: Iterable[Any]) -> str:
    """Return values with commas between them; the start of a long list, and the number of the remaining values."""
    texts = [str(value) for value in values]
    more = [f"and {len(texts) - LIST_LENGTH} more"] if len(texts) > LIST_LENGTH else []
    return ", ".join([*texts[:LIST_LENGTH], *more])


def find_closest(value: Any, candidates: Iterable[Any]) -> str:
    """Return the candidate that `value` may be a misspelling of, or an empty text."""
    words = [word for word in candidates if isinstance(word, str)]
    if not isinstance(value, str):
        return str(value) if str(value) in words else ""
    by_lower_case = {word.lower(): word for word in words}
    matches = difflib.get_close_matches(value.lower(), by_lower_case, n=1)
    return by_lower_case[matches[0]] if matches else ""


_BOOLEAN_WORDS = {
    "on": "true",
    "yes": "true",
    "true": "true",
    "off": "false",
    "no": "false",
    "false": "false",
}
_DIGITS = {"integer": r"-?[0-9]+", "number": r"-?[0-9]+(\.[0-9]+)?"}


def wrong_type(kind: str, value: Any) -> Message:
    """Return the message for a value of another type than `kind`, with a suggestion where there is one."""
    suggestion = ""
    if kind == "string" and isinstance(value, int | float):
        suggestion = f'"{format_value(value)}"'
    elif kind in _DIGITS and isinstance(value, str):
        digits = value.replace("_", "")
        suggestion = digits if re.fullmatch(_DIGITS[kind], digits) else ""
    elif kind == "boolean":
        suggestion = _BOOLEAN_WORDS.get(str(value).lower(), "")
    allowed = "true, false" if kind == "boolean" else ""
    return Message(f"{format_value(value)} is not of type {kind}", allowed, suggestion)
