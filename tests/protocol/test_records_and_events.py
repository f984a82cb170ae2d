"""Of each way in which a job can go: the events, what is in the journal, and how long it is said to have taken."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from kling_adapters import api_errors, errors, events, fingerprint_key
from kling_adapters.builtin.file_storage import Folder
from kling_adapters.journal.journal import Journal
from kling_adapters.media.inputs import digest_media
from kling_adapters.media.urls import make_data_url
from kling_adapters.models._gateway import (
    BASE_URL,
    KEY_ENVIRONMENT,
    KEY_HEADER,
    OUTPUT_LIFETIME,
    RECORD_LIFETIME,
)
from kling_adapters.protocol import effects
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.keys import check_key
from kling_adapters.protocol.messages import Answer, Fault, Outcome
from kling_adapters.protocol.rate_limit import RateLimiter, Turn
from kling_adapters.protocol.reconcile import LOOK_DELAYS
from kling_adapters.protocol.records import call_quietly
from kling_adapters.protocol.run import run_and_collect, submit_for_destination
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.submit import run_sync, submit
from kling_adapters.protocol.wait import query_credits, query_status, wait
from kling_adapters.schema.adapter import Adapter
from kling_adapters.testing import MP4, PNG
from tests.support.scripted_flow import STARTED, Key, run

GATEWAY = Gateway("https://api.example.com")
ADAPTER = Adapter(slug="kling-2", title="Kling 2", returns="video", latency=300.0)
BODY = {"prompt": "a lighthouse"}
KEY = Key().api_key()
LOST = Fault("cut", sent=True)
UNREACHED = Fault("refused", sent=False)


def answer(code: int, headers: dict[str, str] | None = None, **body: Any) -> Answer:
    return Answer(code, headers or {}, json.dumps(body).encode())


ACCEPTED = answer(200, request_id="job", status="QUEUED")
RESULT = answer(200, status="COMPLETED", request_id="job", output="https://e.com/a.mp4")
FILE = Answer(200, {"content-type": "video/mp4", "x-request-id": "job"}, MP4)


def about(seconds: float) -> Any:
    return pytest.approx(seconds)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A session with a journal."""
    session = Session(GATEWAY, Key, Journal(tmp_path / "journal"), uses_history=False)
    yield session
    session.close()


def read_row(session: Session) -> tuple[str, str | None, str]:
    """The state, the id and the key of the one entry in the journal."""
    assert isinstance(session.journal, Journal)
    [entry] = session.journal.entries()
    return entry.state, entry.request_id, entry.key


def run_submit(session: Session, *outcomes: Outcome) -> Any:
    return run(submit(session, "kling-2", BODY, ADAPTER, "out", "tag"), outcomes)


@pytest.mark.parametrize("status", [200, 201, 299])
def test_accepted_submit_is_recorded_and_reported(session: Session, status: int) -> None:
    flow_result = run_submit(session, UNREACHED, answer(500), answer(status, request_id="job"))
    assert flow_result.value == JobRef("job", "kling-2", 300.0, "video")
    assert flow_result.value.submitted == about(STARTED + flow_result.seconds)
    assert flow_result.seconds > 2.5
    assert flow_result.events == [events.Submitted("job", "kling-2", BODY, about(flow_result.seconds))]
    assert read_row(session) == ("QUEUED", "job", fingerprint_key(KEY))
    assert isinstance(session.journal, Journal)
    [entry] = session.journal.entries()
    assert (entry.save_to, entry.tag, entry.params) == ("out", "tag", BODY)


def test_job_without_adapter_has_only_its_model(session: Session) -> None:
    flow_result = run(submit(session, "kling-9", BODY), [ACCEPTED])
    assert flow_result.value == JobRef("job", "kling-9", None, None)


@pytest.mark.parametrize(
    ("last", "error", "state"),
    [
        (LOST, errors.SubmitUncertain, "UNCERTAIN"),
        (answer(504), errors.SubmitUncertain, "UNCERTAIN"),
        (answer(199, request_id="job"), errors.SubmitUncertain, "UNCERTAIN"),
        (answer(300, request_id="job"), errors.SubmitUncertain, "UNCERTAIN"),
        (answer(399), errors.SubmitUncertain, "UNCERTAIN"),
        (answer(599), errors.SubmitUncertain, "UNCERTAIN"),
        (answer(400), api_errors.BadRequest, "REFUSED"),
        (answer(418), api_errors.ApiError, "REFUSED"),
        (answer(499), api_errors.ApiError, "REFUSED"),
    ],
)
@pytest.mark.parametrize("is_sync", [False, True])
def test_failed_submit_is_recorded_and_reported(
    session: Session, last: Outcome, error: type[Exception], state: str, is_sync: bool
) -> None:
    if is_sync:
        flow_result = run(run_sync(session, ADAPTER, BODY, 60.0), [UNREACHED, last])
    else:
        flow_result = run_submit(session, UNREACHED, last)
    assert isinstance(flow_result.error, error)
    assert flow_result.sent == 2
    assert flow_result.events == [
        events.SubmitFailed("kling-2", str(flow_result.error), state == "UNCERTAIN")
    ]
    assert read_row(session) == (state, None, fingerprint_key(KEY))
    assert getattr(flow_result.error, "entry", 1) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 410, 422, 418])
