"""One page of the request history spares the polls of many jobs, and never more than that."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from statistics import mean
from typing import Any

import httpx
import pytest
from kling_sandbox import Fault, Faults, Sandbox

from benchmarks.waiting_jobs import HistoryDelays, WaitingJobs
from kling_adapters.protocol.bulk_poll import find_running
from kling_adapters.protocol.effects import Flow, Now
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Answer, Outcome, Request
from kling_adapters.protocol.running_jobs import POLLS_PER_PAGE, RunningJobs
from kling_adapters.protocol.schedule import ScaleFree
from kling_adapters.protocol.session import Session
from kling_adapters.protocol.submit import submit
from kling_adapters.protocol.timing import JobTiming
from kling_adapters.protocol.wait import wait
from kling_adapters.result import ResultData
from tests.promises.storm import SPEED, FastClock
from tests.support.clients import OpenClient
from tests.support.concurrent_flows import run_together
from tests.support.scripted_flow import STARTED, Key, run

HISTORY = "/inference-request/request-history"
COUNT = 20
MODEL = "kling-2"
TIMING = "latency:0.1"
Change = Callable[[dict[str, Any]], None]


class SandboxRun:
    """Jobs of a sandbox that are waited for together, on the sandbox's clock.

    Attributes:
        ended: The time of the result of each job, by request id.
        polls: The polls of all jobs.
        pages: The requests to the history.
        last_page: The time of the last of those.

    """

    def __init__(
        self,
        sandbox: Sandbox,
        change: Change | None = None,
        *,
        uses_history: bool = True,
        is_filtered: bool = True,
    ) -> None:
        self._sandbox = sandbox
        self._change = change
        self._filter = "" if is_filtered else "&status=PENDING"
        self._time = 0.0
        self._http = httpx.Client()
        self._session = Session(Gateway(sandbox.base_url), self._find_auth, uses_history=uses_history)
        self.ended: dict[str, float] = {}
        self.polls = self.pages = 0
        self.last_page = 0.0

    def _find_auth(self) -> Any:
        return self

    def api_key(self) -> str:
        return self._sandbox.api_key

    def run(self) -> None:
        """Submit a job each second, and wait for all. Each has to complete."""
        with self._http:
            flows = [(float(number), self._run_job()) for number in range(COUNT)]
            outcomes = run_together(flows, self._answer, lambda: 0.1)
        assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []

    @property
    def last_end(self) -> float:
        """The time of the last result."""
        return max(self.ended.values())

    def _run_job(self) -> Flow[ResultData]:
        job = yield from submit(self._session, MODEL, {"prompt": "a lighthouse"})
        result = yield from wait(self._session, job, 3600.0)
        self.ended[job.request_id] = yield Now()
        return result

    def _answer(self, request: Request, now: float) -> Outcome:
        self._sandbox.advance(now - self._time)
        self._time = now
        if HISTORY in request.url:
            self.pages += 1
            self.last_page = now
        self.polls += request.url.endswith("/status")
        response = self._http.request(
            request.method,
            request.url.replace(self._filter, ""),
            content=request.body,
            headers={**request.headers, "x-api-key": request.key or ""},
        )
        body = response.content
        if self._change is not None and HISTORY in request.url:
            page = json.loads(body)
            self._change(page)
            body = json.dumps(page).encode()
        return Answer(response.status_code, dict(response.headers), body)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(timing=TIMING) as running:
        yield running


@pytest.fixture(scope="module")
def alone() -> SandboxRun:
    """The same jobs without the history."""
    with Sandbox(timing=TIMING) as running:
        jobs = SandboxRun(running, uses_history=False)
        jobs.run()
        return jobs


def test_few_requests_tell_of_many_jobs(sandbox: Sandbox, alone: SandboxRun) -> None:
    jobs = SandboxRun(sandbox)
    jobs.run()
    assert alone.pages == 0 < jobs.pages
    assert jobs.polls + jobs.pages < alone.polls / 2
    assert min(jobs.ended.values()) < min(alone.ended.values()) + 3
    assert jobs.last_end < alone.last_end + 5


@pytest.mark.parametrize(
    ("kind", "most_pages"),
    [("missing", 3), ("500", 3), ("garbage", 3), ("401", 1)],
)
def test_history_that_is_wrong_or_down_costs_little(
    sandbox: Sandbox, alone: SandboxRun, kind: str, most_pages: int
) -> None:
    sandbox.faults = Faults([Fault(kind, path=f"{HISTORY}*")])
    jobs = SandboxRun(sandbox)
    jobs.run()
    assert 0 < jobs.pages <= most_pages
    assert jobs.polls < alone.polls * 1.1
    assert jobs.last_end < alone.last_end + 5


def test_late_rows_cost_little(sandbox: Sandbox, alone: SandboxRun) -> None:
    sandbox.delay_history(3600)
    jobs = SandboxRun(sandbox)
    jobs.run()
    assert 0 < jobs.pages <= 3
    assert jobs.polls < alone.polls * 1.1


def test_history_that_ignores_the_filter_is_of_use_too(sandbox: Sandbox, alone: SandboxRun) -> None:
    jobs = SandboxRun(sandbox, is_filtered=False)
    jobs.run()
    assert jobs.polls + jobs.pages < alone.polls / 2
    assert jobs.last_end < alone.last_end + 5


@pytest.mark.parametrize("state", ["FAILED", "COMPLETED", 7])
def test_state_of_a_row_ends_no_job(sandbox: Sandbox, alone: SandboxRun, state: object) -> None:
    def change(page: dict[str, Any]) -> None:
        for row in page["generations"]:
            row.update(model_status=state, error="it failed", generation_url="https://a.example/b.mp4")

    jobs = SandboxRun(sandbox, change)
    jobs.run()
    assert jobs.polls < alone.polls * 1.1
    assert jobs.last_end < alone.last_end + 5


def test_history_that_lists_ended_jobs_is_not_used_again(sandbox: Sandbox, alone: SandboxRun) -> None:
    listed: dict[str, dict[str, Any]] = {}

    def keep_rows(page: dict[str, Any]) -> None:
        listed.update((row["request_id"], row) for row in page["generations"])
        page["generations"] = list(listed.values())

    jobs = SandboxRun(sandbox, keep_rows)
    jobs.run()
    first_end = min(jobs.ended.values())
    assert 0 < jobs.last_page < first_end + 10
    assert jobs.last_end < alone.last_end + 5
    # Before the first end is known, a job is asked itself after eight polls: here after six to twenty seconds.
    assert first_end < min(alone.ended.values()) + 25


def test_one_wrong_row_delays_one_job_by_eight_polls(sandbox: Sandbox, alone: SandboxRun) -> None:
    rows: list[dict[str, Any]] = []

    def keep_first_row(page: dict[str, Any]) -> None:
        rows.extend(page["generations"][-1:])
        page["generations"] = [*page["generations"], *rows[:1]]

    jobs = SandboxRun(sandbox, keep_first_row)
    jobs.run()
    assert jobs.last_end < alone.last_end + 25


@pytest.mark.parametrize("count", [20, 100])
def test_timely_history_delays_no_end(count: int) -> None:
    alone, jobs = simulate(count, uses_history=False), simulate(count)
    assert jobs.requests_per_job < alone.requests_per_job / 2
    assert mean(jobs.lags) < 1.1 * mean(alone.lags)


@pytest.mark.parametrize("seconds", [20.0, 7200.0])
def test_late_ends_delay_few_jobs_and_not_for_long(seconds: float) -> None:
    alone, jobs = simulate(100, uses_history=False), simulate(100, delays=HistoryDelays(ends=seconds))
    assert mean(jobs.lags) < 1.5 * mean(alone.lags)
    assert max(jobs.lags) < 9 * max(alone.lags)


def test_few_jobs_do_not_use_the_history() -> None:
    assert simulate(4).requests["history"] == 0


def test_rate_limit_leaves_slots_for_the_history() -> None:
    alone, jobs = simulate(100, uses_history=False, rate_limit=50), simulate(100, rate_limit=50)
    assert mean(jobs.lags) < mean(alone.lags) / 2


def simulate(count: int, **options: Any) -> WaitingJobs:
    source = random.Random(1)
    jobs = WaitingJobs([source.lognormvariate(5.7, 0.3) for _ in range(count)], 300.0, **options)
    jobs.run(1)
    return jobs


def test_batch_of_either_client_uses_the_history(open_client: OpenClient) -> None:
    requests = [{"model": MODEL, "prompt": "a lighthouse"}] * COUNT
    with (
        Sandbox(timing=f"latency:{0.2 / SPEED}") as sandbox,
        open_client(sandbox, journal=None, clock=FastClock()) as kling,
    ):
        outcomes = list(kling.map(requests, concurrency=COUNT))
        assert [outcome.error for outcome in outcomes] == [None] * COUNT
        assert sum(request.path.startswith(HISTORY) for request in sandbox.requests) > 0


def test_interrupted_listing_is_left_to_another_job() -> None:
    session = Session(Gateway("https://api.example.com"), Key)
    jobs = session.running_jobs("SG_scripted")
    for number in range(COUNT):
        jobs.join(str(number))
    for number in range(POLLS_PER_PAGE - 1):
        assert run(poll(session, jobs, str(number)), []).value is None
    listing = poll(session, jobs, "5")
    next(listing)
    listing.send(STARTED + 1)
    assert jobs.is_queued
    listing.close()
    assert not jobs.is_queued


def poll(session: Session, jobs: RunningJobs, request_id: str) -> Flow[float | None]:
    return find_running(session, jobs, request_id, JobTiming(ScaleFree(), STARTED), STARTED + 3600)
