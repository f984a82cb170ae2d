"""Of each way in which a wait or a query can go: the events, what is in the journal, and how long it is said to have taken."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kling_adapters import api_errors, errors, events
from kling_adapters.journal.journal import Journal
from kling_adapters.protocol.messages import Answer, Outcome
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.wait import query_credits, query_status, wait
from tests.protocol.conftest import (
    ACCEPTED,
    GATEWAY,
    LOST,
    RESULT,
    UNREACHED,
    make_answer,
    make_state,
    read_row,
    run_submit,
    run_wait,
)
from tests.support.scripted_flow import STARTED, Key, run


def test_wait_without_time_polls_once_at_once(session: Session) -> None:
    job = run_submit(session, ACCEPTED).value
    history = session.histories.open("kling-2")
    for _ in range(9):
        history.add(300.0)
    flow_result = run(wait(session, job, 0.0), [make_state("QUEUED")])
    assert isinstance(flow_result.error, errors.WaitTimeout)
    assert (flow_result.sent, flow_result.seconds) == (1, 0.0)


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (make_answer(200), "the gateway answered 200 with no usable answer"),
        (make_answer(204, error="too slow"), "the gateway answered 204 with no usable answer: too slow"),
        (
            make_answer(200, request_id="b", status="QUEUED"),
            "the gateway answered 200 with an answer about another job",
        ),
        (UNREACHED, "the gateway could not be reached: refused. This request started no job"),
    ],
)
def test_failed_query_has_the_answer_as_its_message(session: Session, last: Outcome, message: str) -> None:
    error = run(query_status(session, JobRef("job")), [last] * 99).error
    assert isinstance(error, errors.TransportError)
    assert str(error) == message


MISSING = make_answer(404)


def test_completed_job_is_recorded_and_reported(session: Session) -> None:
    flow_result = run_wait(
        session, *map(make_state, ("QUEUED", "QUEUED", "WARMING", "QUEUED", "COMPLETED")), LOST, RESULT
    )
    assert flow_result.events == [
        *(events.StateChanged("job", "kling-2", name) for name in ("QUEUED", "WARMING", "QUEUED")),
        events.Completed("job", "kling-2", flow_result.value, polls=7),
    ]
    assert read_row(session)[0] == "COMPLETED"


def test_duration_of_a_job_is_kept_when_it_is_waited_for_again(session: Session) -> None:
    job = run_submit(session, ACCEPTED).value
    polls = [make_state("QUEUED")] * 3 + [make_state("COMPLETED"), RESULT]
    run(wait(session, job, None), polls)
    durations = list(session.journal.durations(GATEWAY.base_url, "kling-2"))
    assert len(durations) == 1
    again = run(wait(session, JobRef("job", submitted=STARTED - 9000.0), None), polls[3:])
    assert again.value.request_id == "job"
    assert list(session.journal.durations(GATEWAY.base_url, "kling-2")) == durations


LISTED = make_answer(200, request_id="job", model_name="kling-2", model_status="PENDING")
LISTED_END = make_answer(
    200, request_id="job", model_status="COMPLETED", generation_url="https://e.com/a.mp4"
)


def test_job_that_only_the_history_lists_is_waited_for(tmp_path: Path) -> None:
    with closing(Session(GATEWAY, Key, Journal(tmp_path / "journal"))) as session:
        missing = [MISSING] * 3
        flow_result = run_wait(session, *missing, *[LISTED] * 3, timeout=40.0)
        assert isinstance(flow_result.error, errors.WaitTimeout)
        assert "its request history lists it as running" in str(flow_result.error)
        assert flow_result.seconds == pytest.approx(40.0)
        flow_result = run_wait(session, *missing, LISTED, LISTED_END)
        assert flow_result.value.output == "https://e.com/a.mp4"
        # The 404 responses take three seconds.
        assert flow_result.seconds == pytest.approx(33.0, abs=1)


def test_recorded_end_is_found_when_the_gateway_has_forgotten_it(session: Session) -> None:
    first = run_wait(session, make_state("COMPLETED"), RESULT).value
    flow_result = run(wait(session, JobRef("job", returns="video"), None), [MISSING] * 3)
    assert (flow_result.value.output, flow_result.sent) == (first.output, 3)


def test_recorded_failure_is_found_when_the_gateway_has_forgotten_it(session: Session) -> None:
    run_wait(session, FAILED)
    error = run(wait(session, JobRef("job"), None), [MISSING] * 3).error
    assert isinstance(error, errors.JobFailed)
    assert error.message == "blocked"


@pytest.mark.parametrize(("members", "text"), [({"error": "busy"}, "QUEUED: busy"), ({}, "QUEUED")])
def test_timeout_names_the_last_state(session: Session, members: dict[str, Any], text: str) -> None:
    last = make_answer(200, status="QUEUED", request_id="job", **members)
    message = str(run_wait(session, last, timeout=0.0).error)
    assert re.search(rf"its last state is {text}(?![\w:])", message)


def test_each_state_is_recorded_while_it_lasts(session: Session) -> None:
    flow_result = run_wait(session, make_state("PROCESSING"), timeout=0)
    assert isinstance(flow_result.error, errors.WaitTimeout)
    job: Any = flow_result.error.job
    assert job == JobRef("job", "kling-2", 300.0, "video")
    assert read_row(session)[0] == "PROCESSING"


FAILED = make_answer(422, status="FAILED", error="blocked", metrics={"cost": 0.5})


@pytest.mark.parametrize("before", [[], [make_state("COMPLETED")]])
def test_failed_job_is_recorded_and_reported(session: Session, before: list[Outcome]) -> None:
    flow_result = run_wait(session, *before, FAILED)
    assert isinstance(flow_result.error, errors.JobFailed)
    assert (flow_result.error.message, flow_result.error.metrics.cost) == ("blocked", 0.5)
    assert flow_result.events == [events.Failed("job", "kling-2", "blocked", polls=len(before) + 1)]
    assert isinstance(session.journal, Journal)
    assert (session.journal.entries()[0].state, session.journal.entries()[0].reason) == ("FAILED", "blocked")


def test_failed_job_without_reason_has_an_empty_one(session: Session) -> None:
    flow_result = run_wait(session, make_state("FAILED"))
    assert isinstance(flow_result.error, errors.JobFailed)
    assert flow_result.error.message == ""
    assert flow_result.events == [events.Failed("job", "kling-2", "", polls=1)]


def test_job_of_unknown_model_is_polled_often_at_first(session: Session) -> None:
    flow_result = run_wait(session, *[make_state("QUEUED")] * 99, timeout=10.0)
    assert isinstance(flow_result.error, errors.WaitTimeout)
    assert flow_result.error.seconds == pytest.approx(10.0)
    assert 8 <= flow_result.sent <= 11


def test_ready_result_gets_half_a_minute_more(session: Session) -> None:
    flow_result = run_wait(session, make_state("COMPLETED"), *[make_answer(500)] * 99, timeout=0.0)
    assert isinstance(flow_result.error, errors.WaitTimeout)
    assert flow_result.error.seconds == pytest.approx(30.0)
    job: Any = flow_result.error.job
    assert job.request_id == "job"


@pytest.mark.parametrize("before", [[], [make_state("COMPLETED")]])
def test_expired_job_is_recorded_and_reported(session: Session, before: list[Outcome]) -> None:
    flow_result = run_wait(session, *before, MISSING, LOST, MISSING, make_answer(500), MISSING)
    assert isinstance(flow_result.error, errors.JobExpired)
    assert flow_result.events == [events.Expired("job", "kling-2", polls=len(before) + 5)]
    assert read_row(session)[0] == "EXPIRED"


@pytest.mark.parametrize("status", [400, 401, 405, 407, 409, 421, 423, 424, 426, 428, 430, 451, 499])
def test_refusal_is_raised_at_once(session: Session, status: int) -> None:
    job = JobRef("job")
    for ask in (wait(session, job, 60.0), query_status(session, job), query_credits(session)):
        flow_result = run(ask, [make_answer(status)])
        assert isinstance(flow_result.error, api_errors.ApiError)
        assert flow_result.error.status == status


@pytest.mark.parametrize("status", [200, 302, 399, 408, 422, 425, 429, 500, 503])
def test_failed_query_is_repeated_for_half_a_minute(status: int) -> None:
    asks = (lambda session: query_status(session, JobRef("job")), query_credits)
    for ask in asks:
        flow_result = run(ask(Session(GATEWAY, Key)), [Answer(status, {}, b"?")] * 99)
        assert isinstance(flow_result.error, api_errors.ApiError if status >= 400 else errors.TransportError)
        assert flow_result.seconds == pytest.approx(30.0)
        # After 1, 3, 7, 15 and 30 seconds, each spread by a tenth; first refusals are repeated sooner, later ones later.
        assert flow_result.sent in (range(5, 11) if status == 429 else (6, 7))


def test_missing_credits_are_an_api_error(session: Session) -> None:
    assert isinstance(run(query_credits(session), [MISSING]).error, api_errors.NotFound)
