"""Default and allowed values of a parameter, from text that a page runs together."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any

from pydantic import MISSING

from kling_codegen.draft.blocks import QUOTED
from kling_codegen.draft.digits import (
    Reading,
    as_integer,
    choose_reading,
    format_values,
    read_run,
    split_digits,
)
from kling_codegen.draft.evidence import is_printed, list_values
from kling_codegen.draft.example import is_url
from kling_codegen.draft.example_code import LITERALS
from kling_codegen.draft.subject import Subject

WORD, NUMBER = r"(?:null|true|false)", r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?"
KINDS: dict[str, Any] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict,
}  # fmt: skip


def read_values(subject: Subject) -> Reading:
    """Return default and allowed values of a parameter; undecided ones are left out, with a doubt."""
    block = subject.block
    default, values = _read_as_evidence(subject) or _choose(subject)
    if block.more:
        values = _continue_list(subject, values)
    if values and block.total not in (None, len(values)):
        subject.doubt(f"{block.total} allowed values are announced, {len(values)} were found")
    coerce = partial(_coerce, subject)
    if default is not MISSING and default is not None:
        default = coerce(default)
    # By repr, as to Python 1 and True are the same.
    values = list({repr(value): value for value in map(coerce, values) if value is not MISSING}.values())
    if subject.kind == "boolean" and len(values) == 2:
        values = []  # any boolean has both
    if subject.kind in ("number", "array", "object") and values:
        subject.notes.shown_values[subject.path] = values
        subject.doubt(
            f"allowed values {format_values(values)}: the language has none for type {subject.kind}; left out"
        )
        values = []
    return default, values


def _read_as_evidence(subject: Subject) -> Reading | None:
    """Return the reading of numbers that are run together as the existing spec has them, if it fits."""
    block, evidence = subject.block, subject.evidence
    if evidence is None or not re.fullmatch(r"(?:null)?[\d.\s-]+", block.values):
        return None
    values, default = list_values(evidence), evidence.default
    shown = values[: len(values) - block.more]
    if block.marked:
        marked = next(iter(_split_values(subject, block.default)), MISSING) if block.default else MISSING
        return (marked, shown) if is_printed(shown, block.values) else None
    # The default of a required parameter is a sample, which no spec has.
    defaults = values if default is MISSING else [default]
    readings = [(first, shown) for first in defaults] + [(MISSING, shown)]
    return next(
        (
            (first, rest)
            for first, rest in readings
            if is_printed([*([] if first is MISSING else [first]), *rest], block.values)
        ),
        None,
    )


def _choose(subject: Subject) -> Reading:
    block = subject.block
    default: Any = MISSING
    if block.marked and block.default:
        default = next(iter(_split_values(subject, block.default)), MISSING)
    if not re.fullmatch(r"(?:null)?[\d-]+", block.values):
        values = _split_values(subject, block.values)
        return (default, values) if block.marked else _read_unmarked_default(subject, values)
    run = block.values.removeprefix("null")
    if run != block.values:
        default = None
    if default is not MISSING or block.marked:
        return choose_reading(subject, [(default, split) for split in split_digits(run)], default)
    readings = list(read_run(run))
    if len(readings) == 1:
        # There may be no default, if the example sends another of the values.
        sent = as_integer(subject.sent)
        readings += [(MISSING, split) for split in split_digits(run) if len(split) > 1 and sent in split]
    return choose_reading(subject, readings, MISSING)


def _split_values(subject: Subject, text: str) -> list[Any]:
    """Return values that their notation separates; labels between quoted ones are for the description."""
    values: list[Any] = []
    if text[:1] in ("[", "{"):
        with suppress(ValueError, RecursionError):
            values = [json.loads(text)]
    elif '"' in text:
        values = [None] if text.startswith("null") else []
        values += [_text(match[0]) for match in QUOTED.finditer(text) if match["end"] == '"']
        _quote_labels(subject, text)
    elif re.fullmatch(rf"(?:{WORD}\s*)+", text):
        values = [LITERALS[word] for word in re.findall(WORD, text)]
    elif re.fullmatch(rf"{NUMBER}(?:\s+{NUMBER})*", text):
        values = [json.loads(word) for word in text.split()]
    elif text and subject.block.marked and text == subject.block.default and subject.kind == "string":
        values = [text]
    if text and not values:
        subject.leave_out(f"{text!r} could not be split into values")
    return values


def _quote_labels(subject: Subject, text: str) -> None:
    """Note the labels in front of quoted values, unless they only write the value in other letters."""
    labels = re.findall(r'([^"]*)"([^"\\]*)"', text)
    pairs = [(label.strip(), value) for label, value in labels if label.strip()]
    if any(label.casefold() != value.casefold() for label, value in pairs):
        shown = ", ".join(f"{value} ({label})" for label, value in pairs)
        subject.notes.quote_page(subject.block.values_line, subject.path, f"values with labels: {shown}")


def _text(quoted: str) -> str:
    with suppress(ValueError):
        text = str(json.loads(quoted, strict=False))
        text.encode()  # a lone surrogate cannot be written
        return text
    return quoted[1:-1]


def _read_unmarked_default(subject: Subject, values: list[Any]) -> Reading:
    """Read separated values without a marked default: a first value that is repeated is the default."""
    if not values:
        return MISSING, []
    first, *following = values
    if not following and not subject.block.more:
        if isinstance(first, str) and first.strip() and " " not in first and not is_url(first):
            subject.discrepancy(
                f"one value {json.dumps(first)} is shown, without a list of allowed values",
                "it is the default; any text is allowed",
            )
        return first, []
    if first in (None, "") or first in following:
        return first, following
    subject.doubt(
        f"the first value {first!r} does not come again: all are read as allowed, none as the default"
    )
    return MISSING, values


def _continue_list(subject: Subject, values: list[Any]) -> list[Any]:
    """Add the values behind "+3 more", if those shown go up in equal steps."""
    more, numbers = subject.block.more, [as_integer(value) for value in values]
    shown = f"{len(values)} allowed values are shown, then +{more} more"
    listed = list_values(subject.evidence) if subject.evidence else []
    if len(listed) == len(values) + more and [*map(str, listed[: len(values)])] == [*map(str, values)]:
        return listed
    steps = {b - a for a, b in pairwise(numbers) if a is not None and b is not None}
    if len(numbers) < 3 or None in numbers or len(steps) != 1:
        subject.notes.shown_values[subject.path] = values
        subject.discrepancy(
            f"{shown}; the remaining ones are unknown", "any value; those shown are described"
        )
        if listed:
            subject.notes.undecided[subject.path] = subject.block.values
        return []
    step, last = steps.pop(), numbers[-1] or 0
    added = [last + step * count for count in range(1, more + 1)]
    subject.discrepancy(
        f"{shown}; those from {numbers[0]} to {last} have no gap",
        f"the rest: {', '.join(map(str, added))}",
    )
    return values + [str(number) if isinstance(values[0], str) else number for number in added]


def _coerce(subject: Subject, value: Any) -> Any:
    """Return a value in the declared type; MISSING, with a doubt, if that is impossible."""
    kind = subject.kind
    converted: Any = MISSING
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, KINDS[kind]) and (number or kind not in ("integer", "number")):
        return value
    if kind in ("integer", "number") and re.fullmatch(NUMBER, text := str(value).removesuffix(".0")):
        number = json.loads(text)
        converted = number if isinstance(number, KINDS[kind]) else MISSING
    elif kind == "string" and number:
        converted = str(value)
    shown = json.dumps(value, ensure_ascii=False)
    drafted = "left out" if converted is MISSING else f"drafted as {json.dumps(converted)}"
    subject.doubt(f"the type is {kind}, the value is {shown}; {drafted}")
    return converted
