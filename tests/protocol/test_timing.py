"""Times of a job during a wait: its next poll, the check of a listed job, and its duration."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kling_adapters.errors import StorageError
from kling_adapters.journal.journal import Journal
from kling_adapters.models._gateway import BASE_URL
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.history import History
from kling_adapters.protocol.schedule import ScaleFree, Table
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.timing import JobTiming, open_timing
from tests.support.scripted_flow import STARTED, Key, run

GATEWAY = Gateway("https://api.example.com")
EVERY_TEN_SECONDS = Table((0.0, 1e6), (0.0, 1e5), 0.1)


def make_timing(submitted: float = STARTED) -> JobTiming:
    return JobTiming(EVERY_TEN_SECONDS, submitted, History())


def test_first_poll_is_sooner_for_an_older_job() -> None:
    timing = JobTiming(Table((0.0, 190.0, 210.0), (0.0, 0.5, 1.5), 0.1), STARTED, History())
    new, old = (timing.seconds_to_first_poll(STARTED + age) for age in (0.0, 100.0))
    assert [new, old] == pytest.approx([200.0, 100.0], abs=5.0)


@pytest.mark.parametrize(("is_listed", "interval"), [(False, 10.0), (True, 5.0)])
def test_listed_job_is_looked_for_twice_as_often(*, is_listed: bool, interval: float) -> None:
    timing = make_timing()
    due = timing.find_next_poll(STARTED + 40.0, is_listed=is_listed)
    assert due - STARTED - 40.0 == pytest.approx(interval, rel=0.11)
    assert timing.running == STARTED + 40.0
    assert timing.last_answer == (STARTED if is_listed else STARTED + 40.0)


@pytest.mark.parametrize(
    ("answered", "seconds", "shortest", "is_due"),
    [
        (0.0, 79.0, 0.0, False),
        (0.0, 80.0, 0.0, True),
        (1000.0, 79.0, 0.0, False),
        (1000.0, 80.0, 0.0, True),
        # Not so soon after an answer.
        (1000.0, 100.0, 101.0, False),
        (1000.0, 100.0, 100.0, True),
        (1000.0, 300.0, 1e9, True),
    ],
)
def test_listed_job_is_checked_after_eight_polls(
    answered: float, seconds: float, shortest: float, *, is_due: bool
) -> None:
    timing = make_timing()
    timing.find_next_poll(STARTED + answered, is_listed=False)
    timing.find_next_poll(STARTED + answered + 1.0, is_listed=True)
    assert timing.is_check_due(STARTED + answered + seconds, shortest) is is_due


@pytest.mark.parametrize(("seconds", "is_due"), [(299.0, False), (300.0, True)])
def test_listed_job_is_checked_after_five_minutes(seconds: float, *, is_due: bool) -> None:
    timing = JobTiming(Table((0.0, 1e6), (0.0, 1.0), 1e-6), STARTED, History())
    assert timing.is_check_due(STARTED + seconds) is is_due


@pytest.mark.parametrize(
    ("running", "ended", "reported", "duration"),
    [
        (0.0, 2.0, None, 1.0),
        (1.0, 3.5, None, None),
        (100.0, 130.0, None, 115.0),
        (90.0, 120.0, None, 105.0),
        (100.0, 200.0, None, None),
        (100.0, 200.0, 150.0, 150.0),
        (100.0, 200.0, 50.0, 100.0),
        (100.0, 200.0, 500.0, 200.0),
    ],
)
def test_duration_is_known_if_the_polls_around_the_end_are_close(
    running: float, ended: float, reported: float | None, duration: float | None
) -> None:
    timing = make_timing()
    timing.find_next_poll(STARTED + running, is_listed=False)
    assert timing.end_job(STARTED + ended, reported) == duration
    assert isinstance(timing.history, History)
    # Only a known duration makes a schedule of its own.
    assert isinstance(timing.history.schedule(None), ScaleFree) == (duration is None)


def test_duration_of_a_job_of_unknown_age_is_unknown() -> None:
    assert JobTiming(EVERY_TEN_SECONDS, STARTED).end_job(STARTED + 10.0, 5.0) is None


def open_for(session: Session, job: JobRef) -> JobTiming:
    timing: JobTiming = run(open_timing(session, job), []).value
    return timing


@pytest.mark.parametrize(("age", "submitted"), [(60.0, STARTED - 60.0), (-60.0, STARTED)])
def test_age_of_a_recorded_job_is_that_of_its_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float, submitted: float
) -> None:
    with closing(Session(GATEWAY, Key, Journal(tmp_path / "journal"))) as session:
        entry = session.journal.intend(GATEWAY.base_url, "kling-2", {}, "SG_x")
        session.journal.update(entry, request_id="job", state="QUEUED")
        created = session.journal.find(GATEWAY.base_url, "job").created  # type: ignore[union-attr]
        # The clock of this machine may have been set back.
        monkeypatch.setattr(time, "time", lambda: created + age)
        timing = open_for(session, JobRef("job"))
    assert timing.submitted == pytest.approx(submitted)
    assert timing.history is session.histories.find("kling-2") is not None


def test_known_age_of_a_job_is_kept() -> None:
    session = Session(GATEWAY, Key)
    assert open_for(session, JobRef("job", "kling-2", submitted=STARTED - 7.0)).submitted == STARTED - 7.0


@pytest.mark.parametrize("job", [JobRef("job"), JobRef("job", "kling-2"), JobRef("job", submitted=7.0)])
def test_job_of_unknown_model_or_age_has_no_history(job: JobRef) -> None:
    timing = open_for(Session(GATEWAY, Key), job)
    assert (timing.history, timing.submitted) == (None, STARTED)


@pytest.mark.parametrize(("base_url", "kind"), [(BASE_URL, Table), (GATEWAY.base_url, ScaleFree)])
def test_documented_latency_is_that_of_the_documented_gateway(base_url: str, kind: type) -> None:
    session = Session(Gateway(base_url), Key)
    for submitted in (None, STARTED):
        job = JobRef("job", "kling-2", 300.0, "video", submitted=submitted)
        assert isinstance(open_for(session, job).schedule, kind)


def test_history_is_read_from_the_journal_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = JobRef("job", "kling-2", submitted=STARTED)
    with closing(Session(GATEWAY, Key, Journal(tmp_path / "journal"))) as session:
        durations: list[float] | None = [300.0]
        monkeypatch.setattr(session.journal, "durations", lambda *_: durations)
        assert isinstance(open_for(session, job).schedule, Table)
        # Another read would fail.
        durations = None
        assert isinstance(open_for(session, job).schedule, Table)


def test_journal_that_cannot_be_read_has_no_durations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise StorageError("the disk is gone")

    with closing(Session(GATEWAY, Key, Journal(tmp_path / "journal"))) as session:
        monkeypatch.setattr(session.journal, "durations", fail)
        timing = open_for(session, JobRef("job", "kling-2", submitted=STARTED))
    assert isinstance(timing.schedule, ScaleFree)
