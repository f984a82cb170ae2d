"""How it is said what is wrong in a spec: what it is, what is allowed, what was meant, and where."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

# Text that is longer is cut: a message is to be read at a glance.
TEXT_LENGTH = 60
# A list that is longer is cut, too.
MOST_LISTED = 100


@dataclass(frozen=True)
class Message:
    """What is wrong, what may stand there instead, and what was probably meant; the last two may be empty.

    `key` tells that it is said of the key, not of its value.
    """

    what: str
    allowed: str = ""
    meant: str = ""
    key: bool = False

    def __str__(self) -> str:
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        return f"{self.what}{allowed}{f'; did you mean {self.meant}?' if self.meant else ''}"

    def of(self, subject: str) -> Message:
        """Return the same, said of `subject`."""
        return replace(self, what=f"{subject} {self.what}")


Location: TypeAlias = tuple[str | int, ...]
Problem: TypeAlias = tuple[Location, Message]


def dotted(at: Location) -> str:
    """Return a location as text: rules[0].requires.field."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in at).lstrip(".")


def shown(value: Any) -> str:
    """Return a value as a spec would have it, on one line that is not too long."""
    return cut(json.dumps(value, ensure_ascii=False, default=str))


def printable(text: str) -> str:
    """Return a line in which whatever is not shown as itself is written as an escape, such as u202e.

    JSON, YAML in double quotes and Python read it the same.
    """
    return "".join(c if c.isprintable() or c == "\t" else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def number(value: float) -> str:
    """Return a number with every digit it has; one without a fraction as an integer."""
    return repr(int(value) if float(value).is_integer() and abs(value) < 1e15 else value)


def cut(text: str) -> str:
    """Return the beginning of a text that is too long for a message."""
    return text if len(text) <= TEXT_LENGTH else f"{text[: TEXT_LENGTH - 3]}..."


def listed(values: Iterable[Any]) -> str:
    """Return values with commas between them; of very many the first, and how many more there are."""
    texts = [str(value) for value in values]
    more = [f"and {len(texts) - MOST_LISTED} more"] if len(texts) > MOST_LISTED else []
    return ", ".join([*texts[:MOST_LISTED], *more])


def closest(value: Any, known: Iterable[Any]) -> str:
    """Return the one of `known` that `value` may be a misspelling of, or nothing."""
    words = [word for word in known if isinstance(word, str)]
    if not isinstance(value, str):
        return str(value) if str(value) in words else ""
    small = {word.lower(): word for word in words}
    found = difflib.get_close_matches(value.lower(), small, n=1)
    return small[found[0]] if found else ""


_BOOLEAN_WORDS = {
    "on": "true",
    "yes": "true",
    "true": "true",
    "off": "false",
    "no": "false",
    "false": "false",
}
_DIGITS = {"integer": r"-?[0-9]+", "number": r"-?[0-9]+(\.[0-9]+)?"}


def wrong_kind(kind: str, value: Any) -> Message:
    """Say that a value is of another type than `kind`, and how it may have been meant."""
    meant = ""
    if kind == "string" and isinstance(value, int | float):
        meant = f'"{shown(value)}"'
    elif kind in _DIGITS and isinstance(value, str):
        digits = value.replace("_", "")
        meant = digits if re.fullmatch(_DIGITS[kind], digits) else ""
    elif kind == "boolean":
        meant = _BOOLEAN_WORDS.get(str(value).lower(), "")
    return Message(f"{shown(value)} is not of type {kind}", "true, false" if kind == "boolean" else "", meant)
