"""Random specs with something wrong: keys that are gone, misspelt or there twice, values of other kinds, odd signs."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from datetime import date
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from .specs import documents, to_yaml

STRANGERS: list[Any] = [
    None, True, False, 0, -1, 7, 1.5, 10**30, math.inf, math.nan, "", " ", "x", "TODO", "null", "5", "a\nb", [], {}, [[]], [None], {"a": 1},
    {"": {}}, {1: 2}, [{}], date(2026, 1, 31), b"x", "string", "object", ["string", "null"], {"type": "string"}, "prompt", "[key]",
]  # fmt: skip


KEYS = [
    "type",
    "items",
    "or",
    "default",
    "enum",
    "minimum",
    "maxLength",
    "format",
    "required",
    "properties",
    "nullable",
]
SIGNS = [
    "\t",
    " ",
    '"',
    "'",
    ":",
    "-",
    "#",
    "&a ",
    "*a ",
    "!x ",
    "{",
    "]",
    "\0",
    "\ufffe",
    "%",
    "\n---\n",
    "\x85",
]


@st.composite
def damaged(draw: DrawFn) -> tuple[str, list[str]]:
    """Draw a slug, and texts of a spec of that slug with something wrong, or merely changed."""
    spec = draw(documents())
    slug, texts = spec["slug"], list[str]()
    for _ in range(6):
        copied = copy.deepcopy(spec)
        for _ in range(draw(st.integers(0, 2))):
            if places := list(_members(copied)):
                _damage(draw, *draw(st.sampled_from(places)))
        text = to_yaml(copied, draw(st.sampled_from("\"'|")), flow=draw(st.booleans()))
        texts.append(draw(_retyped(text)))
    return slug, texts


def _damage(draw: DrawFn, holder: Any, key: Any) -> None:
    value, stranger = holder[key], copy.deepcopy(draw(st.sampled_from(STRANGERS)))
    match draw(st.sampled_from(["drop", "rename", "replace", "wrap", "copy", "add"])):
        case "drop":
            del holder[key]
        case "rename" if isinstance(holder, dict):
            names = [f"{key}x", str(key).upper(), str(key)[1:], *KEYS]
            holder[draw(st.sampled_from(names))] = holder.pop(key)
        case "wrap":
            holder[key] = draw(st.sampled_from([[value], {"properties": value}, {"a": value}]))
        case "copy":
            source, there = draw(st.sampled_from(list(_members(holder))))
            holder[key] = copy.deepcopy(source[there])
        case "add" if isinstance(value, dict):
            value[draw(st.sampled_from(KEYS))] = stranger
        case _:
            holder[key] = stranger


@st.composite
def _retyped(draw: DrawFn, text: str) -> str:
    """Draw a text with a line or a sign too many or too few, or as it is."""
    rows = text.split("\n")
    row = draw(st.integers(0, len(rows) - 1))
    column = draw(st.integers(0, len(rows[row])))
    match draw(st.sampled_from(["", "", "twice", "without", "cut", "sign"])):
        case "twice":
            rows.insert(row, rows[row])
        case "without":
            del rows[row]
        case "cut":
            rows[row:] = [rows[row][:column]]
        case "sign":
            rows[row] = rows[row][:column] + draw(st.sampled_from(SIGNS)) + rows[row][column:]
        case _:
            pass
    return "\n".join(rows)


def _members(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield what holds each value within another, and its key there."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _members(value[key])
