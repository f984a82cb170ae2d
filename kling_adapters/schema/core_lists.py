"""Validation of lists in pydantic-core, without functions of Python."""

from __future__ import annotations

import typing
from typing import Any, cast

from pydantic_core import core_schema

_OPAQUE = ("default", "metadata")


def move_lists_to_core(schema: Any) -> None:
    """Change the schema of a model in place, so that pydantic-core alone validates a list.

    For a Sequence, pydantic calls two functions of Python, which take ten times as long as the list itself. The same
    values are accepted, lists and tuples; a tuple becomes a list.

    Args:
        schema: A core schema, or a part of one.

    """
    if isinstance(schema, dict):
        parts = cast("dict[str, Any]", schema)
        for name, part in parts.items():
            if name not in _OPAQUE:
                move_lists_to_core(part)
        if parts.get("type") == "json-or-python" and _is_sequence(parts["python_schema"]):
            parts["python_schema"] = _make_list_schema(parts["json_schema"], parts["python_schema"])


def _is_sequence(schema: Any) -> bool:
    first = schema["steps"][0] if schema["type"] == "chain" else schema
    return bool(first["type"] == "is-instance" and first["cls"] is typing.Sequence)


def _make_list_schema(list_schema: Any, python_schema: Any) -> core_schema.CoreSchema:
    steps: Any = [
        core_schema.is_instance_schema((list, tuple), cls_repr="list"),
        {**list_schema, "strict": False},
    ]
    return core_schema.lax_or_strict_schema(
        core_schema.chain_schema(steps),
        # For a call with strict=True, in which pydantic-core takes no tuple.
        python_schema,
        strict=False,
    )
