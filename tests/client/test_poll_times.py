"""Jobs are polled where they are likely to end: by the documented time, and by earlier jobs in the journal."""

from __future__ import annotations

import math
import random
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from kling_adapters import WaitTimeout
from kling_adapters.journal.journal import Journal
from kling_adapters.protocol.polling import LONGEST_INTERVAL
from tests.support.clients import BoundedClock, Client, OpenClient

SEGMIND = "https://api.segmind.com"
PROXY = "https://gateway.example"
DOCUMENTED = 300.73
"""The documented time of kling-2 in seconds."""


class TimedGateway:
    """A gateway whose jobs end some seconds after their submit, on a simulated clock.

    Attributes:
        clock: The clock, which all its clients share.
        polls: The ages at which the last job was polled.
        result_age: The age at which its result was fetched.

    """

    def __init__(self, *, reports_time: bool = True) -> None:
        self.clock = BoundedClock()
        self.durations: list[float] = []
        self.polls: list[float] = []
        self.result_age = math.nan
        self._reports_time = reports_time
        self._submits: dict[str, tuple[float, float]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        now, path = self.clock.now(), request.url.path
        if request.method == "POST":
            request_id = f"job-{len(self._submits)}"
            self._submits[request_id] = (now, self.durations.pop(0))
            self.polls = []
            return httpx.Response(200, json={"status": "QUEUED", "request_id": request_id})
        request_id = path.split("/")[3]
        submitted, duration = self._submits[request_id]
        age = now - submitted
        if path.endswith("/status"):
            self.polls.append(age)
        else:
            self.result_age = age
        if age < duration:
            return httpx.Response(200, json={"status": "PROCESSING", "request_id": request_id})
        metrics = {"cost": 1.0} | ({"total_time": duration} if self._reports_time else {})
        body = {"status": "COMPLETED", "output": "https://files.example/a.mp4", "metrics": metrics}
        return httpx.Response(200, json={**body, "request_id": request_id})

    def options(self, journal: Path | None) -> dict[str, Any]:
        return {"transport": httpx.MockTransport(self), "clock": self.clock, "journal": journal}

    def run_jobs(self, kling: Client, durations: Iterable[float]) -> None:
        """Run one job after another, each for the given seconds."""
        for duration in durations:
            self.durations = [duration]
            kling.run("kling-2", prompt="a lighthouse")


def draw_durations(mean: float, spread: float, count: int) -> list[float]:
    source = random.Random(14)
    return [source.lognormvariate(math.log(mean), spread) for _ in range(count)]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


def test_documented_time_gives_a_fixed_interval(open_client: OpenClient, journal: Path) -> None:
    gateway = TimedGateway()
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, [DOCUMENTED])
    assert gateway.polls[0] == pytest.approx(DOCUMENTED / 16, rel=0.11)
    interval = math.sqrt(DOCUMENTED / 5)
    assert all(0.89 < (later - sooner) / interval < 1.11 for sooner, later in pairwise(gateway.polls[1:]))


def test_documented_time_is_not_that_of_another_gateway(open_client: OpenClient, journal: Path) -> None:
    gateway = TimedGateway()
    with open_client(PROXY, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, [30.0])
    assert gateway.polls[0] == 0
    assert gateway.polls[1] == pytest.approx(1.0, abs=0.2)
    assert gateway.polls[-1] - gateway.polls[-2] == pytest.approx(2 * math.sqrt(30 / 10), rel=0.2)


@pytest.mark.parametrize("reports_time", [True, False])
def test_polls_gather_about_earlier_durations(
    open_client: OpenClient, journal: Path, reports_time: bool
) -> None:
    gateway = TimedGateway(reports_time=reports_time)
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, [DOCUMENTED])
        first = len(gateway.polls)
        gateway.run_jobs(kling, draw_durations(300, 0.1, 30))
    # Another process learns from the journal.
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, [DOCUMENTED])
    assert len(gateway.polls) < 0.75 * first
    assert sum(poll > 200 for poll in gateway.polls) > 0.7 * len(gateway.polls)
    assert gateway.result_age - DOCUMENTED < 6


def test_client_without_journal_learns_from_its_own_jobs(open_client: OpenClient) -> None:
    gateway = TimedGateway()
    with open_client(SEGMIND, **gateway.options(None)) as kling:
        gateway.run_jobs(kling, draw_durations(100, 0.1, 30))
    assert len(gateway.polls) < 20
    assert gateway.polls[0] > 40


def test_models_and_gateways_have_histories_of_their_own(open_client: OpenClient, journal: Path) -> None:
    gateway = TimedGateway()
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, draw_durations(60, 0.1, 20))
        gateway.durations = [300.0]
        kling.run("kling-1.6-text2video", prompt="a lighthouse")
        assert gateway.polls[2] - gateway.polls[1] == pytest.approx(math.sqrt(304.08 / 5), rel=0.11)
    with open_client(PROXY, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, [30.0])
    assert gateway.polls[0] == 0


def test_surprise_is_followed_by_careful_polls(open_client: OpenClient, journal: Path) -> None:
    gateway = TimedGateway()
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, draw_durations(300, 0.1, 20))
        gateway.run_jobs(kling, [60.0, 60.0])
        assert gateway.result_age < 70
        gateway.run_jobs(kling, [60.0] * 8)
        assert gateway.result_age < 64
        assert gateway.polls[-2] > 50


