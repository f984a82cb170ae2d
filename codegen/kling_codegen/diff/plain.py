"""The differences between two plain values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from pydantic import MISSING


def find_differences(
    old: Any, new: Any, at: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield the location and both sides of each difference; MISSING for a side that has nothing there."""
    before, after = _members(old, at), _members(new, at)
    if before is not None and after is not None:
        for key in before.keys() | after.keys():
            yield from find_differences(before.get(key, MISSING), after.get(key, MISSING), (*at, key))
    elif old != new:
        yield at, old, new


def _members(value: Any, at: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the members of a mapping, or of a list at the top by their name, which comes first in each."""
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    if not isinstance(value, list) or len(at) != 1:
        return None
    items = cast("list[dict[str, Any]]", value)
    by_name = {str(next(iter(item.values()))): item for item in items}
    return by_name if len(by_name) == len(items) else {str(index): item for index, item in enumerate(items)}
