"""The JSON Schema subset of the spec language: its types, and the keywords of each type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias, cast

from pydantic import AfterValidator, Field, WithJsonSchema

from kling_codegen.closed import ValueRefused
from kling_codegen.messages import Message, find_closest, format_value, wrong_type

# Python, ECMAScript and Rust, whose patterns JSON Schema and pydantic use, disagree about \s: the characters that
# only some of them count as a space are listed.
HTTP_URL = r"^https?://[^\s\x00-\x1f\x85\ufeff/?#][^\s\x00-\x1f\x85\ufeff]*$"

KINDS = ("string", "integer", "number", "boolean", "array", "object")
KIND_VALUES = [*KINDS, *([kind, "null"] for kind in KINDS)]
KEYWORDS_OF = {
    "string": {"enum", "default", "format", "minLength", "maxLength", "media", "or"},
    "integer": {"enum", "default", "minimum", "maximum"},
    # Not enum: a Literal of floats cannot be written in Python.
    "number": {"default", "minimum", "maximum"},
    "boolean": {"enum", "default"},
    "array": {"default", "items", "minItems", "maxItems"},
    "object": {"properties", "required"},
}
# The keys that go with every type.
ANNOTATIONS = {"type", "description", "renamed_from", "deprecated"}
PYTHON_TYPES = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "array": list,
    "object": dict,
}
RANGES = {
    ("minimum", "maximum"): ("number", ""),
    ("minLength", "maxLength"): ("string", "characters"),
    ("minItems", "maxItems"): ("array", "items"),
}
"""Each pair of bounds, the type it bounds, and the unit it counts."""
# pydantic accepts no larger integer in a Literal.
LARGEST = 2**63 - 1
# The kind of a schema whose type is invalid.
UNKNOWN = "unknown"


def bare_kind(kind: Any) -> str:
    """Return a `type` without null."""
    return str(cast("Sequence[Any]", kind)[0] if isinstance(kind, list) else kind)


def is_kind(kind: str, value: Any) -> bool:
    """Return whether a value is of a type of JSON Schema."""
    if kind == UNKNOWN:
        return True
    # To Python, True is an int.
    if isinstance(value, bool):
        return kind == "boolean"
    is_finite = not isinstance(value, float) or math.isfinite(value)
    return is_finite and isinstance(value, PYTHON_TYPES[kind])


def _check_kind(value: Any) -> Any:
    if value in KIND_VALUES:
        return value
    raise ValueRefused(
        Message(f"unknown type {format_value(value)}", _ALLOWED_KINDS, find_closest(value, KINDS))
    )


def _check_number(value: Any) -> Any:
    if not is_kind("number", value):
        raise ValueRefused(wrong_type("number", value))
    return value


_ALLOWED_KINDS = ", ".join([*KINDS, '[one of these, "null"]'])
Kind: TypeAlias = Annotated[Any, AfterValidator(_check_kind), WithJsonSchema({"enum": KIND_VALUES})]
Number: TypeAlias = Annotated[Any, AfterValidator(_check_number), WithJsonSchema({"type": "number"})]
# pydantic takes no count that is larger than a machine's.
Count: TypeAlias = Annotated[int, Field(ge=0, le=10**9)]