def test_no_interval_risks_the_record_of_a_job(open_client: OpenClient, journal: Path) -> None:
    gateway = TimedGateway()
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        for duration in draw_durations(3000, 0.02, 30):
            gateway.durations = [duration]
            kling.submit("kling-2", prompt="a lighthouse").wait(3500)
    assert max(later - sooner for sooner, later in pairwise([0.0, *gateway.polls])) <= LONGEST_INTERVAL


@pytest.mark.parametrize(("timeout", "polls"), [(0.0, [0.0]), (50.0, [50.0])])
def test_job_is_polled_at_the_end_of_a_timeout(
    open_client: OpenClient, journal: Path, timeout: float, polls: list[float]
) -> None:
    gateway = TimedGateway()
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, draw_durations(300, 0.1, 30))
        gateway.durations = [300.0]
        job = kling.submit("kling-2", prompt="a lighthouse")
        with pytest.raises(WaitTimeout):
            job.wait(timeout)
    assert gateway.polls == pytest.approx(polls)


@pytest.mark.parametrize(("age", "first"), [(0.0, 40), (100.0, 15), (500.0, 0)])
def test_age_of_an_earlier_job_is_in_the_journal(
    open_client: OpenClient, journal: Path, age: float, first: float
) -> None:
    gateway = TimedGateway()
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, draw_durations(300, 0.1, 30))
        gateway.durations = [300.0]
        request_id = kling.submit("kling-2", prompt="a lighthouse").request_id
    change(journal, "UPDATE jobs SET created = ? WHERE request_id = ?", time.time() - age, request_id)
    gateway.clock.sleep(age)
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        kling.job(request_id).wait()
    waited = gateway.polls[0] - age
    assert waited == 0 if first == 0 else waited > first


def test_job_that_is_not_in_the_journal_is_polled_at_once(open_client: OpenClient, journal: Path) -> None:
    gateway = TimedGateway()
    gateway.durations = [300.0]
    with open_client(SEGMIND, **gateway.options(None)) as kling:
        request_id = kling.submit("kling-2", prompt="a lighthouse").request_id
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        kling.job(request_id, "kling-2").wait()
    assert gateway.polls[0] == 0


def test_resumed_job_goes_on_from_its_age(open_client: OpenClient, journal: Path) -> None:
    gateway = TimedGateway()
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, draw_durations(300, 0.1, 30))
        gateway.durations = [300.0]
        kling.submit("kling-2", prompt="a lighthouse")
    change(journal, "UPDATE jobs SET created = created - 250 WHERE state = 'QUEUED'")
    gateway.clock.sleep(250)
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        (outcome,) = kling.resume()
    assert outcome.error is None
    assert len(gateway.polls) < 16
    assert gateway.result_age < 306


@pytest.mark.parametrize(
    "duration", ["'soon'", "x'00'", "-5.0", "0.0", "1e300", "9e999", "-9e999", "NULL", "7"]
)
def test_durations_that_no_job_can_have_are_ignored(
    open_client: OpenClient, journal: Path, duration: str
) -> None:
    gateway = TimedGateway()
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, [DOCUMENTED])
    change(journal, f"UPDATE jobs SET duration = {duration}")
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, [DOCUMENTED])
    assert gateway.result_age - DOCUMENTED < 10


def test_unreadable_history_does_not_stop_a_wait(
    open_client: OpenClient, journal: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError("the disk is gone")

    gateway = TimedGateway()
    monkeypatch.setattr(Journal, "durations", fail)
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, [DOCUMENTED, DOCUMENTED])
    assert gateway.result_age - DOCUMENTED < 10
    assert caplog.text.count("OSError: the disk is gone") == 1


def test_batch_reads_a_history_once(
    open_client: OpenClient, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, reads = TimedGateway(), list[str]()
    read: Callable[..., list[float]] = Journal.durations

    def count_read(self: Journal, base_url: str, model: str) -> list[float]:
        reads.append(model)
        return read(self, base_url, model)

    monkeypatch.setattr(Journal, "durations", count_read)
    gateway.durations = [300.0] * 10
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        requests = [{"model": "kling-2", "prompt": str(number)} for number in range(10)]
        assert all(outcome.error is None for outcome in kling.map(requests, concurrency=5))
    assert reads == ["kling-2"]


def test_durations_are_those_of_the_last_fifty_jobs(open_client: OpenClient, journal: Path) -> None:
    gateway = TimedGateway()
    durations = draw_durations(300, 0.2, 53)
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, durations)
    with closing(Journal(journal)) as opened:
        assert opened.durations(SEGMIND, "kling-2") == pytest.approx(durations[-50:])
        assert opened.durations(PROXY, "kling-2") == []


def test_journal_of_an_earlier_version_has_no_durations(open_client: OpenClient, journal: Path) -> None:
    gateway = TimedGateway()
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, [300.0])
    change(journal, "ALTER TABLE jobs DROP COLUMN duration")
    change(journal, "DROP INDEX jobs_model")
    with closing(Journal(journal)) as opened:
        assert opened.durations(SEGMIND, "kling-2") == []
    with open_client(SEGMIND, **gateway.options(journal)) as kling:
        gateway.run_jobs(kling, [310.0])
    with closing(Journal(journal)) as opened:
        assert opened.durations(SEGMIND, "kling-2") == [310.0]


def change(journal: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute(statement, values)
