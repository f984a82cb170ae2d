"""The rule When: limits of parameters under a condition."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from kling_adapters import _text
from kling_adapters.problems import Problem
from kling_adapters.schema.paths import Location, find_values, format_location, is_same, read_number

_Indexes: TypeAlias = tuple[int, ...]
"""Indexes of an item in its lists; empty for a parameter outside lists."""


@dataclass(frozen=True, kw_only=True)
class When:
    """If a condition holds, parameters have limits, are required or are forbidden.

    The names are paths: `shots.duration` is the parameter of every shot. A condition on such a path holds for an item
    or not, and limits in the same list are about the items for which it holds.

    Attributes:
        equals: Parameters of the condition, and the values of which each must have one; a documented default counts.
        present: Parameters of the condition that must be set; a documented default is not enough.
        allowed: Parameters, and the only values they may have if they are set.
        minimum: Parameters, and their smallest number.
        maximum: Parameters, and their largest number.
        min_length: Parameters, and their smallest number of characters.
        max_length: Parameters, and their largest number of characters.
        min_items: Parameters, and their smallest number of items.
        max_items: Parameters, and their largest number of items.
        required: Parameters that must be set.
        forbidden: Parameters that must not be set.

    """

    equals: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict[str, Any])
    present: Sequence[str] = ()
    allowed: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict[str, Any])
    minimum: Mapping[str, float] = dataclasses.field(default_factory=dict[str, float])
    maximum: Mapping[str, float] = dataclasses.field(default_factory=dict[str, float])
    min_length: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    max_length: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    min_items: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    max_items: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    required: Sequence[str] = ()
    forbidden: Sequence[str] = ()

    def problems(self, values: Mapping[str, Any], set_values: Mapping[str, Any]) -> Iterator[Problem]:
        """See Rule."""
        items = self._find_matching_items(values, set_values)
        for path in self.required:
            for location, value in _find_affected(path, set_values, items):
                if value is None:
                    yield Problem(format_location(location), f"required {self._reason}, but missing")
        for path in self.forbidden:
            for location, value in _find_affected(path, set_values, items):
                if value is not None:
                    yield Problem(format_location(location), f"cannot be set {self._reason}", value)
        for path, keyword, limit in self._iter_limits():
            for location, value in _find_affected(path, set_values, items):
                for message, allowed in _find_violation(keyword, value, limit):
                    yield Problem(format_location(location), f"{message} {self._reason}", value, allowed)

    def _find_matching_items(self, values: Mapping[str, Any], set_values: Mapping[str, Any]) -> set[_Indexes]:
        """Return the items for which the condition holds; those without indexes if it is about no list."""
        matches = [
            {
                _indexes(location)
                for location, value in find_values(path, values)
                if any(is_same(value, choice) for choice in choices)
            }
            for path, choices in self.equals.items()
        ]
        matches += [
            {_indexes(location) for location, value in find_values(path, set_values) if value is not None}
            for path in self.present
        ]
        items: set[_Indexes] = {()}
        for matching in matches:
            # A part of the condition outside the list holds for every item.
            if matching != {()}:
                items = matching if items == {()} else items & matching
        return items

    def _iter_limits(self) -> Iterator[tuple[str, str, Any]]:
        """Yield the path, the keyword and the limit of every limit."""
        for keyword in ("allowed", *_BOUNDS):
            for path, limit in getattr(self, keyword).items():
                yield path, keyword, limit

    @property
    def _reason(self) -> str:
        parts = [
            f"{path} is {' or '.join(map(_text.show, choices))}" for path, choices in self.equals.items()
        ]
        parts += [f"{path} is set" for path in self.present]
        return f"when {' and '.join(parts)}"


def _indexes(location: Location) -> _Indexes:
    return tuple(step for step in location if isinstance(step, int))


def _find_affected(
    path: str, set_values: Mapping[str, Any], items: set[_Indexes]
) -> Iterator[tuple[Location, Any]]:
    """Yield the locations and values of a parameter that a condition affects, which holds for some items."""
    for location, value in find_values(path, set_values) if items else ():
        # A condition outside lists is about every item; outside lists, one item is enough.
        if items == {()} or _indexes(location) in items | {()}:
            yield location, value


_BOUNDS = ("minimum", "maximum", "min_length", "max_length", "min_items", "max_items")


def _find_violation(keyword: str, value: Any, limit: Any) -> Iterator[tuple[str, str]]:
    """Yield the message and the allowed values, if a set value is beyond a limit."""
    if value is None:
        return
    if keyword == "allowed":
        if not any(is_same(value, choice) for choice in limit):
            yield f"{_text.show(value)} is not allowed", ", ".join(map(repr, limit))
        return
    amount, unit = _measure(keyword, value)
    is_lower = keyword.startswith("min")
    if amount is None or (amount >= limit if is_lower else amount <= limit):
        return
    allowed = f"at {'least' if is_lower else 'most'} {_text.format_number(limit)}"
    if unit:
        yield f"too {'few' if is_lower else 'many'} {unit} ({amount})", allowed
    else:
        yield f"{_text.show(value)} is too {'small' if is_lower else 'large'}", allowed


def _measure(keyword: str, value: Any) -> tuple[Any, str]:
    """Return the number that a bound limits, and its unit; None for a value of another type."""
    if keyword.endswith("_length"):
        return (len(value) if isinstance(value, str) else None), "characters"
    if keyword.endswith("_items"):
        is_list = isinstance(value, list)
        return (len(cast("Sequence[Any]", value)) if is_list else None), "items"
    return read_number(value), ""
