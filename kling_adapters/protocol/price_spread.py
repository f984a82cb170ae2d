"""The spread of the costs of jobs of a kind, robust against single costs that are far from the others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from kling_adapters.protocol.median import find_median

_RECENT: Final = 20
"""Jobs of a kind whose costs count: prices change."""
_FEWEST: Final = 5
"""Jobs of which one can be an outlier."""
_FENCE: Final = 12.0
"""Median deviations from the median beyond which a cost is an outlier."""
_NEAREST: Final = 0.5
"""The share of the median within which no cost is an outlier."""
_NEWEST: Final = 3
"""The last jobs, none of which is an outlier: after a change of the price their costs are the usual ones."""
SAME: Final = 0.02
"""The relative difference of two costs that count as the same."""


def drop_outliers(costs: Sequence[float]) -> list[int]:
    """Return the positions of the costs, the oldest first, without outliers: at most a fifth of them."""
    positions = list(range(len(costs)))
    if len(costs) < _FEWEST:
        return positions
    middle = find_median(costs)
    deviation = find_median(abs(cost - middle) for cost in costs)
    fence = max(_FENCE * deviation, _NEAREST * middle)
    outliers = {position for position in positions[:-_NEWEST] if abs(costs[position] - middle) > fence}
    if len(outliers) > len(costs) // _FEWEST:
        return positions
    return [position for position in positions if position not in outliers]


def measure_spread(costs: Sequence[float]) -> tuple[float, float, float]:
    """Return the lowest, the expected and the highest cost of the next job of a kind.

    Args:
        costs: The costs of earlier jobs of this kind, in credits, the oldest first; at least one.

    """
    recent = [costs[position] for position in drop_outliers(costs)][-_RECENT:]
    low, high = min(recent), max(recent)
    last = recent[-1]
    unchanged = list(takewhile(lambda cost: abs(cost - last) <= SAME * last, reversed(recent)))
    expected = find_median(unchanged if len(unchanged) >= _NEWEST else recent)
    # Costs that differ for no visible reason: the fewer there are, the further the next may lie from them.
    margin = (high - low) / len(recent)
    return max(0.0, low - margin), expected, high + margin
