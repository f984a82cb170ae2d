"""How long each wait is: what is drawn lies within its bounds, and reaches them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kling_adapters.protocol import polling

DRAWS = 1000


def drawn(wait: Callable[[], float | None]) -> tuple[float, float]:
    """Return the shortest and the longest of many waits."""
    waits = [seconds for seconds in (wait() for _ in range(DRAWS)) if seconds is not None]
    assert len(waits) == DRAWS
    return min(waits), max(waits)


def is_spread_about(seconds: float, wait: Callable[[], float | None]) -> bool:
    shortest, longest = drawn(wait)
    return 0.9 * seconds <= shortest < 0.91 * seconds and 1.09 * seconds < longest <= 1.1 * seconds + 1e-9


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (12, 30), (5000, 30)]
)
def test_failures_in_a_row_double_the_wait_up_to_half_a_minute(failures: int, seconds: float) -> None:
    assert is_spread_about(seconds, lambda: polling.backoff(failures))


@pytest.mark.parametrize(("failures", "seconds"), [(1, 2), (2, 4), (3, 8), (5, 30)])
@pytest.mark.parametrize("reset", [None, 0.0, -9.0])
def test_a_limit_of_which_nothing_useful_is_told_is_waited_for_longer(
    failures: int, seconds: float, reset: float | None
) -> None:
    assert is_spread_about(seconds, lambda: polling.after_rate_limit(reset, failures))


def test_a_limit_with_an_end_is_waited_for_and_a_moment_more() -> None:
    shortest, longest = drawn(lambda: polling.after_rate_limit(50.0, 1))
    assert 50.1 <= shortest < 50.12
    assert 50.98 < longest <= 51.0


@pytest.mark.parametrize(("elapsed", "seconds"), [(0, 1), (9, 1), (20, 2), (60, 6), (100, 10), (1000, 10)])
def test_polls_are_a_tenth_of_the_time_apart_but_one_to_ten_seconds(elapsed: float, seconds: float) -> None:
    pace = polling.Pace()
    assert is_spread_about(seconds, lambda: pace.interval(elapsed))


def test_each_limit_doubles_the_distance_of_polls_up_to_sixteenfold() -> None:
    pace = polling.Pace()
    for factor in (2, 4, 8, 16, 16):
        assert 50.1 <= (pace.rate_limited(50.0, 1) or 0) <= 51.0
        assert is_spread_about(factor, lambda: pace.interval(0.0))


def test_a_submit_that_started_nothing_is_tried_four_times() -> None:
    for _ in range(DRAWS):
        retries = polling.SubmitRetries()
        first, second, third, fourth = (retries.after_failure() for _ in range(4))
        assert first == pytest.approx(1, rel=0.1)
        assert second == pytest.approx(2, rel=0.1)
        assert third == pytest.approx(4, rel=0.1)
        assert fourth is None


def test_five_minutes_are_spent_on_a_limit_and_no_more() -> None:
    assert drawn(lambda: polling.SubmitRetries().after_rate_limit(298.9))[1] > 299.8
    for _ in range(DRAWS):
        assert polling.SubmitRetries().after_rate_limit(300.0) is None
    retries = polling.SubmitRetries()
    assert retries.after_rate_limit(140.0)
    assert retries.after_rate_limit(140.0)
    assert retries.after_rate_limit(20.0) is None


def test_a_submit_waits_longer_for_each_limit_in_a_row() -> None:
    def third() -> float | None:
        retries = polling.SubmitRetries()
        retries.after_rate_limit(None)
        retries.after_rate_limit(None)
        return retries.after_rate_limit(None)

    assert is_spread_about(8, third)


def distance(budget: polling.Budget, now: float) -> float:
    """Return the seconds between two turns at a time that is late enough for the first to come at once."""
    assert budget.turn(now) == 0
    return budget.turn(now)


def test_a_limit_lasts_until_its_end() -> None:
    budget = polling.Budget()
    assert budget.turn(0.0) == 0
    assert not budget.is_limited(0.0)
    budget.limited(sent=0.0, now=1.0, reset=10.0)
    assert budget.is_limited(10.9)
    assert not budget.is_limited(11.0)
    # What is told later does not make it shorter.
    budget.limited(sent=0.0, now=2.0, reset=1.0)
    assert budget.is_limited(10.9)
    budget.limited(sent=0.0, now=3.0, reset=20.0)
    assert budget.is_limited(22.9)
    assert budget.turn(3.0) == 20.0


def test_each_mistake_doubles_the_distance_of_turns() -> None:
    budget, now = polling.Budget(), 0.0
    for expected in (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0):
        budget.limited(sent=now, now=now + 5, reset=None)
        # Others that were under way together are the same mistake.
        budget.limited(sent=now + 4.9, now=now + 5, reset=None)
        # Without an end that is told, the limit is taken to last as long as one turn.
        assert budget.is_limited(now + 5 + 0.99 * expected)
        assert not budget.is_limited(now + 5 + expected)
        now += 100
        assert distance(budget, now) == expected
        now += 100
    # One that is sent at the moment of the answer is another.
    budget = polling.Budget()
    budget.limited(sent=0.0, now=5.0, reset=0.0)
    budget.limited(sent=5.0, now=6.0, reset=0.0)
    assert distance(budget, 10.0) == 0.5


def test_turns_given_before_a_limit_are_void_and_each_answer_brings_them_closer() -> None:
    budget = polling.Budget()
    budget.limited(sent=0.0, now=0.0, reset=0.0)
    assert [budget.turn(0.0) for _ in range(3)] == [0.0, 0.25, 0.5]
    budget.limited(sent=0.0, now=0.0, reset=0.0)
    assert budget.turn(0.0) == 0.0
    assert budget.turn(0.0) == 0.5
    budget.answered()
    assert distance(budget, 50.0) == pytest.approx(0.49)
    # A hundred and more bring them together, and the last step is to none at all.
    for _ in range(192):
        budget.answered()
    assert distance(budget, 100.0) == pytest.approx(0.5 * 0.98**193)
    for _ in range(2):
        budget.answered()
    assert distance(budget, 200.0) == 0.0