def test_refused_submit_is_not_repeated(session: Session, status: int) -> None:
    flow_result = run_submit(session, answer(status), ACCEPTED)
    assert isinstance(flow_result.error, api_errors.ApiError)
    assert flow_result.sent == 1


@pytest.mark.parametrize("status", [429, 500, 502])
def test_safe_submit_is_repeated(session: Session, status: int) -> None:
    flow_result = run_submit(session, answer(status), ACCEPTED)
    assert flow_result.value.request_id == "job"


@pytest.mark.parametrize("status", [501, 503, 504, 505])
def test_uncertain_submit_is_not_repeated(session: Session, status: int) -> None:
    flow_result = run_submit(session, answer(status), ACCEPTED)
    assert isinstance(flow_result.error, errors.SubmitUncertain)
    assert flow_result.sent == 1


@pytest.mark.parametrize("status", [500, 502])
def test_failed_direct_run_is_uncertain(session: Session, status: int) -> None:
    flow_result = run(run_sync(session, ADAPTER, BODY, None), [answer(status), FILE])
    assert isinstance(flow_result.error, errors.SubmitUncertain)
    assert flow_result.sent == 1


class RenewedKey(Key):
    """An Auth with another key from its refusal number `number` on."""

    def __init__(self, number: int) -> None:
        self._remaining = number

    def api_key(self) -> str:
        return "SG_renewed" if self._remaining <= 0 else KEY

    def refused(self, key: str, status: int, seconds: float | None) -> bool:
        self._remaining -= 1
        return self._remaining <= 0


@pytest.mark.parametrize("number", [1, 2])
def test_submit_waits_only_for_a_key_that_has_no_successor(session: Session, number: int) -> None:
    limit = answer(429, {"retry-after": "100"})
    session.auth = RenewedKey(number)
    flow_result = run(submit(session, "kling-2", BODY), [*[limit] * number, ACCEPTED])
    assert [request.key for request in flow_result.requests] == [*[KEY] * number, "SG_renewed"]
    assert flow_result.seconds == pytest.approx(100 * (number - 1), abs=15)
    assert read_row(session) == ("QUEUED", "job", fingerprint_key("SG_renewed"))


@pytest.mark.parametrize(
    ("status", "keys"), [(401, [KEY, "SG_renewed", "SG_renewed"]), (403, [KEY]), (410, [KEY])]
)
def test_query_tries_each_invalid_key_once_more(status: int, keys: list[str]) -> None:
    auth = RenewedKey(1)
    flow_result = run(query_credits(Session(GATEWAY, lambda: auth)), [answer(status)] * 9)
    assert isinstance(flow_result.error, api_errors.ApiError)
    assert [request.key for request in flow_result.requests] == keys


def test_closed_client_asks_for_no_key() -> None:
    session = Session(GATEWAY, Key)
    session.closed.set()
    job = JobRef("job", "kling-2", submitted=STARTED)
    for flow in (
        query_credits(session),
        query_status(session, job),
        wait(session, job, None),
        submit(session, "kling-2", BODY),
        run_sync(session, ADAPTER, BODY, None),
    ):
        flow_result = run(flow, [])
        assert isinstance(flow_result.error, errors.ConfigError)
        assert flow_result.seconds == 0
    assert session.auth is None
    assert session.limiters == {}


def test_query_is_repeated_when_its_limit_ends() -> None:
    limit = answer(429, {"retry-after": "20"})
    flow_result = run(query_credits(Session(GATEWAY, Key)), [limit, answer(200, credits=1)])
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


def test_wait_without_time_polls_once_at_once(session: Session) -> None:
    job = run_submit(session, ACCEPTED).value
    history = session.histories.open("kling-2")
    for _ in range(9):
        history.add(300.0)
    flow_result = run(wait(session, job, 0.0), [state("QUEUED")])
    assert isinstance(flow_result.error, errors.WaitTimeout)
    assert (flow_result.sent, flow_result.seconds) == (1, 0.0)


