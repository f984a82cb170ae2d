"""A rate limiter tells limits from bad luck, spaces requests, sends urgent ones first, and shares what it learns."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest

from kling_adapters.journal.journal import Journal
from kling_adapters.protocol.pace import Pace
from kling_adapters.protocol.rate_limit import RateLimiter, Turn
from kling_adapters.protocol.shared_pace import SharedPace, decode_pace, encode_pace

DRAWS = 1000
GATEWAY, KEY = "https://gateway.example", "0123456789ab"


def claim(limiter: RateLimiter, now: float) -> float:
    """Return the seconds until a new request may be sent; 0 takes a slot."""
    turn = Turn(is_urgent=True)
    delay = limiter.claim(turn, now)
    limiter.leave(turn)
    return delay


def meet_limit(limiter: RateLimiter, now: float = 0.0) -> float:
    """Accept ten requests within a second and refuse the next ones, until the limiter knows the limit."""
    for step in range(10):
        limiter.record_success(now, now + 0.1 * step)
    for step in range(10):
        limiter.record_limit(now + 0.5, now + 1 + 0.01 * step, None)
    assert limiter.pace.rate is not None
    return now + 1.1


def test_no_request_waits_before_the_first_limit() -> None:
    limiter = RateLimiter()
    assert [claim(limiter, 5.0) for _ in range(1000)] == [0.0] * 1000


def test_single_refusal_delays_its_request_only() -> None:
    limiter = RateLimiter()
    assert 0.2 <= limiter.record_limit(sent=0.0, now=1.0, reset=None) <= 0.6
    assert claim(limiter, 1.0) == 0.0


@pytest.mark.parametrize("reset", [None, 0.0])
def test_refusals_in_a_row_are_repeated_later_and_later(reset: float | None) -> None:
    limiter, now, delays = RateLimiter(), 0.0, [0.0]
    while now < 300:
        delays.append(limiter.record_limit(now, now + 0.1, reset))
        now += 0.1 + max(delays[-1], claim(limiter, now + 0.1))
    assert max(delays[:3]) < 1.3
    assert 14 < max(delays) <= 24
    assert 15 < len(delays) < 60


def test_random_refusals_find_no_limit() -> None:
    limiter = RateLimiter()
    for number in range(2000):
        now = 0.02 * number
        if number % 20 == 0:
            limiter.record_limit(now, now, None)
        else:
            limiter.record_success(now, now)
    assert claim(limiter, 40.0) == claim(limiter, 40.0) == 0.0


def test_limit_is_paced_at_the_rate_that_was_accepted() -> None:
    limiter = RateLimiter()
    now = meet_limit(limiter)
    assert limiter.pace.rate == pytest.approx(10, rel=0.2)
    slots: list[float] = []
    while len(slots) < 5:
        if delay := claim(limiter, now):
            now += delay
        else:
            slots.append(now)
    spacing = 1 / (limiter.pace.rate or 0)
    assert slots == pytest.approx([slots[0] + number * spacing for number in range(5)])


def test_limits_met_together_are_one() -> None:
    limiter = RateLimiter()
    meet_limit(limiter)
    rate = limiter.pace.rate
    for _ in range(50):
        limiter.record_limit(sent=0.9, now=1.2, reset=None)
    assert limiter.pace.rate == rate


def test_limit_lasts_until_its_latest_end() -> None:
    limiter = RateLimiter()
    end = 1.0 + limiter.record_limit(sent=0.0, now=1.0, reset=10.0)
    assert 11.1 <= end <= 12.0
    assert claim(limiter, 1.0) == pytest.approx(end - 1.0)
    # A later, shorter limit does not shorten it.
    assert 2.0 + limiter.record_limit(sent=0.0, now=2.0, reset=1.0) == pytest.approx(end)
    end = 3.0 + limiter.record_limit(sent=0.0, now=3.0, reset=20.0)
    assert 23.1 <= end <= 24.0
    assert claim(limiter, end - 0.1) == pytest.approx(0.1)
    assert claim(limiter, end) == 0.0


def test_limit_with_reset_lasts_a_moment_longer() -> None:
    seconds = [RateLimiter().record_limit(0.0, 0.0, 50.0) for _ in range(DRAWS)]
    assert 50.1 <= min(seconds) < 50.12
    assert 50.98 < max(seconds) <= 51.0


def test_pace_grows_until_it_is_dropped() -> None:
    limiter = RateLimiter()
    now = meet_limit(limiter)
    for _ in range(5000):
        if limiter.pace.rate is None:
            break
        turn = Turn(is_urgent=False)
        while delay := limiter.claim(turn, now):
            now += delay
        limiter.record_success(now, now)
    assert limiter.pace.rate is None
    assert now < 60


def test_urgent_requests_come_before_polls_but_not_always() -> None:
    limiter = RateLimiter(rate_limit=5)
    assert claim(limiter, 0.0) == 0.0
    turns = [Turn(is_urgent=False) for _ in range(4)] + [Turn(is_urgent=True) for _ in range(9)]
    due = dict.fromkeys(range(13), 0.01)
    order = ""
    while due:
        number = min(due, key=due.__getitem__)
        now = due.pop(number)
        if pause := limiter.claim(turns[number], now):
            due[number] = now + pause
        else:
            order += "u" if turns[number].is_urgent else "p"
    # The request that took the first slot was an urgent one.
    assert order == "uupuuupuuupup"


def test_abandoned_request_gives_its_place_to_the_next() -> None:
    limiter = RateLimiter(rate_limit=60)
    assert claim(limiter, 0.0) == 0.0
    first, second = Turn(is_urgent=True), Turn(is_urgent=True)
    limiter.claim(first, 0.0)
    limiter.claim(second, 0.0)
    assert second.delay == pytest.approx(2.04)
    limiter.leave(first)
    limiter.claim(second, 0.0)
    assert second.delay == pytest.approx(1.02)


def make_limiter(path: Path, rate_limit: float | None = None) -> RateLimiter:
    return RateLimiter(rate_limit, SharedPace(Journal(path).paces, GATEWAY, KEY))


def test_unlimited_key_writes_nothing(tmp_path: Path) -> None:
    limiter = make_limiter(tmp_path / "journal")
    for number in range(100):
        assert claim(limiter, 0.0) == 0.0
        limiter.record_success(0.0, number / 100)
    limiter.record_limit(0.0, 2.0, None)
    assert list(tmp_path.iterdir()) == []


def test_another_limiter_of_the_journal_knows_the_limit(tmp_path: Path) -> None:
    first, second = (make_limiter(tmp_path / "journal") for _ in range(2))
    first.record_limit(1000.0, 1000.0, 50.0)
    # Its clock is another one.
    assert 49 < claim(second, 7.0) <= 51
    assert 49 < claim(make_limiter(tmp_path / "journal"), 1e6) <= 51
    assert (
        claim(RateLimiter(None, SharedPace(Journal(tmp_path / "journal").paces, GATEWAY, "other")), 7.0)
        == 0.0
    )


def test_given_limit_is_kept_by_limiters_together(tmp_path: Path) -> None:
    now = time.monotonic()
    limiters = [make_limiter(tmp_path / "journal", 5) for _ in range(3)]
    assert claim(limiters[0], now) == 0.0
    assert [11 < claim(limiter, now) < 12.25 for limiter in limiters] == [True] * 3


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "nonsense", "[" * 5000, '{"recorded": "x"}', '{"recorded": 1e999}', "\ud800"],
)
def test_unreadable_pace_is_ignored(text: str) -> None:
    assert decode_pace(text, 0.0, time.time()) is None


@pytest.mark.parametrize("name", ["rate", "trust", "next_slot", "recent", "minute", "evidence", "is_fresh"])
@pytest.mark.parametrize("value", [None, "x", [], {}, float("nan"), 1e300, -1e300, True])
def test_damaged_pace_stops_no_key_for_long(name: str, value: object) -> None:
    offset = time.time()
    values = json.loads(encode_pace(Pace(rate=1.0), offset))
    values[name] = value
    pace = decode_pace(json.dumps(values), 0.0, offset)
    if pace is not None:
        limiter = RateLimiter(pace=pace)
        assert claim(limiter, 0.0) <= 1400
        limiter.record_success(1.0, 1.0)
        limiter.record_limit(1.0, 2.0, None)


def test_old_pace_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    text, now = encode_pace(Pace(rate=1.0), time.time()), time.time()
    assert decode_pace(text, 0.0, now) is not None
    monkeypatch.setattr(time, "time", lambda: now + 3700)
    assert decode_pace(text, 3700.0, now) is None
    # Neither does a clock that goes back make a pace last.
    monkeypatch.setattr(time, "time", lambda: now - 3700)
    assert decode_pace(text, -3700.0, now) is None


def test_unusable_journal_stops_no_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "kling_adapters")
    limiter = make_limiter(tmp_path, 60)
    assert claim(limiter, 0.0) == 0.0
    assert claim(limiter, 0.0) == pytest.approx(1.02)
    meet_limit(limiter)
    assert caplog.text.count("is not shared with other processes") == 1


def test_answers_that_are_recorded_out_of_order_do_not_slow_a_key() -> None:
    limiter = RateLimiter()
    now = meet_limit(limiter)
    for step in range(200):
        claim(limiter, now)
        claim(limiter, now)
        # Of two answers that come in together, the later one is recorded first.
        limiter.record_success(now, now + 1.0)
        limiter.record_success(now, now + 0.5)
        assert limiter.pace.rate is None or limiter.pace.rate >= 1.0, step
        now += 1.0


@pytest.mark.parametrize("start", [0.0, 1e6])
@pytest.mark.parametrize("reset", [None, 1.0])
def test_early_limit_is_measured_from_the_first_request(start: float, reset: float | None) -> None:
    limiter = RateLimiter()
    limiter.record_success(start, start + 0.1)
    limiter.record_limit(start + 0.1, start + 0.2, reset)
    now = start + 3.0
    for _ in range(3):
        assert claim(limiter, now) < 2.0
        now += 2.0
