"""Readings of digits that a page runs together, and the choice of the likeliest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from pydantic import MISSING

from kling_codegen.draft.subject import Subject

# The default (MISSING if there is none), and the allowed values (empty if any is allowed).
Reading: TypeAlias = tuple[Any, list[Any]]

# A longer run of digits has too many readings.
MAX_DIGITS = 24
# The longest number in a spec.
MAX_RUN = 40
INTEGER = re.compile(r"0|-?[1-9]\d*")


def split_digits(run: str) -> list[list[int]]:
    """Return the ways to read digits as integers in rising order, or else in falling order."""
    if len(run) > MAX_DIGITS:
        return []
    return list(_split_monotone(run, 1)) + [split for split in _split_monotone(run, -1) if len(split) > 1]


def _split_monotone(run: str, sign: int, before: int | None = None) -> Iterator[list[int]]:
    if not run:
        yield []
    for end in range(1, len(run) + 1):
        if not INTEGER.fullmatch(run[:end]):
            continue
        number = int(run[:end])
        if before is None or number * sign > before * sign:
            for numbers in _split_monotone(run[end:], sign, number):
                yield [number, *numbers]


def read_run(run: str) -> Iterator[Reading]:
    """Yield the ways to read digits as a default and the allowed values, which contain it."""
    for end in range(1, len(run) + 1) if len(run) <= MAX_RUN else ():
        if INTEGER.fullmatch(run[:end]):
            default = int(run[:end])
            yield from (
                (default, split) for split in split_digits(run[end:]) if not split or default in split
            )


def choose_reading(subject: Subject, readings: list[Reading], default: Any) -> Reading:
    """Return the likeliest reading of run-together digits and note a doubt; without one, `default` and no values."""
    block = subject.block
    shown = block.total - block.more if block.total else None
    low, high = (float(end) for end in block.range or ("-inf", "inf"))
    # Allowed values in no order give other readings of negative numbers: "-10-2" may be -10, -2 or -1, 0, -2.
    is_ambiguous = len(readings) > 1 or any(min(values, default=0) < 0 for _, values in readings)
    readings = [
        (first, values)
        for first, values in readings
        if (shown is None or len(values) == shown)
        and (as_integer(first) is None or not values or as_integer(first) in values)
        and all(low <= value <= high for value in values)
    ]
    rising = [(first, values) for first, values in readings if values == sorted(values)]
    if any(values for _, values in rising):
        readings = rising
    witnesses = _find_witnesses(subject)

    def support(reading: Reading) -> int:
        return len({*reading[1], reading[0]} & witnesses)

    readings.sort(
        key=lambda reading: (-support(reading), max(reading[1], default=as_integer(reading[0]) or 0))
    )
    if not is_ambiguous and len(readings) == 1:
        return readings[0]
    best: Reading = readings[0] if readings else (MISSING, [])
    if (best[0] is MISSING and not block.marked) or not readings or (len(readings) > 1 and not support(best)):
        candidates = "; ".join(map(_describe, readings[:4])) or "nothing that fits the rest of the page"
        subject.leave_out(f"{block.values!r} is not decided; it could be {candidates}")
        return default, []
    alternatives = "; ".join(map(_describe, readings[1:4]))
    suffix = f"; it could be {alternatives}" if alternatives else ""
    subject.doubt(f"{block.values!r} is read as {_describe(best)}{suffix}")
    return best


def _find_witnesses(subject: Subject) -> set[Any]:
    """Return the numbers that the example, the description and a marked default mention."""
    block = subject.block
    witnesses = {as_integer(subject.sent)}
    witnesses |= {int(number) for number in re.findall(r"(?<![\w.])\d{1,15}+(?![\w.]*\w)", block.text)}
    if block.marked:
        witnesses.add(as_integer(block.default))
    return witnesses


def _describe(reading: Reading) -> str:
    default, values = reading
    first = "no default" if default is MISSING else f"default {json.dumps(default)}"
    return f"{first}, allowed {format_values(values)}" if values else f"{first}, no list"


def format_values(values: list[Any]) -> str:
    """Return values as JSON, with commas between them."""
    return ", ".join(json.dumps(value, ensure_ascii=False) for value in values)


def as_integer(value: Any) -> int | None:
    """Return a number, or a text of digits, as an integer."""
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,15}", str(value)):
        return None
    return int(value)
