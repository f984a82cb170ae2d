"""Lenient readers of single values in an answer: a value of an undocumented type counts as missing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard, cast

LONGEST_ID = 2000
"""Characters of a request id, which becomes part of an address."""


def read_object(value: Any) -> Mapping[str, Any]:
    """Return a JSON object; an empty one if the value is anything else."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def read_list(value: Any) -> Sequence[Any]:
    """Return a JSON array; an empty one if the value is anything else."""
    return cast("Sequence[Any]", value) if isinstance(value, list) else ()


def read_number(value: Any) -> float | None:
    """Return a finite number; None if the value is anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e300 else None


def read_count(value: Any) -> int | None:
    """Return an integer; None if the value is anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_decimal(text: str | None) -> float | None:
    """Return the number that a header holds; None if it holds anything else."""
    return float(text) if text and re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,30})?", text) else None


def read_id(value: Any) -> str | None:
    """Return a usable request id; None if the value is anything else."""
    request_id = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(request_id, str) or not request_id.strip() or len(request_id) > LONGEST_ID:
        return None
    return request_id if request_id.isprintable() else None


def is_url(value: Any) -> TypeGuard[str]:
    """Return whether a value is the URL of a file."""
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def make_printable(text: str) -> str:
    """Replace characters of a text that would control a terminal or break a log line with spaces."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
