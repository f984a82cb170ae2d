"""Where a model and its packaged schema differ on purpose: the whole list, which docs/validation.md tells users."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .inputs import URL, kind_of

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """One kind of value that the model judges otherwise than the schema.

    `here` says whether a value is of this kind, given the part of the schema it is for; `read` is what the model takes
    it for. What the model refuses is read as something that the schema refuses, too.
    """

    name: str
    model: Literal["takes", "refuses"]
    reason: str
    here: Callable[[Schema, Any], bool]
    read: Callable[[Schema, Any], Any]


def refused(schema: Schema, value: Any) -> Any:
    """Return something that breaks the type of a part, and nothing below it."""
    return [] if kind_of(schema) == "object" else {}


def _choices(schema: Schema) -> list[Any]:
    return [choice for choice in schema.get("enum", ()) if choice is not None]


def _is_text_of_integer(schema: Schema, value: Any) -> bool:
    return type(value) is str and any(type(choice) is int and value == str(choice) for choice in _choices(schema))


def _is_integer_of_text(schema: Schema, value: Any) -> bool:
    choices = _choices(schema)
    digits = all(type(choice) is str and re.fullmatch("[0-9]+", choice) for choice in choices)
    return type(value) is int and digits and abs(value) < 10**100 and str(value) in choices


def _is_file(schema: Schema, value: Any) -> bool:
    if "pattern" not in schema:
        return False
    if isinstance(value, str):
        found = re.fullmatch(r"data:[^,]*;base64,(.*)", value, re.DOTALL)
        try:
            value = base64.b64decode("".join(found[1].split()), validate=True) if found else None
        except ValueError:
            return False
    return isinstance(value, bytes) and value.startswith(b"\x89PNG\r\n\x1a\n")


def _is_whole_float(schema: Schema, value: Any) -> bool:
    return kind_of(schema) == "integer" and type(value) is float and value.is_integer()


DIFFERENCES = (
    Difference(
        "the text of an integer",
        "takes",
        "the documentation's own examples send `\"5\"` where its table says integer; 5 is sent",
        _is_text_of_integer,
        lambda schema, value: int(value),
    ),
    Difference(
        "the integer of a text of digits",
        "takes",
        'as above, the other way round; `"5"` is sent',
        _is_integer_of_text,
        lambda schema, value: str(value),
    ),
    Difference(
        "a file for a URL",
        "takes",
        "it is uploaded, and its URL is sent",
        _is_file,
        lambda schema, value: URL,
    ),
    Difference(
        "a tuple for a list",
        "takes",
        "Python has both, JSON has one; a list is sent",
        lambda schema, value: kind_of(schema) == "array" and type(value) is tuple,
        lambda schema, value: list(value),
    ),
    Difference(
        "a whole number written with a point, for an integer",
        "refuses",
        "to JSON Schema 5.0 is an integer; the documentation never writes one so, and the gateway might not take it",
        _is_whole_float,
        refused,
    ),
)

# No JSON text holds these, so a schema has nothing to say of them, and a model refuses them.
_JSON = (type(None), bool, int, float, str, list, dict)


def is_json(value: Any) -> bool:
    """Whether a text in JSON could say it, leaving aside what it is made of."""
    if isinstance(value, str):
        return re.search("[\ud800-\udfff]", value) is None
    return type(value) in _JSON and not (isinstance(value, float) and not math.isfinite(value))