@pytest.mark.parametrize("may_block", [True, False])
def test_limiter_learns_of_each_answer(
    session: Session, monkeypatch: pytest.MonkeyPatch, may_block: bool
) -> None:
    successes: list[tuple[float, float]] = []
    monkeypatch.setattr(RateLimiter, "may_block", may_block)
    monkeypatch.setattr(session.limiter(KEY), "record_success", lambda *times: successes.append(times))
    flow_result = run_submit(session, UNREACHED, answer(429, {"retry-after": "7"}), answer(500), ACCEPTED)
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
    run(wait(session, job, None), [state("QUEUED"), state("COMPLETED"), RESULT])
    assert urgent == [True, False, False, True]


WITH_FILE = {"prompt": "x", "image": PNG}
UPLOADED = answer(200, file_urls=["https://e.com/new.png"])
SIX_DAYS = 6 * 86400


@pytest.mark.parametrize(("age", "sent"), [(SIX_DAYS - 10, 1), (SIX_DAYS + 10, 2)])
def test_upload_is_repeated_a_day_before_it_expires(age: float, sent: int) -> None:
    session = Session(GATEWAY, Key)
    session.uploads.keep(hashlib.sha256(PNG).hexdigest(), "https://e.com/old.png", STARTED - age)
    flow_result = run(submit(session, "kling-2", WITH_FILE), [UPLOADED, ACCEPTED][-sent:])
    assert flow_result.value.request_id == "job"
    assert flow_result.sent == sent
    url = "old" if sent == 1 else "new"
    body = flow_result.requests[-1].body
    assert isinstance(body, bytes)
    assert json.loads(body)["image"] == f"https://e.com/{url}.png"


@pytest.mark.parametrize(("timeout", "deadline"), [(None, None), (900.0, 600.0), (300.0, 300.0)])
def test_upload_ends_with_the_timeout_of_the_submit(timeout: float | None, deadline: float | None) -> None:
    start = submit(Session(GATEWAY, Key), "kling-2", WITH_FILE, timeout=timeout)
    upload = run(start, [UPLOADED, ACCEPTED]).requests[0]
    assert (upload.timeout, upload.deadline) == (600.0, deadline)


def test_upload_that_took_the_timeout_starts_no_job() -> None:
    start = submit(Session(GATEWAY, Key), "kling-2", WITH_FILE, timeout=0.5)
    flow_result = run(start, [answer(500), UPLOADED, ACCEPTED])
    assert str(flow_result.error) == "the timeout was spent on uploads. No job was started"
    assert flow_result.sent == 2


def test_submit_without_media_needs_no_time_for_uploads() -> None:
    flow_result = run(submit(Session(GATEWAY, Key), "kling-2", {"prompt": "x"}, timeout=0.0), [ACCEPTED])
    assert flow_result.value.request_id == "job"


def test_upload_is_retried_for_five_minutes() -> None:
    flow_result = run(submit(Session(GATEWAY, Key), "kling-2", WITH_FILE), [answer(500)] * 99)
    assert isinstance(flow_result.error, errors.KlingError)
    assert not isinstance(flow_result.error, errors.SubmitUncertain)
    assert flow_result.seconds == pytest.approx(300.0)


class ShownKey(Key):
    """An Auth of a plugin that shows its key."""

    def __repr__(self) -> str:
        return f"ShownKey({self.api_key()})"


def test_session_does_not_show_its_keys() -> None:
    session = Session(GATEWAY, ShownKey)
    run(submit(session, "kling-2", BODY), [ACCEPTED])
    session.auth = ShownKey()
    session.running_jobs(KEY)
    assert KEY in session.limiters.keys() & session.waiting.keys()
    assert KEY not in repr(session)


def test_gateway_addresses_follow_the_spec() -> None:
    gateway = Gateway(BASE_URL)
    assert gateway.submit("kling-2", {}).url == "https://api.segmind.com/v2/kling-2"
    assert gateway.run_sync("kling-2", {}, 1.0).url == "https://api.segmind.com/v1/kling-2"
    assert gateway.status("job").url == "https://api.segmind.com/v2/requests/job/status"
    assert gateway.result("job").url == "https://api.segmind.com/v2/requests/job"
    assert gateway.credits().url == "https://api.segmind.com/v1/get-user-credits"
    assert (
        gateway.upload(make_data_url(PNG, digest_media(PNG))).url
        == "https://workflows-api.segmind.com/upload-asset"
    )
    assert (KEY_HEADER, KEY_ENVIRONMENT) == ("x-api-key", "SEGMIND_API_KEY")
    # An hour, and a week.
    assert (RECORD_LIFETIME, OUTPUT_LIFETIME) == (3600, 604800)


