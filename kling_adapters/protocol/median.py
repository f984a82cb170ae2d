"""The median of costs and of durations. The module statistics is slow to import."""

from __future__ import annotations

from collections.abc import Iterable


def find_median(values: Iterable[float]) -> float:
    """Return the median of at least one value: of an even number, the mean of the two in the middle."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
