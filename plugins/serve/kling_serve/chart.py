"""A bar chart of costs by day and model, as shapes for an inline SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

WIDTH: Final = 960
HEIGHT: Final = 260
MARGIN: Final = 48
END: Final = 20
BOTTOM: Final = 28
TOP: Final = 8
COLORS: Final = 8
"""Colours of the stylesheet; the last is for all further models."""


@dataclass(frozen=True)
class Bar:
    """The cost of one model on one day, as a rectangle."""

    x: float
    y: float
    width: float
    height: float
    color: int
    label: str


@dataclass(frozen=True)
class Chart:
    """The shapes of a chart.

    Attributes:
        bars: The rectangles.
        ticks: The lines across the chart: their height, and the cost that they stand for.
        days: The labels of days: their place, and the day.
        models: The models with their colours and costs, the most expensive first.

    """

    bars: list[Bar]
    ticks: list[tuple[float, float]]
    days: list[tuple[float, str]]
    models: list[tuple[str, int, float]]


def make_chart(costs: Iterable[tuple[float, str, float]], days: int, today: date) -> Chart:
    """Return the chart of the last days.

    Args:
        costs: Time, model and cost in credits of each job.
        days: The number of days.
        today: The last day.

    """
    sums: dict[tuple[date, str], float] = {}
    totals: dict[str, float] = {}
    first = today - timedelta(days=days - 1)
    for created, model, cost in costs:
        day = datetime.fromtimestamp(created, UTC).date()
        if first <= day <= today and cost > 0:
            sums[day, model] = sums.get((day, model), 0.0) + cost
            totals[model] = totals.get(model, 0.0) + cost
    models = [
        (model, min(index, COLORS - 1), cost)
        for index, (model, cost) in enumerate(sorted(totals.items(), key=lambda item: (-item[1], item[0])))
    ]
    highest = max((sum(sums.get((day, model), 0.0) for model in totals) for day, _ in sums), default=0.0)
    step = find_step(highest)
    top = max(math.ceil(highest / step - 1e-9), 1) * step
    scale = (HEIGHT - BOTTOM - TOP) / top
    ticks = [
        (HEIGHT - BOTTOM - number * step * scale, number * step) for number in range(round(top / step) + 1)
    ]
    slot = (WIDTH - MARGIN - END) / days
    every = math.ceil(days / 10)
    labels = [
        (MARGIN + (number + 0.5) * slot, f"{first + timedelta(days=number):%d %b}")
        for number in range(days)
        if (days - 1 - number) % every == 0
    ]
    return Chart(_stack(sums, models, first, slot, scale), ticks, labels, models)


def _stack(
    sums: dict[tuple[date, str], float],
    models: list[tuple[str, int, float]],
    first: date,
    slot: float,
    scale: float,
) -> list[Bar]:
    bars: list[Bar] = []
    for day in sorted({day for day, _ in sums}):
        bottom = float(HEIGHT - BOTTOM)
        for model, color, _ in models:
            cost = sums.get((day, model), 0.0)
            if cost:
                height = cost * scale
                x, width = MARGIN + (day - first).days * slot + slot * 0.15, slot * 0.7
                label = f"{day:%d %b %Y}, {model}: {cost:,.3g} credits"
                bars.append(Bar(x, bottom - height, width, height, color, label))
                bottom -= height
    return bars


def find_step(highest: float) -> float:
    """Return the distance of the lines of a chart: 1, 2 or 5 times a power of ten, for four lines or so."""
    if highest <= 0:
        return 1.0
    raw = highest / 4
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
