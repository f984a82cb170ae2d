"""Schedules of polls: their count and its inverse, and what they cost against the optimum and fixed intervals."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from benchmarks import polls
from benchmarks.inspection import LogNormal, evaluate, find_fixed, optimal_ages
from kling_adapters.protocol.history import HISTORY_LENGTH, Histories, History
from kling_adapters.protocol.polling import SHORTEST_INTERVAL, next_interval
from kling_adapters.protocol.schedule import ScaleFree, Schedule, expect_mean


def fill_history(*durations: float) -> History:
    history = History()
    for duration in durations:
        history.add(duration)
    return history


@pytest.mark.parametrize(("duration", "is_kept"), [(3600.0, True), (3600.5, False), (0.0, False)])
def test_duration_that_no_job_can_have_is_ignored(duration: float, *, is_kept: bool) -> None:
    assert isinstance(fill_history(duration).schedule(None), ScaleFree) is not is_kept


def draw_durations(spread: float, count: int, center: float = 300.0) -> list[float]:
    source = random.Random(count)
    return [source.lognormvariate(math.log(center), spread) for _ in range(count)]


SCHEDULES: dict[str, Schedule] = {
    "unknown": ScaleFree(),
    "documented": expect_mean(300.0),
    "one": fill_history(300.0).schedule(None),
    "two": fill_history(200.0, 400.0).schedule(None),
    "alike": fill_history(*[300.0] * 50).schedule(None),
    "narrow": fill_history(*draw_durations(0.1, 50)).schedule(None),
    "all but one alike": fill_history(*[300.0] * 10, 400.0, *[300.0] * 10).schedule(None),
    "wide": fill_history(*draw_durations(2.0, 50)).schedule(None),
    "outliers": fill_history(*draw_durations(0.1, 20), 20.0, 3000.0, *draw_durations(0.1, 20)).schedule(None),
    "two kinds": fill_history(*[30.0, 900.0] * 25).schedule(None),
    "short": fill_history(*[0.001] * 50).schedule(None),
    "long": fill_history(*[3600.0] * 50).schedule(None),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_age_is_the_inverse_of_count(name: str) -> None:
    schedule = SCHEDULES[name]
    ages = [0.0, *(10 ** (step / 10) for step in range(-40, 60))]
    counts = [schedule.count(age) for age in ages]
    assert counts[0] == 0
    assert all(sooner < later for sooner, later in pairwise(counts))
    assert [schedule.age(count) for count in counts] == pytest.approx(ages, rel=1e-6, abs=1e-9)


AGES = (1.0, 30.0, 200.0, 300.0, 400.0, 1000.0)
COUNTS = {
    "documented": (0.053333333333, 2.4523687548, 24.399274383, 37.309218871, 50.219163358, 127.67883028),
    "one": (0.11179561825, 3.3538685474, 22.428650921, 36.381287255, 51.346346851, 129.71782104),
    "two": (0.088704759203, 2.6493044277, 20.330108339, 35.368918203, 51.349985937, 136.76252117),
    "alike": (0.0042168490081, 0.12650547024, 0.84336980162, 10.15733298, 56.671973701, 134.10707709),
    "all but one alike": (
        0.021389311947,
        0.64167935842,
        4.2778623894,
        16.044724467,
        56.674321725,
        133.7899499,
    ),
    "wide": (0.0069958836077, 3.1583594089, 33.157755441, 49.191080603, 64.063521883, 138.80851269),
    "outliers": (0.011669687673, 0.3500906302, 2.7047227412, 21.309957665, 61.196980972, 159.2086962),
}
"""Polls until each of AGES. The benchmark compares them with the optimum; a change of them needs its figures."""


@pytest.mark.parametrize("name", COUNTS)
def test_polls_are_spent_as_the_benchmark_has_measured(name: str) -> None:
    counts = [SCHEDULES[name].count(age) for age in AGES]
    assert counts == pytest.approx(COUNTS[name], rel=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_intervals_are_bounded(name: str) -> None:
    ages = [0.0, *(10 ** (step / 10) for step in range(-40, 60))]
    for age in ages:
        assert 0.9 * SHORTEST_INTERVAL <= next_interval(SCHEDULES[name], age) <= 300.0


@pytest.mark.parametrize(
    ("name", "age"), [("narrow", 250.0), ("unknown", 0.0), ("unknown", 100.0), ("short", 9.0)]
)
def test_jobs_that_start_together_are_not_polled_together(name: str, age: float) -> None:
    intervals = [next_interval(SCHEDULES[name], age) for _ in range(1000)]
    mean = sum(intervals) / len(intervals)
    assert 0.85 < min(intervals) / mean < 0.92
    assert 1.08 < max(intervals) / mean < 1.15


def test_outliers_hardly_change_a_schedule() -> None:
    durations = draw_durations(0.1, 45)
    clean = fill_history(*durations).schedule(None)
    dirty = fill_history(3.0, 3600.0, 5.0, 2000.0, *durations).schedule(None)
    assert dirty.count(350) - dirty.count(250) == pytest.approx(clean.count(350) - clean.count(250), rel=0.2)


def test_history_keeps_the_last_durations() -> None:
    history = fill_history(*draw_durations(0.1, 500, center=30.0), *draw_durations(0.1, HISTORY_LENGTH))
    assert fill_history(*draw_durations(0.1, HISTORY_LENGTH)).schedule(None) == history.schedule(None)


def test_changed_model_is_learned_from_three_jobs() -> None:
    history = fill_history(*draw_durations(0.1, 50))
    polls_near_minute = [history.schedule(300.0).count(75) - history.schedule(300.0).count(45)]
    for _ in range(3):
        history.add(60.0)
        polls_near_minute.append(history.schedule(300.0).count(75) - history.schedule(300.0).count(45))
    assert polls_near_minute == [pytest.approx(polls, abs=1) for polls in (0, 3.9, 3.9, 15.6)]


@pytest.mark.parametrize("duration", [0.0, -1.0, math.inf, -math.inf, math.nan, 3601.0])
def test_impossible_durations_are_ignored(duration: float) -> None:
    history = fill_history(duration)
    assert isinstance(history.schedule(None), ScaleFree)
    assert history.schedule(300.0) == expect_mean(300.0)


def test_histories_are_kept_by_model() -> None:
    histories = Histories()
    assert histories.find("kling-2") is None
    histories.open("kling-2").add(300.0)
    assert histories.open("kling-2") is histories.find("kling-2")
    assert histories.find("kling-o1") is None


@pytest.mark.parametrize(("spread", "ratio"), [(0.1, 0.20), (0.2, 0.36), (0.3, 0.50), (0.5, 0.73)])
def test_optimum_of_the_benchmark_is_the_published_one(spread: float, ratio: float) -> None:
    duration = LogNormal(300.0, spread)
    optimum = evaluate(optimal_ages(duration, 10.0), duration)
    assert optimum.polls / find_fixed(duration, optimum.lag) == pytest.approx(ratio, abs=0.02)


def test_polls_are_near_the_optimum_and_never_worse_than_fixed_intervals() -> None:
    ratios = [*polls.measure_histories(), *polls.measure_errors()]
    assert len(ratios) == 6
    assert [ratio.name for ratio in ratios if not ratio.is_reached] == []