@pytest.mark.parametrize("is_sync", [False, True])
def test_unreachable_gateway_is_a_transport_error(session: Session, is_sync: bool) -> None:
    start = run_sync(session, ADAPTER, BODY, None) if is_sync else submit(session, "kling-2", BODY)
    flow_result = run(start, [UNREACHED] * 9)
    assert isinstance(flow_result.error, errors.TransportError)
    assert flow_result.sent == 4
    assert flow_result.events == [events.SubmitFailed("kling-2", str(flow_result.error), uncertain=False)]
    assert read_row(session)[0] == "REFUSED"


@pytest.mark.parametrize(("timeout", "expected"), [(None, 1200.0), (7.0, 7.0)])
def test_direct_run_is_recorded_and_reported(
    session: Session, timeout: float | None, expected: float
) -> None:
    flow_result = run(run_sync(session, ADAPTER, BODY, timeout), [UNREACHED, FILE])
    assert flow_result.value.artifacts[0].content == FILE.body
    assert flow_result.requests[-1].timeout == expected
    assert flow_result.seconds > 0.8
    job = flow_result.value.request_id
    assert flow_result.events == [
        events.Submitted(job, "kling-2", BODY, about(flow_result.seconds)),
        events.Completed(job, "kling-2", flow_result.value, polls=0),
    ]
    assert read_row(session) == ("COMPLETED", job, fingerprint_key(KEY))


NO_ID = "the gateway answered 200, without a request id"
NOT_CLEAR = "the gateway answered 504, which does not say whether a job was started"


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (answer(200), NO_ID),
        (answer(504), NOT_CLEAR),
        (answer(504, error="too slow"), f"{NOT_CLEAR}, but with: too slow"),
        (LOST, "cut"),
    ],
)
def test_uncertain_submit_has_the_answer_as_its_reason(session: Session, last: Outcome, reason: str) -> None:
    error = run_submit(session, last).error
    assert isinstance(error, errors.SubmitUncertain)
    assert error.reason == reason


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (answer(200), "the gateway answered 200 with no usable answer"),
        (answer(204, error="too slow"), "the gateway answered 204 with no usable answer: too slow"),
        (
            answer(200, request_id="b", status="QUEUED"),
            "the gateway answered 200 with an answer about another job",
        ),
        (UNREACHED, "the gateway could not be reached: refused. This request started no job"),
    ],
)
def test_failed_query_has_the_answer_as_its_message(session: Session, last: Outcome, message: str) -> None:
    error = run(query_status(session, JobRef("job")), [last] * 99).error
    assert isinstance(error, errors.TransportError)
    assert str(error) == message


def test_uncertain_submit_is_announced(session: Session) -> None:
    calls: list[str] = []
    flow_result = run(
        submit(session, "kling-2", BODY, on_uncertain=partial(calls.append, "uncertain")), [LOST]
    )
    assert isinstance(flow_result.error, errors.SubmitUncertain)
    assert calls == ["uncertain"]


@pytest.mark.parametrize(
    ("looks", "timeout", "seconds"), [(1, 60.0, 60.0), (1, None, 1200.0), (2, LOOK_DELAYS[1], LOOK_DELAYS[1])]
)
def test_found_direct_run_is_waited_for_within_its_timeout(
    tmp_path: Path, looks: int, timeout: float | None, seconds: float
) -> None:
    session = Session(GATEWAY, Key, Journal(tmp_path / "journal"))
    created = datetime.now(UTC).isoformat()
    row: dict[str, Any] = {"request_id": "job", "model_name": "kling-2", "request_body": BODY}
    row["model_created"] = created
    pages = [
        answer(200, generations=rows, pagination={"has_next": False}) for rows in [*[[]] * (looks - 1), [row]]
    ]
    running = repeat(answer(200, status="PROCESSING", request_id="job"))
    outcomes = chain([LOST, *pages, answer(200, **row)], running)
    flow_result = run(run_sync(session, ADAPTER, BODY, timeout), outcomes)
    assert isinstance(flow_result.error, errors.WaitTimeout)
    assert flow_result.seconds == pytest.approx(seconds)
    session.close()


def find_nothing(place: str) -> Folder:
    raise AssertionError(place)


