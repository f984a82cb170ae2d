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


@st.composite
def damaged(draw: DrawFn) -> tuple[str, str]:  # noqa: C901, PLR0912  a list
    """Draw a spec with something wrong, or merely changed: its slug, and the text of its file."""
    spec: Any = copy.deepcopy(draw(documents()))
    slug = spec["slug"]
    for _ in range(draw(st.integers(0, 2))):
        holder, key = draw(st.sampled_from(list(_members(spec))))
        stranger = copy.deepcopy(draw(st.sampled_from(STRANGERS)))
        match draw(st.sampled_from(["drop", "rename", "replace", "wrap", "swap", "add"])):
            case "drop":
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[
                    draw(
                        st.sampled_from(
                            [f"{key}x", str(key).upper(), str(key)[1:], "type", "items", "default", "enum"]
                        )
                    )
                ] = holder.pop(key)
            case "wrap":
                holder[key] = draw(
                    st.sampled_from([[holder[key]], {"properties": holder[key]}, {"a": holder[key]}])
                )
            case "swap":
                other, there = draw(st.sampled_from(list(_members(spec))))
                holder[key], other[there] = copy.deepcopy(other[there]), copy.deepcopy(holder[key])
            case "add" if isinstance(holder[key], dict):
                name = draw(
                    st.sampled_from(
                        [
                            "default",
                            "enum",
                            "minimum",
                            "maxLength",
                            "format",
                            "items",
                            "required",
                            "properties",
                            "nullable",
                        ]
                    )
                )
                holder[key][name] = stranger
            case _:
                holder[key] = stranger
        if not any(True for _ in _members(spec)):
            break
    text = to_yaml(spec, draw(st.sampled_from(['"', "'", "|"])), flow=draw(st.booleans()))
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
            sign = draw(
                st.sampled_from(
                    [
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
                )
            )
            rows[row] = rows[row][:column] + sign + rows[row][column:]
        case _:
            pass
    return slug, "\n".join(rows)


def _members(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield what holds each value within another, and its key there."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        yield value, key
        yield from _members(value[key])
