"""The timeout of `submit` and `run` bounds every part of them, and loses nothing that was paid for."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kling_adapters import api_errors, errors
from kling_adapters.protocol import effects
from kling_adapters.protocol.messages import Answer, Outcome
from kling_adapters.protocol.run import run_and_collect
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.submit import run_sync, submit
from kling_adapters.protocol.wait import query_status, wait
from kling_adapters.result import ResultData
from kling_adapters.testing import MP4, PNG
from tests.protocol.conftest import ACCEPTED, ADAPTER, BODY, GATEWAY, LOST, make_answer, make_state
from tests.support.clients import OpenClient
from tests.support.memory_storage import Memory, answer_with_file
from tests.support.scripted_flow import STARTED, FlowResult, Key, run
from tests.support.scripted_server import ScriptedServer, gateway_script, json_reply

URL = "https://files.example.com/a.mp4"
QUEUED, COMPLETED = make_state("QUEUED"), make_state("COMPLETED")
RESULT = make_answer(200, request_id="job", status="COMPLETED", output=URL)


def run_for(session: Session, timeout: float, *outcomes: Any) -> FlowResult:
    storage = Memory()
    return run(run_and_collect(session, ADAPTER, BODY, timeout, lambda _: storage, "memory:"), outcomes)


@pytest.mark.parametrize("call", ["submit", "run", "submit_raw", "run_sync"])
def test_rate_limited_submit_ends_in_time(server: ScriptedServer, open_client: OpenClient, call: str) -> None:
    server.play(gateway_script(submit=[json_reply(429, {"error": "slow down"})]))
    client = open_client(server)
    arguments: Any = ("kling-2", BODY) if call == "submit_raw" else ("kling-2",)
    with pytest.raises(api_errors.RateLimited):
        getattr(client, call)(*arguments, **({} if len(arguments) == 2 else BODY), timeout=3)
    assert client.clock.now() <= 3
    assert len(server.posts) >= 2


def test_wait_that_ends_before_the_first_poll_ends_in_time(session: Session) -> None:
    durations = session.histories.open("kling-2")
    for _ in range(20):
        durations.add(300.0)
    flow_result = run_for(session, 0.25, ACCEPTED, QUEUED)
    assert isinstance(flow_result.error, errors.WaitTimeout)
    assert (flow_result.sent, flow_result.seconds) == (2, 0.25)


def test_failing_submit_ends_in_time(session: Session) -> None:
    flow_result = run(submit(session, "kling-2", BODY, timeout=2.0), [make_answer(502)] * 9)
    assert isinstance(flow_result.error, api_errors.BadGateway)
    assert (flow_result.sent, flow_result.seconds <= 2) == (2, True)


def test_limit_beyond_the_timeout_is_not_waited_for(session: Session) -> None:
    limited = Answer(429, {"retry-after": "600"}, b"{}")
    assert isinstance(
        run(submit(session, "kling-2", BODY, timeout=1.0), [limited]).error, api_errors.RateLimited
    )
    flow_result = run(submit(session, "kling-2", BODY, timeout=5.0), [])
    assert isinstance(flow_result.error, api_errors.RateLimited)
    assert flow_result.error.status == 429
    message = "60[01] s, longer than this submit may wait. It was not sent. Pass a longer timeout"
    assert re.search(message, str(flow_result.error))
    assert (flow_result.sent, flow_result.seconds) == (0, 0.0)


def test_query_beyond_the_rate_limit_names_its_job() -> None:
    session = Session(GATEWAY, Key, rate_limit=60)
    session.limiter(Key().api_key()).record_limit(STARTED, STARTED, 3600.0)
    error = run(query_status(session, JobRef("job")), []).error
    assert isinstance(error, api_errors.RateLimited)
    assert (error.request_id, "longer than this request may wait" in str(error)) == ("job", True)


@pytest.mark.parametrize(("seconds", "sent"), [(1700.0, 1), (1900.0, 0)])
def test_submit_waits_half_an_hour_for_a_limit(session: Session, seconds: float, sent: int) -> None:
    session.limiter(Key().api_key()).record_limit(STARTED, STARTED, seconds)
    flow_result = run(submit(session, "kling-2", BODY), [ACCEPTED])
    assert (flow_result.sent, flow_result.error is None) == (sent, sent == 1)


def test_endless_limit_is_not_waited_for(session: Session) -> None:
    session.limiter(Key().api_key()).record_limit(0.0, 0.0, 1e7)
    flow_result = run(submit(session, "kling-2", BODY), [])
    assert isinstance(flow_result.error, api_errors.RateLimited)
    assert flow_result.sent == 0


def test_upload_beyond_the_timeout_starts_no_job(session: Session) -> None:
    picture = {"image": PNG}
    flow_result = run(submit(session, "kling-2", picture, timeout=4.0), [make_answer(500)] * 99)
    assert isinstance(flow_result.error, api_errors.ServerError | errors.TransportError)
    assert "o job was started" in str(flow_result.error)
    assert flow_result.seconds == pytest.approx(4.0)
    assert all(request.url.endswith("/upload-asset") for request in flow_result.requests)
    assert all(request.deadline and request.deadline <= 5.0 for request in flow_result.requests)


def test_whole_run_is_bounded(session: Session) -> None:
    flow_result = run_for(session, 10.0, make_answer(502), ACCEPTED, *[QUEUED] * 99)
    assert isinstance(flow_result.error, errors.WaitTimeout)
    assert flow_result.seconds == pytest.approx(10.0)


def test_polls_are_cut_off_by_the_timeout(session: Session) -> None:
    flow_result = run_for(session, 60.0, ACCEPTED, *[QUEUED] * 99)
    polls = [request.deadline for request in flow_result.requests if request.method == "GET"]
    assert all(deadline is not None and 5.0 <= deadline <= 60.0 for deadline in polls)
    assert polls[-1] == 5.0
    # The answer to a submit is not cut off: the job would be lost.
    assert flow_result.requests[0].deadline is None


def test_late_download_is_not_lost(session: Session) -> None:
    flow_result = run_for(session, 10.0, ACCEPTED, COMPLETED, RESULT, *[LOST] * 7)
    assert isinstance(flow_result.error, errors.StorageError)
    assert flow_result.error.url == URL
    assert isinstance(flow_result.error.result, ResultData)
    assert flow_result.seconds == pytest.approx(10.0)
    fetches: list[Any] = [request.deadline for request in flow_result.requests if request.url == URL]
    assert fetches[0] == pytest.approx(10.0)
    assert fetches == sorted(fetches, reverse=True)
    [entry] = session.journal.entries()
    assert (entry.state, entry.save_to, entry.is_unfinished) == ("COMPLETED", "memory:", True)


def test_download_in_time_is_stored(session: Session) -> None:
    flow_result = run_for(session, 10.0, ACCEPTED, QUEUED, COMPLETED, RESULT, LOST, answer_with_file(MP4))
    data, files = flow_result.value
    assert (data.output, files[0].size) == (URL, len(MP4))


def test_direct_run_keeps_its_time_for_the_answer(session: Session) -> None:
    flow_result = run(run_sync(session, ADAPTER, BODY, 7.0), [make_answer(429), LOST])
    assert isinstance(flow_result.error, errors.SubmitUncertain)
    assert [request.deadline for request in flow_result.requests] == [7.0, 7.0]


def test_answer_about_another_job_is_ignored(session: Session) -> None:
    foreign = make_answer(
        200, request_id="other", status="COMPLETED", output="https://files.example.com/b.mp4"
    )
    job = JobRef("job", "kling-2")
    flow_result = run(wait(session, job, 600.0), [foreign, COMPLETED, foreign, RESULT])
    assert flow_result.value.output == URL
    assert run(query_status(session, job), [foreign, COMPLETED]).value.state == "COMPLETED"


def test_submit_closed_before_a_retry_is_refused(session: Session) -> None:
    def close(_: effects.Effect) -> Outcome:
        session.closed.set()
        return make_answer(502)

    flow_result = run(submit(session, "kling-2", BODY), [close])
    assert isinstance(flow_result.error, errors.ConfigError)
    assert [entry.state for entry in session.journal.entries()] == ["REFUSED"]


def test_client_closed_during_a_wait_stops_polling(session: Session) -> None:
    def close(_: effects.Effect) -> Outcome:
        session.closed.set()
        return QUEUED

    flow_result = run(wait(session, JobRef("job"), 60.0), [close])
    assert isinstance(flow_result.error, errors.ConfigError)
    assert flow_result.sent == 1