def test_run_without_a_timeout_has_that_of_its_model(session: Session) -> None:
    flow = run_and_collect(session, ADAPTER, BODY, None, find_nothing, None)
    flow_result = run(flow, chain([ACCEPTED], repeat(answer(200, status="QUEUED", request_id="job"))))
    assert isinstance(flow_result.error, errors.WaitTimeout)
    assert flow_result.error.seconds == pytest.approx(4 * 300.0)


def test_run_without_a_destination_stores_nothing(session: Session) -> None:
    done = answer(200, status="COMPLETED", request_id="job")
    flow_result = run(
        run_and_collect(session, ADAPTER, BODY, 60.0, find_nothing, None), [ACCEPTED, done, RESULT]
    )
    assert flow_result.value[1] == ()


def test_job_without_a_spec_has_a_destination(session: Session, tmp_path: Path) -> None:
    def find(place: str) -> Folder:
        return Folder(Path(place))

    flow = submit_for_destination(session, "kling-9", BODY, None, None, find, str(tmp_path))
    assert run(flow, [ACCEPTED]).value.request_id == "job"
    assert isinstance(session.journal, Journal)
    assert session.journal.entries()[0].save_to == str(tmp_path)


def test_failed_direct_run_is_recorded(session: Session) -> None:
    flow_result = run(
        run_sync(session, ADAPTER, BODY, None),
        [answer(422, status="FAILED", error="blocked", request_id="job")],
    )
    assert isinstance(flow_result.error, errors.JobFailed)
    assert flow_result.events == [events.Failed(flow_result.error.request_id, "kling-2", "blocked", polls=0)]
    assert read_row(session) == ("FAILED", flow_result.error.request_id, fingerprint_key(KEY))


def run_wait(session: Session, *outcomes: Outcome, timeout: float | None = None) -> Any:
    job = run_submit(session, ACCEPTED).value
    return run(wait(session, job, timeout), outcomes)


def state(name: str) -> Answer:
    return answer(200, status=name, request_id="job")


MISSING = answer(404)


def test_completed_job_is_recorded_and_reported(session: Session) -> None:
    flow_result = run_wait(
        session, *map(state, ("QUEUED", "QUEUED", "WARMING", "QUEUED", "COMPLETED")), LOST, RESULT
    )
    assert flow_result.events == [
        *(events.StateChanged("job", "kling-2", name) for name in ("QUEUED", "WARMING", "QUEUED")),
        events.Completed("job", "kling-2", flow_result.value, polls=7),
    ]
    assert read_row(session)[0] == "COMPLETED"


def test_duration_of_a_job_is_kept_when_it_is_waited_for_again(session: Session) -> None:
    job = run_submit(session, ACCEPTED).value
    polls = [state("QUEUED")] * 3 + [state("COMPLETED"), RESULT]
    run(wait(session, job, None), polls)
    durations = list(session.journal.durations(GATEWAY.base_url, "kling-2"))
    assert len(durations) == 1
    again = run(wait(session, JobRef("job", submitted=STARTED - 9000.0), None), polls[3:])
    assert again.value.request_id == "job"
    assert list(session.journal.durations(GATEWAY.base_url, "kling-2")) == durations


LISTED = answer(200, request_id="job", model_name="kling-2", model_status="PENDING")
LISTED_END = answer(200, request_id="job", model_status="COMPLETED", generation_url="https://e.com/a.mp4")


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
    first = run_wait(session, state("COMPLETED"), RESULT).value
    flow_result = run(wait(session, JobRef("job", returns="video"), None), [MISSING] * 3)
    assert (flow_result.value.output, flow_result.sent) == (first.output, 3)


def test_recorded_failure_is_found_when_the_gateway_has_forgotten_it(session: Session) -> None:
    run_wait(session, FAILED)
    error = run(wait(session, JobRef("job"), None), [MISSING] * 3).error
    assert isinstance(error, errors.JobFailed)
    assert error.message == "blocked"


@pytest.mark.parametrize(("members", "text"), [({"error": "busy"}, "QUEUED: busy"), ({}, "QUEUED")])
def test_timeout_names_the_last_state(session: Session, members: dict[str, Any], text: str) -> None:
    last = answer(200, status="QUEUED", request_id="job", **members)
    message = str(run_wait(session, last, timeout=0.0).error)
    assert re.search(rf"its last state is {text}(?![\w:])", message)


def test_each_state_is_recorded_while_it_lasts(session: Session) -> None:
    flow_result = run_wait(session, state("PROCESSING"), timeout=0)
    assert isinstance(flow_result.error, errors.WaitTimeout)
    job: Any = flow_result.error.job
    assert job == JobRef("job", "kling-2", 300.0, "video")
    assert read_row(session)[0] == "PROCESSING"


