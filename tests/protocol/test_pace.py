"""How often the gateway is asked, on a simulated clock."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from kling_adapters import RateLimited, WaitTimeout, api_errors, errors
from kling_adapters.protocol import effects
from kling_adapters.protocol.failures import seconds_until_reset
from kling_adapters.protocol.messages import Answer, Outcome, Request
from kling_adapters.protocol.rate_limit import RateLimiter, Turn
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.submit import submit
from kling_adapters.protocol.wait import query_credits, wait
from kling_adapters.testing import SimulatedClock
from tests.protocol.conftest import (
    ACCEPTED,
    BODY,
    GATEWAY,
    KEY,
    RESULT,
    UNREACHED,
    make_answer,
    make_state,
    run_submit,
    run_wait,
)
from tests.support.scripted_flow import STARTED, Key, run


def drive(flow: Iterator[Any], reply: Callable[[Request, float], Outcome], clock: SimulatedClock) -> Any:
    """Drive a flow with a gateway that is a function of the request and the time."""
    outcome: Any = None
    send = flow.send  # type: ignore[attr-defined]
    try:
        while True:
            match send(outcome):
                case effects.Send(request):
                    outcome = reply(request, clock.now())
                case effects.Sleep(seconds):
                    outcome = None
                    clock.sleep(seconds)
                case effects.Now():
                    outcome = clock.now()
                case effects.Call(function):
                    outcome = function()
                case _:
                    outcome = None
    except StopIteration as end:
        return end.value


def finish_after(seconds: float) -> Callable[[Request, float], Outcome]:
    def reply(request: Request, now: float) -> Outcome:
        return make_answer(
            200, status="COMPLETED" if now >= seconds else "PROCESSING", output="https://e.com/a.mp4"
        )

    return reply


@pytest.mark.parametrize(("seconds", "most_polls"), [(0, 0), (3, 5), (60, 28), (300, 60), (780, 95)])
def test_end_of_a_job_of_unknown_model_is_found_with_few_polls(seconds: float, most_polls: int) -> None:
    clock = SimulatedClock()
    drive(wait(Session(GATEWAY, Key), JobRef("id"), None), finish_after(seconds), clock)
    # The interval is 2 * sqrt(age / 10), with a tenth of jitter.
    assert seconds <= clock.now() <= seconds + max(1.2, 2.2 * math.sqrt(seconds / 10) + 0.13)
    assert len(clock.slept) <= most_polls


@pytest.mark.parametrize(("latency", "deadline"), [(None, 1800.0), (57.86, 900.0), (300.73, 1202.92)])
def test_default_timeout_follows_the_latency(latency: float | None, deadline: float) -> None:
    clock = SimulatedClock()
    with pytest.raises(WaitTimeout) as caught:
        drive(
            wait(Session(GATEWAY, Key), JobRef("id", latency=latency), None),
            finish_after(1e9),
            clock,
        )
    assert clock.now() == pytest.approx(deadline)
    assert caught.value.seconds == pytest.approx(deadline)


@pytest.mark.parametrize("timeout", [0.0, 0.5, 42.0])
def test_timeout_is_kept_exactly(timeout: float) -> None:
    clock = SimulatedClock()
    with pytest.raises(WaitTimeout):
        drive(wait(Session(GATEWAY, Key), JobRef("id"), timeout), finish_after(1e9), clock)
    assert clock.now() == pytest.approx(timeout)


def test_rate_limits_space_the_polls_of_a_job() -> None:
    clock = SimulatedClock()
    limited_until = 20.0
    poll_times: list[float] = []

    def reply(request: Request, now: float) -> Outcome:
        poll_times.append(now)
        if now < limited_until:
            return make_answer(429, {"retry-after": "5"})
        return finish_after(200)(request, now)

    drive(wait(Session(GATEWAY, Key), JobRef("id"), None), reply, clock)
    during = [time for time in poll_times if time < limited_until]
    assert all(later - sooner >= 5 for sooner, later in pairwise(during))
    after = [later - sooner for sooner, later in pairwise(poll_times) if sooner > limited_until]
    assert min(after[:-2]) > 1.8


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"date": "Sat, 21 Nov 2026 10:00:00 GMT", "retry-after": "Sat, 21 Nov 2026 10:00:09 GMT"}, 9),
        ({"date": "Sat, 21 Nov 2026 10:00:00 GMT", "x-rate-limit-reset-at-utc": "2026-11-21T10:00:30Z"}, 30),
        ({"date": "Sat, 21 Nov 2026 10:00:00 GMT", "x-rate-limit-reset-at-utc": "2026-11-21 10:00:30"}, 30),
        ({"date": "Sat, 21 Nov 2026 10:00:00 GMT", "x-rate-limit-reset-at-utc": "1795255230"}, 30),
        ({"date": "Sat, 21 Nov 2026 10:00:00 GMT", "x-rate-limit-reset-at-utc": "1795255230000"}, 30),
        ({"date": "Sat, 21 Nov 2026 10:00:00 GMT", "x-rate-limit-reset-at-utc": "2026-11-21T09:00:00Z"}, 0),
        ({"date": "Sat, 21 Nov 2026 10:00:00 GMT", "x-rate-limit-reset-at-utc": "100000000000"}, 600),
        ({"date": "Sat, 21 Nov 2026 10:00:00 GMT", "x-rate-limit-reset-at-utc": "100000000001"}, 0),
        ({"x-rate-limit-reset-at-utc": "soon"}, None),
        ({"retry-after": f"Sat, 21 Nov {10**20} 10:00:09 GMT"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({}, None),
    ],
)
def test_reset_of_a_limit_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert seconds_until_reset(make_answer(429, headers)) == seconds


def test_submit_waits_for_limits_within_its_budget() -> None:
    clock = SimulatedClock()
    with pytest.raises(RateLimited, match="nothing is billed"):
        drive(submit(Session(GATEWAY, Key), "kling-2", {}), lambda *_: make_answer(429), clock)
    # The waits after a 429 are 300 s together; each attempt also waits for its slot.
    assert 100 < clock.now() <= 360


@pytest.mark.parametrize(("reset", "is_sent"), [(1700.0, True), (1900.0, False)])
def test_submit_waits_half_an_hour_for_its_slot(reset: float, is_sent: bool) -> None:
    session, clock = Session(GATEWAY, Key), SimulatedClock()
    session.limiter("SG_scripted").record_limit(clock.now(), clock.now(), reset)
    flow = submit(session, "kling-2", {})
    if is_sent:
        drive(flow, lambda *_: make_answer(200, request_id="job"), clock)
    else:
        with pytest.raises(RateLimited, match="It was not sent"):
            drive(flow, lambda *_: pytest.fail("it was sent"), clock)
    assert clock.now() == pytest.approx(reset if is_sent else 0.0, abs=60)


class LimitedGateway:
    """A gateway that answers so many requests a minute, by a window that begins anew each minute."""

    def __init__(self, a_minute: int, *, sends_reset: bool) -> None:
        self.a_minute = a_minute
        self.sends_reset = sends_reset
        self.window = self.count = 0
        self.refused = self.served = 0

    def __call__(self, request: Request, now: float) -> Answer:
        window = int(now // 60)
        self.count = self.count + 1 if window == self.window else 1
        self.window = window
        if self.count > self.a_minute:
            self.refused += 1
            return make_answer(429, {"retry-after": f"{60 - now % 60:.0f}"} if self.sends_reset else {})
        self.served += 1
        if request.method == "POST":
            return make_answer(200, request_id=f"{self.served}")
        return make_answer(200, status="COMPLETED" if now > 300 else "QUEUED", output="https://e.com/a.mp4")


def drive_together(flows_of_jobs: list[Iterator[Any]], gateway: LimitedGateway) -> float:
    """Drive many flows at once, each at its own time; return when the last has ended."""
    due: list[tuple[float, int]] = [(0.0, number) for number in range(len(flows_of_jobs))]
    last = 0.0
    while due:
        now, number = heapq.heappop(due)
        flow = flows_of_jobs[number]
        outcome: Any = None
        try:
            while True:
                match flow.send(outcome):  # type: ignore[attr-defined]
                    case effects.Send(request):
                        outcome = gateway(request, now)
                    case effects.Now():
                        outcome = now
                    case effects.Call(function):
                        outcome = function()
                    case effects.Sleep(seconds):
                        heapq.heappush(due, (now + seconds, number))
                        break
                    case _:
                        outcome = None
        except StopIteration:
            last = now
    return last


def submit_and_wait(session: Session, ended: list[str]) -> Iterator[Any]:
    with suppress(RateLimited):
        job = yield from submit(session, "kling-2", {})
        yield from wait(session, job, 1e6)
        ended.append(job.request_id)


@pytest.mark.parametrize("sends_reset", [True, False])
def test_jobs_of_a_key_keep_its_limit_together(sends_reset: bool) -> None:
    gateway = LimitedGateway(60, sends_reset=sends_reset)
    session = Session(GATEWAY, Key)
    ended: list[str] = []
    drive_together([submit_and_wait(session, ended) for _ in range(100)], gateway)
    assert len(ended) == 100
    assert gateway.refused < 0.15 * gateway.served
    alone = LimitedGateway(60, sends_reset=sends_reset)
    drive_together([submit_and_wait(Session(GATEWAY, Key), []) for _ in range(100)], alone)
    assert gateway.refused < alone.refused / 3


def test_query_is_repeated_when_its_limit_ends() -> None:
    limit = make_answer(429, {"retry-after": "20"})
    flow_result = run(query_credits(Session(GATEWAY, Key)), [limit, make_answer(200, credits=1)])
    assert flow_result.value.credits == 1
    assert flow_result.seconds == pytest.approx(20, abs=3)


@pytest.mark.parametrize("is_submit", [True, False])
def test_request_without_a_slot_leaves_the_queue(*, is_submit: bool) -> None:
    session = Session(GATEWAY, Key, rate_limit=1.0, uses_history=False)
    job = run_submit(session, ACCEPTED).value
    flow = submit(session, "kling-2", BODY, timeout=10.0) if is_submit else wait(session, job, 10.0)
    error = run(flow, []).error
    assert isinstance(error, api_errors.RateLimited if is_submit else errors.WaitTimeout)
    limiter = session.limiter(KEY)
    turn = Turn(is_urgent=False)
    assert limiter.claim(turn, STARTED + 10.0) > 0
    assert limiter.claim(turn, STARTED + 70.0) == 0


@pytest.mark.parametrize("may_block", [True, False])
def test_submit_waits_for_its_slot(monkeypatch: pytest.MonkeyPatch, *, may_block: bool) -> None:
    monkeypatch.setattr(RateLimiter, "may_block", may_block)
    session = Session(GATEWAY, Key, rate_limit=1.0)
    assert [round(run_submit(session, ACCEPTED).seconds, -1) for _ in range(2)] == [0, 60]


@pytest.mark.parametrize("may_block", [True, False])
def test_limiter_learns_of_each_answer(
    session: Session, monkeypatch: pytest.MonkeyPatch, may_block: bool
) -> None:
    successes: list[tuple[float, float]] = []
    monkeypatch.setattr(RateLimiter, "may_block", may_block)
    monkeypatch.setattr(session.limiter(KEY), "record_success", lambda *times: successes.append(times))
    flow_result = run_submit(
        session, UNREACHED, make_answer(429, {"retry-after": "7"}), make_answer(500), ACCEPTED
    )
    assert flow_result.error is None
    assert [end - start for start, end in successes] == [0.0, 0.0]
    assert successes[-1][1] == STARTED + flow_result.seconds


def test_only_polls_let_other_requests_go_first(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = session.limiter(KEY)
    claim, urgent = limiter.claim, list[bool]()

    def record_claim(turn: Turn, now: float) -> float:
        urgent.append(turn.is_urgent)
        return claim(turn, now)

    monkeypatch.setattr(limiter, "claim", record_claim)
    job = run_submit(session, ACCEPTED).value
    run(wait(session, job, None), [make_state("QUEUED"), make_state("COMPLETED"), RESULT])
    assert urgent == [True, False, False, True]


def test_single_rate_limit_does_not_space_later_polls(session: Session) -> None:
    polls = [make_state("QUEUED")] * 999
    unlimited = run_wait(session, *polls, timeout=60.0).sent
    assert abs(run_wait(session, make_answer(429), *polls, timeout=60.0).sent - unlimited) <= 3
    assert session.limiters[KEY].pace.rate is None
