"""The pace of a key in the journal, which all processes of the journal share; its times are of the wall clock."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, TypeVar, get_type_hints

from kling_adapters.errors import StorageError
from kling_adapters.journal.paces import Paces
from kling_adapters.protocol.limit_evidence import Evidence
from kling_adapters.protocol.pace import HIGHEST_PACE, Pace
from kling_adapters.protocol.request_counts import Average, Count

log = logging.getLogger("kling_adapters")
T = TypeVar("T")

_LIFETIME = 3600.0
"""Seconds for which a pace is remembered."""
_LONGEST_LIMIT = 660.0
"""Seconds: a wrong entry or clock must not stop a key for longer."""
_TIMES = {"held_until", "grown_at", "changed_at", "limited_until", "next_slot", "since", "at"}
_LARGEST = 1e9


class SharedPace:
    """The pace of one key at one gateway. Its limiter calls it within its lock.

    A journal that fails does not stop a request: the limiter goes on with the pace that it knows.
    """

    def __init__(self, paces: Paces, gateway: str, key: str) -> None:
        self._paces = paces
        self._gateway = gateway
        self._key = key
        self._text: str | None = None
        self._has_failed = False

    def load(self, pace: Pace, now: float) -> Pace:
        """Return the pace in the journal; `pace` if there is none."""
        try:
            return self._choose(self._paces.find(self._gateway, self._key), pace, now)
        except StorageError as error:
            self._warn(error)
            return pace

    def exchange(self, pace: Pace, now: float, operate: Callable[[Pace], T]) -> T:
        """Call a function with the newest pace and record what it changed, in one transaction.

        Args:
            pace: The pace as far as the limiter knows it.
            now: The time of the limiter.
            operate: Changes the pace; called once.

        Returns:
            The value of the function.

        """
        values: list[T] = []

        def update(text: str | None) -> str:
            newest = self._choose(text, pace, now)
            values.append(operate(newest))
            self._text = encode_pace(newest, time.time() - now)
            return self._text

        try:
            self._paces.exchange(self._gateway, self._key, update)
        except StorageError as error:
            self._warn(error)
        return values[0] if values else operate(pace)

    def _choose(self, text: str | None, pace: Pace, now: float) -> Pace:
        if text is None or text == self._text:
            return pace
        newest = decode_pace(text, now, time.time() - now)
        return pace if newest is None else newest

    def _warn(self, error: StorageError) -> None:
        if not self._has_failed:
            self._has_failed = True
            log.warning("the rate limit of a key is not shared with other processes: %s", error)


def encode_pace(pace: Pace, offset: float) -> str:
    """Return a pace as text; `offset` is the time of the wall clock minus that of the limiter."""
    return json.dumps({"recorded": time.time(), **_shift(asdict(pace), offset)})


def decode_pace(text: str, now: float, offset: float) -> Pace | None:
    """Return the pace in a text; None if it is too old, or not one that this version could have written."""
    try:
        values = json.loads(text)
        age = time.time() - _read_number(values.pop("recorded"))
        pace: Pace = _build(Pace, _shift(values, -offset))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        log.warning("ignoring an unreadable rate limit in the journal")
        return None
    if not -_LONGEST_LIMIT < age < _LIFETIME:
        return None
    if pace.rate is not None:
        pace.rate = min(HIGHEST_PACE, max(1 / 60, pace.rate))
        pace.next_slot = min(pace.next_slot, now + 1 / pace.rate + _LONGEST_LIMIT)
    else:
        pace.next_slot = min(pace.next_slot, now + _LONGEST_LIMIT)
    pace.limited_until = min(pace.limited_until, now + _LONGEST_LIMIT)
    pace.held_until = min(pace.held_until, now + _LONGEST_LIMIT)
    pace.changed_at = min(pace.changed_at, now)
    return pace


def _shift(values: dict[str, Any], offset: float) -> dict[str, Any]:
    """Return values with each time in them moved by `offset`; infinite times become large ones."""
    shifted: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            shifted[name] = _shift(value, offset)  # pyright: ignore[reportUnknownArgumentType]
        elif name in _TIMES:
            shifted[name] = max(-_LARGEST, value + offset)
        else:
            shifted[name] = value
    return shifted


def _build(kind: type[Any], values: dict[str, Any]) -> Any:
    """Build a dataclass of checked values. Raises ValueError, TypeError or KeyError."""
    hints = get_type_hints(kind)
    arguments: dict[str, Any] = {}
    for item in fields(kind):
        value, hint = values[item.name], hints[item.name]
        if hint in (Count, Average, Evidence):
            arguments[item.name] = _build(hint, value)
        elif hint is bool:
            arguments[item.name] = value is True
        elif hint is int:
            arguments[item.name] = int(min(10_000_000, max(0, _read_number(value))))
        else:
            arguments[item.name] = None if value is None and hint is not float else _read_number(value)
    return kind(**arguments)


def _read_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a finite number")
    return min(1e11, max(-1e11, float(value)))