FAILED = answer(422, status="FAILED", error="blocked", metrics={"cost": 0.5})


@pytest.mark.parametrize("before", [[], [state("COMPLETED")]])
def test_failed_job_is_recorded_and_reported(session: Session, before: list[Outcome]) -> None:
    flow_result = run_wait(session, *before, FAILED)
    assert isinstance(flow_result.error, errors.JobFailed)
    assert (flow_result.error.message, flow_result.error.metrics.cost) == ("blocked", 0.5)
    assert flow_result.events == [events.Failed("job", "kling-2", "blocked", polls=len(before) + 1)]
    assert isinstance(session.journal, Journal)
    assert (session.journal.entries()[0].state, session.journal.entries()[0].reason) == ("FAILED", "blocked")


def test_failed_job_without_reason_has_an_empty_one(session: Session) -> None:
    flow_result = run_wait(session, state("FAILED"))
    assert isinstance(flow_result.error, errors.JobFailed)
    assert flow_result.error.message == ""
    assert flow_result.events == [events.Failed("job", "kling-2", "", polls=1)]


def test_job_of_unknown_model_is_polled_often_at_first(session: Session) -> None:
    flow_result = run_wait(session, *[state("QUEUED")] * 99, timeout=10.0)
    assert isinstance(flow_result.error, errors.WaitTimeout)
    assert flow_result.error.seconds == pytest.approx(10.0)
    assert 8 <= flow_result.sent <= 11


def test_ready_result_gets_half_a_minute_more(session: Session) -> None:
    flow_result = run_wait(session, state("COMPLETED"), *[answer(500)] * 99, timeout=0.0)
    assert isinstance(flow_result.error, errors.WaitTimeout)
    assert flow_result.error.seconds == pytest.approx(30.0)
    job: Any = flow_result.error.job
    assert job.request_id == "job"


@pytest.mark.parametrize("before", [[], [state("COMPLETED")]])
def test_expired_job_is_recorded_and_reported(session: Session, before: list[Outcome]) -> None:
    flow_result = run_wait(session, *before, MISSING, LOST, MISSING, answer(500), MISSING)
    assert isinstance(flow_result.error, errors.JobExpired)
    assert flow_result.events == [events.Expired("job", "kling-2", polls=len(before) + 5)]
    assert read_row(session)[0] == "EXPIRED"


@pytest.mark.parametrize("status", [400, 401, 405, 407, 409, 421, 423, 424, 426, 428, 430, 451, 499])
def test_refusal_is_raised_at_once(session: Session, status: int) -> None:
    job = JobRef("job")
    for ask in (wait(session, job, 60.0), query_status(session, job), query_credits(session)):
        flow_result = run(ask, [answer(status)])
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


def test_single_rate_limit_does_not_space_later_polls(session: Session) -> None:
    polls = [state("QUEUED")] * 999
    unlimited = run_wait(session, *polls, timeout=60.0).sent
    assert abs(run_wait(session, answer(429), *polls, timeout=60.0).sent - unlimited) <= 3
    assert session.limiters[KEY].pace.rate is None


def test_missing_credits_are_an_api_error(session: Session) -> None:
    assert isinstance(run(query_credits(session), [MISSING]).error, api_errors.NotFound)


class Pool:
    """Keys that take turns: one that is refused goes to the end."""

    def __init__(self, *ring: str, has_another: bool = True) -> None:
        self.ring = list(ring)
        self.jobs: dict[str, str] = {}
        self.reports: list[tuple[Any, ...]] = []
        self.has_another = has_another

    def api_key(self) -> str:
        return self.ring[0]

    def keys(self) -> list[str]:
        return sorted(self.ring)

    def key_of(self, request_id: str) -> str | None:
        assert isinstance(request_id, str)
        return self.jobs.get(request_id)

    def accepted(self, key: str, request_id: str) -> None:
        self.reports.append(("accepted", key, request_id))

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        self.reports.append(("refused", key, status, retry_after))
        self.ring.append(self.ring.pop(0))
        return self.has_another


