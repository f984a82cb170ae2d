"""Values that a page runs together -> default and allowed values, by the declared type and what the page implies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

from pydantic import MISSING

from kling_codegen.draft.notes import Notes
from kling_codegen.draft.page import LITERALS, QUOTED, Block

# The default (MISSING if there is none), and the allowed values (empty if any is allowed).
Reading: TypeAlias = tuple[Any, list[Any]]

# A longer run of digits has too many readings, and none of them would be convincing.
MOST_DIGITS = 24
# No spec can have a number of more digits.
MOST_RUN = 40
INTEGER = re.compile(r"0|-?[1-9]\d*")
WORD, NUMBER = r"(?:null|true|false)", r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?"
KINDS: dict[str, Any] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict,
}  # fmt: skip


@dataclass(frozen=True)
class About:
    """The parameter whose values are read, and where to say what is doubtful."""

    path: str
    kind: str
    block: Block
    sent: Any  # what the example sends; MISSING if nothing
    notes: Notes

    def doubt(self, what: str) -> None:
        """Note a doubt in the line of the values."""
        self.notes.doubt(self.block.values_line, self.path, what)

    def discrepancy(self, page: str, decision: str) -> None:
        """Note a contradiction in the line of the values."""
        self.notes.discrepancy(self.block.values_line, self.path, page, decision)


def read(about: About) -> Reading:
    """Return default and allowed values of a parameter; what could not be decided is left out, and a doubt."""
    block = about.block
    default, values = _chosen(about)
    if block.more:
        values = _continued(about, values)
    if values and block.total not in (None, len(values)):
        about.doubt(f"{block.total} allowed values are announced, {len(values)} were found")
    coerce = partial(_coerced, about)
    if default is not MISSING and default is not None:
        default = coerce(default)
    # By repr, as to Python 1 and True are the same.
    values = list({repr(value): value for value in map(coerce, values) if value is not MISSING}.values())
    if about.kind == "boolean" and len(values) == 2:
        values = []  # both are what any boolean is
    if about.kind in ("number", "array", "object") and values:
        about.doubt(f"allowed values {_list(values)}: the language has none for type {about.kind}; left out")
        values = []
    return default, values


def _chosen(about: About) -> Reading:
    block = about.block
    default: Any = MISSING
    if block.marked and block.default:
        default = next(iter(_parts(about, block.default)), MISSING)
    if not re.fullmatch(r"(?:null)?[\d-]+", block.values):
        values = _parts(about, block.values)
        return (default, values) if block.marked else _first_is_default(about, values)
    run = block.values.removeprefix("null")
    if run != block.values:
        default = None
    if default is not MISSING or block.marked:
        return _likeliest(about, [(default, split) for split in _splits(run)], default)
    readings = list(_runs(run))
    if len(readings) == 1:
        # The first could be no default at all, if the example sends what one of several would be.
        sent = _integer(about.sent)
        readings += [(MISSING, split) for split in _splits(run) if len(split) > 1 and sent in split]
    return _likeliest(about, readings, MISSING)


def _parts(about: About, text: str) -> list[Any]:
    """Return values that are told apart by how they are written; labels between quoted ones are dropped."""
    values: list[Any] = []
    if text[:1] in ("[", "{"):
        with suppress(ValueError, RecursionError):
            values = [json.loads(text)]
    elif '"' in text:
        values = [None] if text.startswith("null") else []
        values += [_text(found[0]) for found in QUOTED.finditer(text) if found["end"] == '"']
    elif re.fullmatch(rf"(?:{WORD}\s*)+", text):
        values = [LITERALS[word] for word in re.findall(WORD, text)]
    elif re.fullmatch(rf"{NUMBER}(?:\s+{NUMBER})*", text):
        values = [json.loads(word) for word in text.split()]
    elif text and about.block.marked and text == about.block.default and about.kind == "string":
        values = [text]
    if text and not values:
        about.doubt(f"{text!r} could not be taken apart into values; left out")
    return values


def _text(quoted: str) -> str:
    with suppress(ValueError):
        text = str(json.loads(quoted, strict=False))
        text.encode()  # half of a surrogate pair cannot be written
        return text
    return quoted[1:-1]


def _first_is_default(about: About, values: list[Any]) -> Reading:
    """Read a run of told-apart values in which nothing marks the default: it comes first, then it comes again."""
    if not values:
        return MISSING, []
    first, *rest = values
    if not rest and not about.block.more:
        if first is not None and isinstance(first, str) and first.strip() and " " not in first:
            about.discrepancy(
                f"one value {json.dumps(first)} is shown, without a list of allowed values",
                "it is the default; any text is allowed",
            )
        return first, []
    if first in (None, "") or first in rest:
        return first, rest
    about.doubt(
        f"the first value {first!r} does not come again: all are read as allowed, none as the default"
    )
    return MISSING, values


def _splits(run: str) -> list[list[int]]:
    """Return how digits could be integers in rising order, or else in falling order."""
    if len(run) > MOST_DIGITS:
        return []
    return list(_monotone(run, 1)) + [split for split in _monotone(run, -1) if len(split) > 1]


def _monotone(run: str, sign: int, before: int | None = None) -> Iterator[list[int]]:
    if not run:
        yield []
    for end in range(1, len(run) + 1):
        if not INTEGER.fullmatch(run[:end]):
            continue
        number = int(run[:end])
        if before is None or number * sign > before * sign:
            for rest in _monotone(run[end:], sign, number):
                yield [number, *rest]


def _runs(run: str) -> Iterator[Reading]:
    """Yield how digits could be a default and the allowed values it is one of."""
    for end in range(1, len(run) + 1) if len(run) <= MOST_RUN else ():
        if INTEGER.fullmatch(run[:end]):
            default = int(run[:end])
            yield from ((default, split) for split in _splits(run[end:]) if not split or default in split)


def _likeliest(about: About, readings: list[Reading], default: Any) -> Reading:
    """Choose among readings of run-together digits; the choice, or that there is none, is a doubt.

    `default` is what is known of it anyway.
    """
    block = about.block
    shown = block.total - block.more if block.total else None
    low, high = (float(end) for end in block.range or ("-inf", "inf"))
    several = len(readings) > 1
    readings = [
        (first, values)
        for first, values in readings
        if (shown is None or len(values) == shown)
        and (_integer(first) is None or not values or _integer(first) in values)
        and all(low <= value <= high for value in values)
    ]
    rising = [(first, values) for first, values in readings if values == sorted(values)]
    if any(values for _, values in rising):
        readings = rising
    witnesses = {_integer(about.sent)}
    witnesses |= {int(number) for number in re.findall(r"(?<![\w.])\d{1,15}+(?![\w.]*\w)", block.text)}
    if block.marked:
        witnesses.add(_integer(block.default))

    def support(reading: Reading) -> int:
        return len({*reading[1], reading[0]} & witnesses)

    readings.sort(key=lambda reading: (-support(reading), max(reading[1], default=_integer(reading[0]) or 0)))
    if not several and len(readings) == 1:
        return readings[0]
    best: Reading = readings[0] if readings else (MISSING, [])
    if (best[0] is MISSING and not block.marked) or not readings or (len(readings) > 1 and not support(best)):
        could = "; ".join(map(_told, readings[:4])) or "nothing that fits the rest of the page"
        about.doubt(f"{block.values!r} is not decided; it could be {could}; left out")
        return default, []
    others = "; ".join(map(_told, readings[1:4]))
    about.doubt(f"{block.values!r} is read as {_told(best)}" + (f"; it could be {others}" if others else ""))
    return best


def _told(reading: Reading) -> str:
    default, values = reading
    first = "no default" if default is MISSING else f"default {json.dumps(default)}"
    return f"{first}, allowed {_list(values)}" if values else f"{first}, no list"


def _list(values: list[Any]) -> str:
    return ", ".join(json.dumps(value, ensure_ascii=False) for value in values)


def _integer(value: Any) -> int | None:
    """Return a number, or a text of digits, as an integer."""
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,15}", str(value)):
        return None
    return int(value)


def _continued(about: About, values: list[Any]) -> list[Any]:
    """Add the values behind "+3 more", if those shown go up in equal steps."""
    more, numbers = about.block.more, [_integer(value) for value in values]
    shown = f"{len(values)} allowed values are shown, then +{more} more"
    steps = {b - a for a, b in pairwise(numbers) if a is not None and b is not None}
    if len(numbers) < 3 or None in numbers or len(steps) != 1:
        about.discrepancy(f"{shown}; the rest cannot be told", "any value; the list is left out")
        return []
    step, last = steps.pop(), numbers[-1] or 0
    added = [last + step * count for count in range(1, more + 1)]
    about.discrepancy(
        f"{shown}; those from {numbers[0]} to {last} have no gap",
        f"the rest: {', '.join(map(str, added))}",
    )
    return values + [str(number) if isinstance(values[0], str) else number for number in added]


def _coerced(about: About, value: Any) -> Any:
    """Return a value in the declared type; MISSING, and a doubt, if it is none."""
    kind = about.kind
    made: Any = MISSING
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, KINDS[kind]) and (number or kind not in ("integer", "number")):
        return value
    if kind in ("integer", "number") and re.fullmatch(NUMBER, text := str(value).removesuffix(".0")):
        number = json.loads(text)
        made = number if isinstance(number, KINDS[kind]) else MISSING
    elif kind == "string" and number:
        made = str(value)
    shown = json.dumps(value, ensure_ascii=False)
    drafted = "left out" if made is MISSING else f"drafted as {json.dumps(made)}"
    about.doubt(f"the type is {kind}, the value is {shown}; {drafted}")
    return made
