"""Parsing and formatting of times and ages."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Any, Final

import click

_UNITS: Final = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(s|min|m|h|d|w)")
_EXPECTED_AGE: Final = "a number and a unit: 90s, 30min, 2h, 7d or 4w"
_EXPECTED_TIME: Final = f"{_EXPECTED_AGE}; or a date, such as 2026-11-29 or 2026-11-29T18:30"


class AgeParam(click.ParamType[float]):
    """A number with a unit of time; its value is in seconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds; refuse other text."""
        seconds = _read_age(str(value))
        if seconds is None:
            self.fail(f"{value!r} is not an age; expected {_EXPECTED_AGE}.", param, ctx)
        return seconds


class TimeParam(click.ParamType[float]):
    """An age, or a past date with or without a time; its value is in seconds since 1970."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the time; refuse other text, and a time in the future or before 1970."""
        now, age = time.time(), _read_age(str(value))
        moment = _read_date(str(value)) if age is None else now - age
        if moment is None or not 0 <= moment <= now:
            problem = "not a time" if moment is None else "before 1970" if moment < 0 else "in the future"
            self.fail(f"{value!r} is {problem}; expected {_EXPECTED_TIME}.", param, ctx)
        return moment


AGE = AgeParam()
TIME = TimeParam()


def format_time(seconds: float, *, with_offset: bool = False) -> str:
    """Return a time in seconds since 1970 as ISO 8601, in the time zone of this machine; "" if it is invalid."""
    try:
        moment = datetime.fromtimestamp(seconds).astimezone()
    except (ValueError, OverflowError, OSError):
        return ""
    return moment.isoformat(timespec="seconds") if with_offset else f"{moment:%Y-%m-%dT%H:%M:%S}"


def format_age(seconds: float) -> str:
    """Return a duration in seconds in its largest unit, such as "3 h"."""
    for unit in ("d", "h", "min"):
        if seconds >= _UNITS[unit]:
            return f"{seconds / _UNITS[unit]:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _read_age(text: str) -> float | None:
    match = _AGE.fullmatch(text.strip())
    return float(match[1]) * _UNITS[match[2]] if match else None


def _read_date(text: str) -> float | None:
    try:
        # Without an offset it is the time of this machine.
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        return None