@pytest.mark.parametrize("status", [401, 403, 406, 429])
def test_pool_tries_each_key_once(tmp_path: Path, status: int) -> None:
    pool = Pool("SG_a", "SG_b", "SG_c")
    session = Session(GATEWAY, lambda: pool, Journal(tmp_path / "journal"), uses_history=False)
    refusal = answer(status, {"retry-after": "7"}, error="Insufficient credits")
    flow_result = run(submit(session, "kling-2", BODY), [refusal, refusal, ACCEPTED])
    assert [request.key for request in flow_result.requests] == ["SG_a", "SG_b", "SG_c"]
    assert flow_result.seconds == 0
    assert pool.reports == [
        *(("refused", key, status, 7.0) for key in ("SG_a", "SG_b")),
        ("accepted", "SG_c", "job"),
    ]
    assert read_row(session) == ("QUEUED", "job", fingerprint_key("SG_c"))
    session.close()


@pytest.mark.parametrize(("has_another", "sent"), [(True, 3), (False, 1)])
def test_pool_with_refused_keys_raises_the_refusal(has_another: bool, sent: int) -> None:
    pool = Pool("SG_a", "SG_b", has_another=has_another)
    flow_result = run(submit(Session(GATEWAY, lambda: pool), "kling-2", BODY), [answer(401)] * 9)
    assert isinstance(flow_result.error, api_errors.Unauthorized)
    assert (flow_result.sent, flow_result.seconds) == (sent, 0)


def test_check_of_a_pool_takes_no_key() -> None:
    pool = Pool()
    assert run(check_key(Session(GATEWAY, lambda: pool)), []).error is None
    assert isinstance(run(check_key(Session(GATEWAY, lambda: InvalidAuth(""))), []).error, errors.ConfigError)


def test_other_refusals_are_not_reported_to_a_pool() -> None:
    pool = Pool("SG_a", "SG_b")
    flow_result = run(submit(Session(GATEWAY, lambda: pool), "kling-2", BODY), [answer(500), answer(400)])
    assert isinstance(flow_result.error, api_errors.BadRequest)
    assert pool.reports == []


def test_query_uses_the_key_that_submitted_the_job(tmp_path: Path) -> None:
    pool = Pool("SG_a", "SG_b")
    session = Session(GATEWAY, lambda: pool, Journal(tmp_path / "journal"), uses_history=False)
    run(submit(session, "kling-2", BODY), [answer(401), ACCEPTED])
    pool.ring = ["SG_a", "SG_b"]
    pool.reports.clear()

    def find_query_key(session: Session, request_id: str | None) -> str | None:
        if request_id is None:
            return run(query_credits(session), [answer(200, credits=1)] * 9).requests[0].key
        return run(query_status(session, JobRef(request_id)), [state("QUEUED")]).requests[0].key

    # From the journal, which the pool then learns.
    assert find_query_key(session, "job") == "SG_b"
    assert pool.reports == [("accepted", "SG_b", "job")]
    # Another job, or no job, has no recorded key.
    assert find_query_key(session, "other") == find_query_key(session, None) == "SG_a"
    assert find_query_key(Session(GATEWAY, lambda: pool), "job") == "SG_a"
    # The key is no longer there.
    pool.ring = ["SG_a", "SG_c"]
    assert find_query_key(session, "job") == "SG_a"
    assert len(pool.reports) == 1
    # The pool has its own record.
    pool.jobs = {"job": "SG_c"}
    assert find_query_key(session, "job") == "SG_c"
    assert len(pool.reports) == 1
    session.close()


class InvalidAuth:
    def __init__(self, key: Any) -> None:
        self.key = key

    def api_key(self) -> Any:
        if isinstance(self.key, Exception):
            raise self.key
        return self.key


@pytest.mark.parametrize("key", ["", "SG a", "SG_ä", "SG_\n", None, 7, RuntimeError("SG_secret")])
def test_invalid_key_is_not_sent_and_not_shown(key: Any) -> None:
    flow_result = run(submit(Session(GATEWAY, lambda: InvalidAuth(key)), "kling-2", BODY), [])
    assert isinstance(flow_result.error, errors.ConfigError)
    assert "Nothing was sent" in str(flow_result.error)
    assert "secret" not in str(flow_result.error)
    assert ("failed with RuntimeError" in str(flow_result.error)) == isinstance(key, RuntimeError)
    error = api_errors.Unauthorized(401, "what a plugin says on purpose")
    flow_result = run(submit(Session(GATEWAY, lambda: InvalidAuth(error)), "kling-2", BODY), [])
    assert flow_result.error is error


def test_failure_of_a_plugin_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("no connection")

    assert call_quietly(fail) is None
    [logged] = caplog.records
    assert logged.exc_info is not None
    assert logged.exc_text is None or "no connection" in logged.exc_text


