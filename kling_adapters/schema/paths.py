"""Values that rules look at: found by a path such as elements.frontal_image_url, and compared."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

Location: TypeAlias = tuple[str | int, ...]
"""Names and indexes that lead to a parameter."""

_INDEXES = re.compile(r"(\[\d+\])")


class RuleValues(Mapping[str, Any]):
    """Parameters as the checks pass them to rules; each becomes plain data when a rule reads it."""

    __slots__ = ()

    @abstractmethod
    def peek(self, name: str) -> Any:
        """Return the value of a parameter before it becomes plain data; None if it is not set."""


def count_items(values: Mapping[str, Any], name: str) -> int | None:
    """Return the number of items of a list: 0 if it is not set, None for a value that is not a list."""
    items = values.peek(name) if isinstance(values, RuleValues) else values.get(name)
    if items is None:
        return 0
    return len(cast("Sequence[Any]", items)) if isinstance(items, list | tuple) else None


def find_values(path: str, values: Mapping[str, Any]) -> Iterable[tuple[Location, Any]]:
    """Find the location and the value of a parameter in every object that can have it.

    Args:
        path: Names with dots between them; they lead through objects and through the items of lists.
        values: The parameters.

    Returns:
        The locations, each with its value: None if the parameter is not set there.

    """
    if "." not in path:
        return (((path,), values.get(path)),)
    first, *holders, name = path.split(".")
    return (
        ((*location, name), holder.get(name))
        for location, holder in _iter_objects(values.get(first), holders, (first,))
    )


def _iter_objects(
    value: Any, steps: Sequence[str], location: Location
) -> Iterator[tuple[Location, Mapping[str, Any]]]:
    if isinstance(value, list):
        for index, item in enumerate(cast("Sequence[Any]", value)):
            yield from _iter_objects(item, steps, (*location, index))
    elif isinstance(value, dict):
        members = cast("Mapping[str, Any]", value)
        if steps:
            yield from _iter_objects(members.get(steps[0]), steps[1:], (*location, steps[0]))
        else:
            yield location, members


def format_location(location: Iterable[str | int]) -> str:
    """Return a location as text, such as elements[0].frontal_image_url."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if step != "" else '.""'
    return text.removeprefix(".")


def parse_location(text: str) -> Location:
    """Return the location that `format_location` wrote, if no name in it has a dot or a bracket."""
    return tuple(
        int(step[1:-1]) if step.startswith("[") else step
        for part in text.split(".")
        for step in _INDEXES.split(part)
        if step
    )


def read_number(value: Any) -> Any:
    """Return a value that is a number; None for any other."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def is_same(value: Any, expected: Any) -> bool:
    """Return whether two values are the same JSON. To Python, True equals 1."""
    return bool(value == expected) and isinstance(value, bool) == isinstance(expected, bool)
