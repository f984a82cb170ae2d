"""The complete list of intended differences between a model and its packaged schema.

docs/validation.md documents it, and a test compares the two.
"""

from __future__ import annotations

import base64
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from kling_codegen.names import field_names

from tests.support.media import make_png

from .inputs import kind_of, kinds_of

Schema = Mapping[str, Any]

UPLOADED = "https://example.com/uploaded.png"


@dataclass(frozen=True)
class Difference:
    """One kind of value. `here` says whether a value is of it, given the part of the schema that the value is for; `read` returns
    what the model takes it for, and without it the model refuses what the schema allows. `example` has such a value for
    the model `corners` of tests/golden, beside what is required.
    """

    name: str
    reason: str
    example: Mapping[str, Any]
    here: Callable[[Schema, Any], bool]
    read: Callable[[Schema, Any], Any] | None = None


def _choices(schema: Schema) -> list[Any]:
    return [choice for choice in schema.get("enum", ()) if choice is not None]


def _is_text_of_integer(schema: Schema, value: Any) -> bool:
    return type(value) is str and any(
        type(choice) is int and value == str(choice) for choice in _choices(schema)
    )


def _is_integer_of_text(schema: Schema, value: Any) -> bool:
    if type(value) is not int or kind_of(schema) != "string":
        return False
    choices = _choices(schema)
    return (
        value in map(int, choices)
        if all(re.fullmatch("0|[1-9][0-9]*", choice) for choice in choices)
        else False
    )


def _is_file(schema: Schema, value: Any) -> bool:
    if "pattern" not in schema:
        return False
    if isinstance(value, str) and (match := re.fullmatch(r"data:[^,]*;base64,(.*)", value, re.DOTALL)):
        try:
            value = base64.b64decode("".join(match[1].split()), validate=True)
        except ValueError:
            return False
    is_for_image = schema.get("x-kling", {}).get("media", "image") == "image"
    return is_for_image and isinstance(value, bytes) and value.startswith(make_png())


def _is_number(schema: Schema, value: Any) -> bool:
    return (
        kind_of(schema) == "number"
        and type(value) in (int, Decimal, Fraction)
        and not _is_endless(schema, value)
    )


def _is_endless(schema: Schema, value: Any) -> bool:
    return kind_of(schema) == "number" and type(value) is int and abs(value) > sys.float_info.max


def _is_whole_float(schema: Schema, value: Any) -> bool:
    return kind_of(schema) == "integer" and type(value) is float and value.is_integer()


def by_wire_name(schema: Schema, value: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return an object with the JSON names of its members; a member present under both names keeps the Python one."""
    wire = _wire_names(tuple(schema.get("properties", ())))
    return {name if wire.get(name, name) in value else wire[name]: member for name, member in value.items()}


@cache
def _wire_names(properties: tuple[str, ...]) -> dict[str, str]:
    return {name: wire for wire, name in field_names(properties).items()}


def list_old_names(schema: Schema) -> dict[str, str]:
    """Return the present names of the members of an object, by their old names."""
    return {
        old: name
        for name, part in schema.get("properties", {}).items()
        for old in part.get("x-kling", {}).get("renamed_from", ())
    }


def by_present_name(schema: Schema, value: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return an object with the present names of its members; an old name beside the present one stays."""
    renamed = list_old_names(schema)
    result: dict[Any, Any] = {}
    for name, member in value.items():
        present = renamed.get(name, name)
        result[name if present in value or present in result else present] = member
    return result


ALTERNATE_FORMS = (
    Difference(
        "the text of an integer",
        'examples of the documentation send `"5"` where its table says integer; the integer is sent',
        {"level": "1"},
        _is_text_of_integer,
        lambda _, value: int(value),
    ),
    Difference(
        "the integer of a text of digits",
        "the same the other way round; the text is sent",
        {"size": 2},
        _is_integer_of_text,
        lambda _, value: str(value),
    ),
)
DIFFERENCES = (
    *ALTERNATE_FORMS,
    Difference(
        "the name of a parameter in Python",
        "a name that Python or the adapter needs has an underscore there; its own name is sent",
        {"def_": "x"},
        lambda schema, value: isinstance(value, dict) and list(value) != list(by_wire_name(schema, value)),
        by_wire_name,
    ),
    Difference(
        "the old name of a parameter",
        "calls with it work, with a warning; the present name is sent",
        {"scale": 0.5},
        lambda schema, value: isinstance(value, dict) and list(value) != list(by_present_name(schema, value)),
        by_present_name,
    ),
    Difference(
        "a file for a URL",
        "it is uploaded first, and its URL is sent",
        {"picture": "data:image/png;base64,iVBORw0KGgo=", "def": "x"},
        _is_file,
        lambda *_: UPLOADED,
    ),
    Difference(
        "a tuple for a list",
        "Python has both, JSON has one; a list is sent",
        {"views": ("left", "right")},
        lambda schema, value: "array" in kinds_of(schema) and type(value) is tuple,
        lambda _, value: list(value),
    ),
    Difference(
        "an integer, a Decimal or a Fraction for a number",
        "the float next to it is sent, which above 2**53 may be another number",
        {"weight": 2**53 + 1},
        _is_number,
        lambda _, value: float(value),
    ),
    Difference(
        "an integer too large for a float, for a number",
        "no float is next to it",
        {"weight": 10**400},
        _is_endless,
    ),
    Difference(
        "a float for an integer",
        "to JSON Schema 5.0 is an integer; the documentation writes none so",
        {"level": 1.0},
        _is_whole_float,
    ),
)


def is_json(value: Any) -> bool:
    """Return whether JSON can hold the value itself, its members aside. A model refuses everything else."""
    if isinstance(value, str):
        return re.search("[\ud800-\udfff]", value) is None
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or type(value) in (bool, int, list, dict)