def test_broken_journal_loses_no_sent_job(session: Session) -> None:
    def outcomes() -> Iterator[Outcome]:
        assert isinstance(session.journal, Journal)
        with sqlite3.connect(session.journal.path) as connection:
            connection.execute("DROP TABLE jobs")
        connection.close()
        yield ACCEPTED

    assert run(submit(session, "kling-2", BODY), outcomes()).value.request_id == "job"


@pytest.mark.parametrize(
    ("after", "state"), [(effects.Send, "UNCERTAIN"), (effects.Sleep, "REFUSED"), (None, "QUEUED")]
)
@pytest.mark.parametrize("how", [KeyboardInterrupt, GeneratorExit])
def test_interrupted_submit_is_recorded(
    session: Session, after: type | None, state: str, how: type[BaseException]
) -> None:
    """While a request is under way, while it only waits to be repeated, and while its id is written down."""
    flow = submit(session, "kling-2", BODY)
    outcome: Any = None
    for _ in range(50):
        effect = flow.send(outcome)
        is_last = isinstance(effect, effects.Call) and "QUEUED" in repr(effect.function)
        if is_last if after is None else isinstance(effect, after):
            break
        match effect:
            case effects.Send():
                outcome = answer(500) if after is effects.Sleep else ACCEPTED
            case effects.Call():
                outcome = effect.function()
            case _:
                outcome = 0.0
    with pytest.raises(how):
        flow.throw(how())
    assert read_row(session)[0] == state


class FullJournal(Journal):
    """A journal on a full disk, after a number of intents."""

    def __init__(self, path: Path, intents: int, error: BaseException) -> None:
        super().__init__(path)
        self.updated: list[int] = []
        self._intents, self._error = intents, error

    def intend(self, *arguments: Any, **options: Any) -> int:
        self._intents -= 1
        if self._intents < 0:
            raise self._error
        return 7

    def update(self, entry: int, **columns: Any) -> None:
        self.updated.append(entry)


def repeat_writes(flow: effects.Flow[Any]) -> effects.Flow[Any]:
    """Perform each write twice, as a driver does with one that shared a transaction with a failed one."""
    effect = next(flow)
    while True:
        try:
            if isinstance(effect, effects.Record):
                yield effect
            outcome = yield effect
        except Exception as error:  # noqa: BLE001  the flow looks at it
            effect = flow.throw(error)
        else:
            effect = flow.send(outcome)


@pytest.mark.parametrize("intents", [0, 1])
def test_submit_without_an_intent_changes_no_entry(tmp_path: Path, intents: int) -> None:
    journal = FullJournal(tmp_path / "journal", intents, errors.StorageError("the disk is full"))
    flow = submit(Session(GATEWAY, Key, journal), "kling-2", BODY)
    flow_result = run(repeat_writes(flow) if intents else flow, [])
    assert isinstance(flow_result.error, errors.StorageError)
    assert journal.updated == []
    journal.close()


def test_interrupt_before_an_intent_changes_no_entry(tmp_path: Path) -> None:
    journal = FullJournal(tmp_path / "journal", 0, KeyboardInterrupt())
    flow = submit(Session(GATEWAY, Key, journal), "kling-2", BODY)
    effect, outcome = next(flow), None
    while not isinstance(effect, effects.Record):
        outcome = effect.function() if isinstance(effect, effects.Call) else STARTED
        effect = flow.send(outcome)
    with pytest.raises(KeyboardInterrupt):
        flow.throw(KeyboardInterrupt())
    assert journal.updated == []
    journal.close()


def test_error_without_journal_has_no_entry() -> None:
    session = Session(GATEWAY, Key)
    flow_result = run(submit(session, "kling-2", BODY), [LOST])
    assert isinstance(flow_result.error, errors.SubmitUncertain)
    assert flow_result.error.entry is None
    flow = submit(session, "kling-2", BODY)
    outcome: Any = None
    while not isinstance(effect := flow.send(outcome), effects.Send):
        outcome = effect.function() if isinstance(effect, effects.Call) else 1e9
    with pytest.raises(KeyboardInterrupt):
        flow.throw(KeyboardInterrupt())


def test_closed_session_closes_its_journal(session: Session) -> None:
    assert isinstance(session.journal, Journal)
    session.journal.intend(GATEWAY.base_url, "kling-2", BODY, KEY)
    second_journal = Journal(session.journal.path)
    assert [entry.state for entry in second_journal.entries()] == ["SUBMITTING"]
    session.close()
    # Its owner is gone.
    assert [entry.state for entry in second_journal.entries()] == ["UNCERTAIN"]
    second_journal.close()
    Session(GATEWAY, Key).close()
