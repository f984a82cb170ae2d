"""Random waits lie within their bounds and reach them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kling_adapters.protocol import retry

DRAWS = 1000


def draw_extremes(wait: Callable[[], float | None]) -> tuple[float, float]:
    """Return the shortest and the longest of many waits."""
    waits = [seconds for seconds in (wait() for _ in range(DRAWS)) if seconds is not None]
    assert len(waits) == DRAWS
    return min(waits), max(waits)


def is_spread_about(seconds: float, wait: Callable[[], float | None]) -> bool:
    shortest, longest = draw_extremes(wait)
    return 0.9 * seconds <= shortest < 0.91 * seconds and 1.09 * seconds < longest <= 1.1 * seconds + 1e-9


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (12, 30), (5000, 30)]
)
def test_backoff_doubles_up_to_half_a_minute(failures: int, seconds: float) -> None:
    assert is_spread_about(seconds, lambda: retry.backoff(failures))


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
