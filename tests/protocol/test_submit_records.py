"""Of each way in which a submit or a direct run can go: the events, and what is in the journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from kling_adapters import api_errors, errors, events, fingerprint_key
from kling_adapters.builtin.file_storage import Folder
from kling_adapters.journal.journal import Journal
from kling_adapters.protocol import effects
from kling_adapters.protocol.messages import Answer, Outcome
from kling_adapters.protocol.reconcile import LOOK_DELAYS
from kling_adapters.protocol.records import call_quietly
from kling_adapters.protocol.run import run_and_collect, submit_for_destination
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.submit import run_sync, submit
from kling_adapters.testing import MP4
from tests.protocol.conftest import (
    ACCEPTED,
    ADAPTER,
    BODY,
    GATEWAY,
    KEY,
    LOST,
    RESULT,
    UNREACHED,
    make_answer,
    read_row,
    run_submit,
)
from tests.support.scripted_flow import STARTED, Key, run

FILE = Answer(200, {"content-type": "video/mp4", "x-request-id": "job"}, MP4)


def about(seconds: float) -> Any:
    return pytest.approx(seconds)


@pytest.mark.parametrize("status", [200, 201, 299])
def test_accepted_submit_is_recorded_and_reported(session: Session, status: int) -> None:
    flow_result = run_submit(session, UNREACHED, make_answer(500), make_answer(status, request_id="job"))
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
        (make_answer(504), errors.SubmitUncertain, "UNCERTAIN"),
        (make_answer(199, request_id="job"), errors.SubmitUncertain, "UNCERTAIN"),
        (make_answer(300, request_id="job"), errors.SubmitUncertain, "UNCERTAIN"),
        (make_answer(399), errors.SubmitUncertain, "UNCERTAIN"),
        (make_answer(599), errors.SubmitUncertain, "UNCERTAIN"),
        (make_answer(400), api_errors.BadRequest, "REFUSED"),
        (make_answer(418), api_errors.ApiError, "REFUSED"),
        (make_answer(499), api_errors.ApiError, "REFUSED"),
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
    flow_result = run_submit(session, make_answer(status), ACCEPTED)
    assert isinstance(flow_result.error, api_errors.ApiError)
    assert flow_result.sent == 1


@pytest.mark.parametrize("status", [429, 500, 502])
def test_safe_submit_is_repeated(session: Session, status: int) -> None:
    flow_result = run_submit(session, make_answer(status), ACCEPTED)
    assert flow_result.value.request_id == "job"


@pytest.mark.parametrize("status", [501, 503, 504, 505])
def test_uncertain_submit_is_not_repeated(session: Session, status: int) -> None:
    flow_result = run_submit(session, make_answer(status), ACCEPTED)
    assert isinstance(flow_result.error, errors.SubmitUncertain)
    assert flow_result.sent == 1


@pytest.mark.parametrize("status", [500, 502])
def test_failed_direct_run_is_uncertain(session: Session, status: int) -> None:
    flow_result = run(run_sync(session, ADAPTER, BODY, None), [make_answer(status), FILE])
    assert isinstance(flow_result.error, errors.SubmitUncertain)
    assert flow_result.sent == 1


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
        (make_answer(200), NO_ID),
        (make_answer(504), NOT_CLEAR),
        (make_answer(504, error="too slow"), f"{NOT_CLEAR}, but with: too slow"),
        (LOST, "cut"),
    ],
)
def test_uncertain_submit_has_the_answer_as_its_reason(session: Session, last: Outcome, reason: str) -> None:
    error = run_submit(session, last).error
    assert isinstance(error, errors.SubmitUncertain)
    assert error.reason == reason


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
        make_answer(200, generations=rows, pagination={"has_next": False})
        for rows in [*[[]] * (looks - 1), [row]]
    ]
    running = repeat(make_answer(200, status="PROCESSING", request_id="job"))
    outcomes = chain([LOST, *pages, make_answer(200, **row)], running)
    flow_result = run(run_sync(session, ADAPTER, BODY, timeout), outcomes)
    assert isinstance(flow_result.error, errors.WaitTimeout)
    assert flow_result.seconds == pytest.approx(seconds)
    session.close()


def find_nothing(place: str) -> Folder:
    raise AssertionError(place)


def test_run_without_a_timeout_has_that_of_its_model(session: Session) -> None:
    flow = run_and_collect(session, ADAPTER, BODY, None, find_nothing, None)
    flow_result = run(flow, chain([ACCEPTED], repeat(make_answer(200, status="QUEUED", request_id="job"))))
    assert isinstance(flow_result.error, errors.WaitTimeout)
    assert flow_result.error.seconds == pytest.approx(4 * 300.0)


def test_run_without_a_destination_stores_nothing(session: Session) -> None:
    done = make_answer(200, status="COMPLETED", request_id="job")
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
        [make_answer(422, status="FAILED", error="blocked", request_id="job")],
    )
    assert isinstance(flow_result.error, errors.JobFailed)
    assert flow_result.events == [events.Failed(flow_result.error.request_id, "kling-2", "blocked", polls=0)]
    assert read_row(session) == ("FAILED", flow_result.error.request_id, fingerprint_key(KEY))


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
                outcome = make_answer(500) if after is effects.Sleep else ACCEPTED
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
