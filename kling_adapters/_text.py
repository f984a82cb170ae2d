"""Formatting of values in messages: exact numbers, printable texts, bounded length."""

from __future__ import annotations

import math

_LONGEST_NUMBER = 40
_LONGEST_TEXT = 1000


def format_number(number: float) -> str:
    """Return a number with all its digits: 2147483647, 0.1, and 5 for 5.0."""
    if isinstance(number, int):
        return show(number)
    if not math.isfinite(number):
        return repr(number)
    from decimal import Decimal  # slow to import

    text = format(Decimal(repr(number)), "f").removesuffix(".0")
    return text if len(text) <= _LONGEST_NUMBER else repr(number)


def format_sum(number: float) -> str:
    """Return a sum of credits, money or seconds, without the rounding errors of floats."""
    return format_number(round(number, 6))


def escape(text: str) -> str:
    """Escape unprintable characters, for logs and terminals."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def shorten(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Return a text; of a long one, its start and its length."""
    return text if len(text) <= longest else f"{text[: longest * 3 // 4]}... ({len(text)} characters)"


def show(value: object) -> str:
    """Return the start of the repr of a value. Never raises."""
    if isinstance(value, str | bytes) and len(value) > _LONGEST_TEXT:
        unit = "bytes" if isinstance(value, bytes) else "characters"
        return f"{value[:60]!r}... ({len(value)} {unit})"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  classes of callers, and integers of more than 4300 digits
        return f"a value of type {type(value).__name__} that cannot be shown"
    return escape(text) if len(text) <= 80 else f"{escape(text[:60])}... ({len(text)} characters)"


def fingerprint_key(key: str) -> str:
    """Return a short fingerprint of an API key, to show and to compare; the key cannot be computed from it.

    Args:
        key: The API key.

    Returns:
        The first 12 hex digits of its SHA-256.

    """
    import hashlib  # for keys only

    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def describe_uncertain(model: str, reason: str, entry: int | None = None) -> str:
    """Return the message about a submit that may have started a job; `entry` is its number in the journal."""
    advice = "look at the requests and the credits of your account before you submit again"
    if entry is None:
        advice = advice.capitalize()
    else:
        search = f"Look for the job with kling.reconcile(); the submit is entry {entry} of the journal"
        advice = f"{search}. If it stays uncertain, {advice}"
    return (
        f"The submit may have started a {model} job that will be billed: {reason}. It was not repeated, because a "
        f"second job would be billed, too. {advice}."
    )
