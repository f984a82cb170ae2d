"""Comparison of the parameters of a submit with those that the request history lists, which may be normalised."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?", re.ASCII)
_NO_FACTS: Mapping[str, Any] = {}


def is_same_body(
    sent: Mapping[str, Any], listed: Mapping[str, Any], schema: Mapping[str, Any] | None
) -> bool:
    """Return whether two bodies are the same request of a model.

    The history may add or omit documented defaults, change the order of members, write a number in another form (5,
    5.0, and "5" for a parameter that is documented as a number), and write a missing parameter as null. Any other
    difference makes another request.

    Args:
        sent: The parameters that were sent.
        listed: The parameters of a row of the history.
        schema: The JSON Schema of the model; None without a spec, which then has no defaults.

    """
    return _is_same_object(sent, listed, schema or _NO_FACTS)


def _is_same_object(sent: Mapping[str, Any], listed: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", _NO_FACTS)
    return all(
        _is_same_member(sent.get(name), listed.get(name), properties.get(name, _NO_FACTS))
        for name in sent.keys() | listed.keys()
    )


def _is_same_member(sent: Any, listed: Any, declared: Mapping[str, Any]) -> bool:
    """Compare the values of a parameter; one that is missing, or null, has its default."""
    default = declared.get("default")
    sent, listed = (default if value is None else value for value in (sent, listed))
    return _is_same(sent, listed, declared)


def _is_same(sent: Any, listed: Any, declared: Mapping[str, Any]) -> bool:
    kinds: tuple[Any, Any] = sent.__class__, listed.__class__
    if kinds == (dict, dict):
        return _is_same_object(sent, listed, declared)
    if kinds == (list, list):
        return _is_same_list(sent, listed, declared.get("items", _NO_FACTS))
    is_number = _is_documented_number(declared)
    numbers = _read_number(sent, is_text=is_number), _read_number(listed, is_text=is_number)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return kinds[0] is kinds[1] and bool(sent == listed)


def _is_same_list(sent: list[Any], listed: list[Any], items: Mapping[str, Any]) -> bool:
    return len(sent) == len(listed) and all(
        _is_same(item, listed_item, items) for item, listed_item in zip(sent, listed, strict=True)
    )


def _is_documented_number(declared: Mapping[str, Any]) -> bool:
    """Return whether a parameter is a number, or takes only texts of numbers."""
    types: Any = declared.get("type", ())
    values = declared.get("enum", ())
    is_numeric = not {"integer", "number"}.isdisjoint([types] if isinstance(types, str) else types)
    return is_numeric or (bool(values) and all(_NUMBER.fullmatch(str(value)) for value in values))


def _read_number(value: Any, *, is_text: bool) -> Decimal | None:
    """Return the exact number; with `is_text`, also of its text."""
    if isinstance(value, float):
        # Its shortest text, as JSON has it: 0.7 is not the binary number next to it.
        return Decimal(repr(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if is_text and isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    return None
