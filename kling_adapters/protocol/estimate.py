"""The price of a job before it is submitted: from the price line of its model, and the costs of earlier jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from kling_adapters._text import format_sum
from kling_adapters.protocol.median import find_median
from kling_adapters.protocol.price_facts import (
    Feature,
    Features,
    PriceFacts,
    is_duration,
    is_usual_driver,
)
from kling_adapters.protocol.price_spread import SAME, drop_outliers, measure_spread

PriceSource: TypeAlias = Literal["spec", "journal", "history"]
"""Source of a price: the page of the model, the journal, or the request history of the gateway."""

ENOUGH_JOBS: Final = 3
"""Jobs with equal parameters and costs that need no explanation of the differences to others."""
_SPEC: Final[tuple[PriceSource, ...]] = ("spec",)
_APPROXIMATE: Final = 2.0
"""An approximate price of a page is the average of jobs of every length and quality."""
_EXPLAINED: Final = 0.5
"""The share of the deviations that may remain after a parameter has explained the others."""


@dataclass(frozen=True)
class Estimate:
    """The price of one job, in credits.

    Attributes:
        model: Slug of the model.
        low: The lowest price to expect; None if it is unknown.
        expected: The most likely price; None if it is unknown.
        high: The highest price to expect, which `max_cost` sets aside for the job; None if it is unknown.
        sources: The sources of the price: "spec", "journal" or "history"; empty if it is unknown.
        jobs: The number of earlier jobs it rests on.
        drivers: The parameters that decide the price, as far as it is known, with their values in this request.
        gap: Reason for which jobs that only the request history has do not count; None if they do, if enough jobs of
            the journal are alike, or if the history is turned off.

    """

    model: str
    low: float | None = None
    expected: float | None = None
    high: float | None = None
    sources: tuple[PriceSource, ...] = ()
    jobs: int = 0
    drivers: Mapping[str, bool | float | str] = field(default_factory=dict[str, Feature])
    gap: str | None = None

    def __str__(self) -> str:
        """Return sentences for readers."""
        return self._describe_price() + describe_gap(self.gap)

    def _describe_price(self) -> str:
        if self.expected is None or self.low is None or self.high is None:
            place = "" if self.gap is None else " of the journal"
            return f"The price of this {self.model} job is unknown: its spec has none, and no earlier job{place} is like it."
        spread = f" ({format_sum(self.low)} to {format_sum(self.high)})" if self.low != self.high else ""
        sources = " and ".join(f"the {source}" for source in self.sources)
        return f"A {self.model} job costs about {format_sum(self.expected)} credits{spread}, according to {sources}."


def describe_gap(gap: str | None) -> str:
    """Return the sentence for readers about `Estimate.gap`, after a space; empty without one."""
    return "" if gap is None else f" The request history was not read: {gap.rstrip('.')}."


@dataclass(frozen=True)
class PastJob:
    """An ended job: the properties of its request, its cost in credits, and the source of that."""

    features: Features
    cost: float
    source: PriceSource = "journal"


def estimate_price(model: str, facts: PriceFacts, features: Features, jobs: Sequence[PastJob]) -> Estimate:
    """Return the price of a request.

    Args:
        model: Slug of the model.
        facts: Facts of the model.
        features: Properties of the request.
        jobs: Earlier jobs of the model, the oldest first.

    """
    equal = [job for job in jobs if job.features == features]
    if len(equal) >= ENOUGH_JOBS and not _differ(equal):
        return _rest_on(model, equal, features, features)
    drivers = _list_drivers(facts, features, jobs)
    similar = [job for job in jobs if _agree(job.features, features, drivers)]
    if not similar:
        return _estimate_unseen(model, facts, features, jobs, drivers)
    alike, drivers = _narrow(similar, features, drivers)
    return _rest_on(model, alike, features, drivers)


def _rest_on(model: str, jobs: Sequence[PastJob], features: Features, drivers: Iterable[str]) -> Estimate:
    spread = measure_spread([job.cost for job in jobs])
    return Estimate(
        model,
        *spread,
        _list_sources(jobs),
        len(jobs),
        {name: features[name] for name in drivers if name in features},
    )


def _list_sources(jobs: Iterable[PastJob]) -> tuple[PriceSource, ...]:
    return tuple(dict.fromkeys(job.source for job in jobs))


def _list_drivers(facts: PriceFacts, features: Features, jobs: Sequence[PastJob]) -> tuple[str, ...]:
    """Return the properties in which requests must agree before their costs are compared."""
    drivers = set(facts.drivers)
    for request in (features, *(job.features for job in jobs)):
        drivers.update(name for name, feature in request.items() if is_usual_driver(name, feature))
    return tuple(sorted(drivers))


def _agree(first: Features, second: Features, names: Iterable[str]) -> bool:
    return all(first.get(name) == second.get(name) for name in names)


def _differ(jobs: Sequence[PastJob]) -> bool:
    costs = [job.cost for job in jobs]
    return max(costs) > min(costs) * (1 + SAME)


def _narrow(
    jobs: Sequence[PastJob], features: Features, drivers: tuple[str, ...]
) -> tuple[Sequence[PastJob], tuple[str, ...]]:
    """Return the jobs that also agree in the properties that explain why their costs differ, and all drivers."""
    usual = [jobs[position] for position in drop_outliers([job.cost for job in jobs])]
    while _differ(usual) and (name := _find_driver(usual, drivers)) is not None:
        similar = [job for job in usual if job.features.get(name) == features.get(name)]
        drivers = (*drivers, name)
        if not similar:
            break
        usual = similar
    return usual, drivers


def _find_driver(jobs: Sequence[PastJob], drivers: tuple[str, ...]) -> str | None:
    """Return the property that explains most of the differences between costs; None if there is none."""
    names = sorted({name for job in jobs for name in job.features} - set(drivers))
    best, least = None, _EXPLAINED * _measure_deviation([job.cost for job in jobs])
    for name in names:
        groups: defaultdict[Feature | None, list[float]] = defaultdict(list)
        for job in jobs:
            groups[job.features.get(name)].append(job.cost)
        # A property that differs in every job would explain anything.
        if 1 < len(groups) <= len(jobs) // 2:
            deviation = sum(_measure_deviation(costs) for costs in groups.values())
            if deviation < least:
                best, least = name, deviation
    return best


def _measure_deviation(costs: Sequence[float]) -> float:
    middle = find_median(costs)
    return sum(abs(cost - middle) for cost in costs)


def _estimate_unseen(
    model: str,
    facts: PriceFacts,
    features: Features,
    jobs: Sequence[PastJob],
    drivers: tuple[str, ...],
) -> Estimate:
    """Return the price of a request unlike earlier jobs: of its page, and of jobs that differ only in duration."""
    shown = {name: features[name] for name in drivers if name in features}
    documented = _read_documented(facts, features)
    ratios = [(job, ratio) for job in jobs if (ratio := _compare_durations(job.features, features, drivers))]
    if not ratios and documented is None:
        return Estimate(model, drivers=shown)
    # Between a price for the job and one for the second.
    lows = [job.cost * min(1.0, ratio) for job, ratio in ratios]
    highs = [job.cost * max(1.0, ratio) for job, ratio in ratios]
    expected = [job.cost * ratio for job, ratio in ratios]
    sources: tuple[PriceSource, ...] = _list_sources(job for job, _ in ratios)
    if documented is not None:
        sources = (*_SPEC, *sources)
        low, usual, high = documented
        lows, highs, expected = [low, *lows], [high, *highs], expected or [usual]
        if jobs:
            # The page may be older than a rise of its prices.
            highest = measure_spread([job.cost for job in jobs])[2]
            if highest > max(highs):
                highs, sources = [highest], (*_SPEC, *_list_sources(jobs))
    return Estimate(model, min(lows), find_median(expected), max(highs), sources, len(ratios), shown)


def _read_documented(facts: PriceFacts, features: Features) -> tuple[float, float, float] | None:
    """Return the lowest, the usual and the highest price of a request on the page of its model; None without one."""
    units = None if facts.line is None else facts.line.count_units(features)
    if facts.line is None or units is None:
        return None
    factor = _APPROXIMATE if facts.line.is_approximate else 1.0
    low, high = units * facts.line.low, units * facts.line.high
    return low / factor, (low + high) / 2, high * factor


def _compare_durations(earlier: Features, features: Features, drivers: tuple[str, ...]) -> float | None:
    """Return the duration of a request relative to an earlier one; None if they differ in anything else."""
    different = [name for name in drivers if earlier.get(name) != features.get(name)]
    if len(different) != 1 or not is_duration(different[0]):
        return None
    before, now = earlier.get(different[0]), features.get(different[0])
    return now / before if isinstance(before, float) and isinstance(now, float) and before else None
