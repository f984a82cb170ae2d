"""Random waits lie within their bounds and reach them, and rate limits space the requests of a key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kling_adapters.protocol import retry
from kling_adapters.protocol.rate_limit import RateLimiter

DRAWS = 1000


def draw_extremes(wait: Callable[[], float | None]) -> tuple[float, float]:
    """Return the shortest and the longest of many waits."""
    waits = [seconds for seconds in (wait() for _ in range(DRAWS)) if seconds is not None]
    assert len(waits) == DRAWS
    return min(waits), max(waits)


def is_spread_about(seconds: float, wait: Callable[[], float | None]) -> bool:
    shortest, longest = draw_extremes(wait)
    return 0.9 * seconds <= shortest < 0.91 * seconds and 1.09 * seconds < longest <= 1.1 * seconds + 1e-9


def limit_key(limits: int, reset: float | None) -> float:
    """Return the duration of the last of several rate limits in a row."""
    limiter = RateLimiter()
    return [limiter.record_limit(1e4 * number, 1e4 * number, reset) for number in range(limits)][-1]


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (12, 30), (5000, 30)]
)
def test_backoff_doubles_up_to_half_a_minute(failures: int, seconds: float) -> None:
    assert is_spread_about(seconds, lambda: retry.backoff(failures))


@pytest.mark.parametrize(("limits", "seconds"), [(1, 2), (2, 4), (3, 8), (5, 30)])
@pytest.mark.parametrize("reset", [None, 0.0, -9.0])
def test_limit_without_useful_reset_backs_off(limits: int, seconds: float, reset: float | None) -> None:
    assert is_spread_about(seconds, lambda: limit_key(limits, reset))


def test_limit_with_reset_lasts_a_moment_longer() -> None:
    shortest, longest = draw_extremes(lambda: limit_key(1, 50.0))
    assert 50.1 <= shortest < 50.12
    assert 50.98 < longest <= 51.0


def test_response_resets_the_backoff_of_limits() -> None:
    limiter = RateLimiter()
    for number in range(5):
        limiter.record_limit(100.0 * number, 100.0 * number, None)
    limiter.record_success()
    assert limiter.record_limit(1000.0, 1000.0, None) < 2.3


def test_safe_submit_is_attempted_four_times() -> None:
    for _ in range(DRAWS):
        retries = retry.SubmitRetries()
        first, second, third, fourth = (retries.next_delay() for _ in range(4))
        assert first == pytest.approx(1, rel=0.1)
        assert second == pytest.approx(2, rel=0.1)
        assert third == pytest.approx(4, rel=0.1)
        assert fourth is None


def test_submit_waits_five_minutes_for_limits() -> None:
    assert retry.SubmitRetries().next_limit_delay(300.0) == 300.0
    assert retry.SubmitRetries().next_limit_delay(300.1) is None
    retries = retry.SubmitRetries()
    assert retries.next_limit_delay(140.0)
    assert retries.next_limit_delay(140.0)
    assert retries.next_limit_delay(20.1) is None


def find_spacing(limiter: RateLimiter, now: float) -> float:
    """Return the seconds between two slots at a time that is late enough for an immediate first slot."""
    assert limiter.reserve_slot(now) == 0
    return limiter.reserve_slot(now)


def test_no_request_waits_before_the_first_limit() -> None:
    limiter = RateLimiter()
    assert [limiter.reserve_slot(5.0) for _ in range(1000)] == [0.0] * 1000


def test_limit_lasts_until_its_latest_end() -> None:
    limiter = RateLimiter()
    assert limiter.reserve_slot(0.0) == 0
    assert not limiter.is_limited(0.0)
    end = 1.0 + limiter.record_limit(sent=0.0, now=1.0, reset=10.0)
    assert 11.1 <= end <= 12.0
    assert limiter.is_limited(end - 0.01)
    assert not limiter.is_limited(end)
    # A later, shorter limit does not shorten it.
    assert 2.0 + limiter.record_limit(sent=0.0, now=2.0, reset=1.0) == pytest.approx(end)
    assert limiter.is_limited(end - 0.01)
    end = 3.0 + limiter.record_limit(sent=0.0, now=3.0, reset=20.0)
    assert 23.1 <= end <= 24.0
    assert limiter.reserve_slot(3.0) == pytest.approx(end - 3.0)


def test_each_limit_doubles_the_spacing() -> None:
    limiter, now = RateLimiter(), 0.0
    for expected in (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0):
        limiter.record_limit(sent=now, now=now + 5, reset=None)
        # Requests that were under way at the same time met the same limit.
        limiter.record_limit(sent=now + 4.9, now=now + 5, reset=None)
        now += 100
        assert find_spacing(limiter, now) == expected
        now += 100
    # A request that is sent at the moment of the response meets another limit.
    limiter = RateLimiter()
    limiter.record_limit(sent=0.0, now=5.0, reset=0.0)
    limiter.record_limit(sent=5.0, now=6.0, reset=0.0)
    assert find_spacing(limiter, 50.0) == 0.5


def test_limits_met_together_back_off_once() -> None:
    limiter = RateLimiter()
    for _ in range(50):
        assert limiter.record_limit(sent=0.0, now=1.0, reset=None) < 2.3


def test_limit_voids_earlier_slots() -> None:
    limiter = RateLimiter()
    limiter.record_limit(sent=0.0, now=0.0, reset=0.0)
    assert [limiter.reserve_slot(50.0) for _ in range(3)] == [0.0, 0.25, 0.5]
    limit = limiter.record_limit(sent=50.0, now=50.0, reset=0.0)
    assert limiter.reserve_slot(50.0) == pytest.approx(limit)
    assert limiter.reserve_slot(50.0) == pytest.approx(limit + 0.5)


def test_responses_shrink_the_spacing_to_none() -> None:
    limiter = RateLimiter()
    limiter.record_limit(sent=0.0, now=0.0, reset=0.0)
    limiter.record_limit(sent=0.0, now=0.0, reset=0.0)
    limiter.record_success()
    assert find_spacing(limiter, 50.0) == pytest.approx(0.5 * 0.98)
    for _ in range(192):
        limiter.record_success()
    assert find_spacing(limiter, 100.0) == pytest.approx(0.5 * 0.98**193)
    for _ in range(2):
        limiter.record_success()
    assert find_spacing(limiter, 200.0) == 0.0
