"""Start of a job, by a submit or a direct run: record the intent, send with retries, record the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

from kling_adapters import api_errors, errors
from kling_adapters._text import fingerprint_key
from kling_adapters.events import SubmitFailed, Submitted
from kling_adapters.hook_objects import Auth, KeyPool, RenewableAuth
from kling_adapters.journal.base import BaseJournal
from kling_adapters.journal.entries import REFUSED, UNCERTAIN, Columns
from kling_adapters.protocol.effects import Call, Emit, Flow, Now, Record, Sleep
from kling_adapters.protocol.failures import seconds_until_reset
from kling_adapters.protocol.keys import find_auth, read_key
from kling_adapters.protocol.messages import Answer, Fault, Key, Outcome, Request
from kling_adapters.protocol.reconcile import find_started_job
from kling_adapters.protocol.records import call_quietly, record
from kling_adapters.protocol.retry import SubmitFailure, SubmitRetries, classify_submit_failure
from kling_adapters.protocol.sending import send, take_submit_slot
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.uploads import upload_media
from kling_adapters.result import ResultData
from kling_adapters.schema.adapter import Adapter

log = logging.getLogger("kling_adapters")
Started = TypeVar("Started", JobRef, ResultData)


@dataclass(frozen=True)
class Start(Generic[Started]):
    """A job to start.

    Attributes:
        model: The slug of the model.
        build: Builds the request for a body whose media is uploaded.
        read: Reads the answer; returns None if it is not usable.
        end: The time after which nothing is sent again.
        adapter: The facts of the model; None without a spec.
        is_direct: Whether the call runs the job itself and is answered with its output.
        save_to: The destination of the output, for the journal.
        tag: The tag of the job, for the journal.
        unchecked: The names of parameters that were not validated, for the journal.
        on_uncertain: Called when a submit is uncertain, before its job is looked for.

    """

    model: str
    build: Callable[[Mapping[str, Any]], Request]
    read: Callable[[Answer], Started | None]
    end: float
    adapter: Adapter | None = None
    is_direct: bool = False
    save_to: str | None = None
    tag: str | None = None
    unchecked: tuple[str, ...] = ()
    on_uncertain: Callable[[], None] = lambda: None


@dataclass
class _Attempt:
    """State of a submit; `entry` is its number in the journal, 0 without one."""

    auth: Auth
    key: Key
    request: Request
    entry: int = 0
    may_have_started: bool = False
    retries: SubmitRetries = field(default_factory=SubmitRetries)
    refused_keys: set[str] = field(default_factory=set[str])

    def record_intent(self, intend: Callable[[], int]) -> None:
        """Write the intent. A cancelled flow does not receive its number, so it is kept here."""
        # A write that failed together with others is repeated alone.
        self.entry = 0
        self.entry = intend()

    def record_interrupt(self, journal: BaseJournal, error: BaseException) -> None:
        """Record that a cancelled task or Ctrl-C has ended the submit; the flow can no longer wait."""
        if self.entry:
            is_uncertain = self.may_have_started and not self.request.queueing.is_waiting
            reason = f"the submit was interrupted by {type(error).__name__}"
            state = UNCERTAIN if is_uncertain else REFUSED
            call_quietly(journal.update, self.entry, state=state, reason=reason)


def start_job(session: Session, start: Start[Started], body: Mapping[str, Any]) -> Flow[Started | JobRef]:
    """Upload the media of a body, submit it, and report the start or its failure as an event.

    Returns:
        The value of `read` for the answer; the job, if the submit was uncertain and the request history has its job.

    """
    session.check_open()
    begin: float = yield Now()
    started: Started | JobRef
    try:
        body = yield from upload_media(session, body, start.end)
        try:
            started = yield from _submit_and_record(session, start, body)
        except errors.SubmitUncertain as error:
            started = yield from _recover(session, start, body, error, session.resubmit_after)
    except (errors.SubmitUncertain, api_errors.ApiError, errors.TransportError) as error:
        yield Emit(SubmitFailed(start.model, str(error), isinstance(error, errors.SubmitUncertain)))
        raise
    yield Emit(Submitted(started.request_id, start.model, body, (yield Now()) - begin))
    return started


def _recover(
    session: Session,
    start: Start[Started],
    body: Mapping[str, Any],
    error: errors.SubmitUncertain,
    resubmit_after: float | None,
) -> Flow[Started | JobRef]:
    """Return the job of an uncertain submit from the request history. Raises the error if it is not found.

    If the user has allowed it, a submit whose job is not listed in time is sent once more.
    """
    start.on_uncertain()
    finding = yield from find_started_job(session, error, start.end, resubmit_after)
    if finding.is_absent:
        log.warning("submit %s of %s counts as not started; it is sent once more", error.entry, start.model)
        try:
            return (yield from _submit_and_record(session, start, body))
        except errors.SubmitUncertain as repeated:
            return (yield from _recover(session, start, body, repeated, None))
    if finding.request_id is None:
        raise error
    return JobRef.of(finding.request_id, start.model, start.adapter)


def _submit_and_record(session: Session, start: Start[Started], body: Mapping[str, Any]) -> Flow[Started]:
    """Record the intent, send the submit until the gateway accepts it, and record its answer or failure."""
    request = start.build(body)
    auth = yield from find_auth(session)
    attempt = _Attempt(auth, (yield from read_key(auth)), request)
    journal = session.journal
    intend = partial(journal.intend, session.gateway.base_url, start.model, body, attempt.key)
    intend = partial(intend, start.save_to, start.tag, start.unchecked)
    try:
        yield Record(partial(attempt.record_intent, intend))
        started = yield from _send_with_retries(session, start, attempt)
    except errors.KlingError as error:
        if attempt.entry:
            yield from _record_failure(journal, attempt.entry, error)
        raise
    except BaseException as error:
        attempt.record_interrupt(journal, error)
        raise
    yield from _record_start(journal, attempt.entry, started)
    if isinstance(auth, KeyPool):
        yield Call(partial(call_quietly, partial(auth.accepted, attempt.key, started.request_id)))
    return started


def _record_start(journal: BaseJournal, entry: int, started: JobRef | ResultData) -> Flow[None]:
    """Record the accepted job; a result is recorded at the same time, because its job cannot be polled."""
    request_id = started.request_id
    if isinstance(started, ResultData):
        result, cost = started.body, started.metrics.cost
        columns: Columns = {"request_id": request_id, "state": "COMPLETED", "result": result, "cost": cost}
    else:
        columns = {"request_id": request_id, "state": "QUEUED"}
    yield from record(journal.update, entry, **columns)


def _record_failure(journal: BaseJournal, entry: int, error: errors.KlingError) -> Flow[None]:
    if isinstance(error, errors.SubmitUncertain):
        error.entry = entry
        yield from record(journal.update, entry, state=UNCERTAIN, reason=error.reason)
    elif isinstance(error, errors.JobFailed):
        request_id, reason = error.request_id, error.message
        yield from record(journal.update, entry, request_id=request_id, state="FAILED", reason=reason)
    else:
        yield from record(journal.update, entry, state=REFUSED, reason=str(error))


def _send_with_retries(session: Session, start: Start[Started], attempt: _Attempt) -> Flow[Started]:
    """Send a submit until the gateway accepts it, and return the value of `read` for its answer.

    Only a failure that started no job is followed by a retry, and only before the time `end`.
    """
    while True:
        limiter = yield from take_submit_slot(session, attempt.key, start.end)
        attempt.may_have_started = True
        outcome, limit = yield from send(replace(attempt.request, key=attempt.key), limiter)
        if isinstance(outcome, Answer) and (started := start.read(outcome)) is not None:
            return started
        failure = classify_submit_failure(start.model, outcome, is_direct=start.is_direct)
        attempt.may_have_started = isinstance(failure.error, errors.SubmitUncertain)
        if not (yield from _has_another_key(attempt, outcome, failure)):
            yield from _wait_for_retry(start, attempt.retries, failure, limit)
        attempt.key = yield from read_key(attempt.auth)
        yield from record(session.journal.update, attempt.entry, key=fingerprint_key(attempt.key))


def _has_another_key(attempt: _Attempt, outcome: Outcome, failure: SubmitFailure) -> Flow[bool]:
    """Report a refused key to its plugin. Return whether to repeat the submit at once with another key."""
    if (
        not failure.is_key_refusal
        or not isinstance(attempt.auth, RenewableAuth)
        or isinstance(outcome, Fault)
    ):
        return False
    report = partial(attempt.auth.refused, attempt.key, outcome.status, seconds_until_reset(outcome))
    has_another = yield Call(partial(call_quietly, report))
    # Once for each key: a pool with wrong data about its keys must not cause endless requests.
    is_first = attempt.key not in attempt.refused_keys
    if has_another:
        attempt.refused_keys.add(attempt.key)
    return bool(has_another and is_first)


def _wait_for_retry(
    start: Start[Any], retries: SubmitRetries, failure: SubmitFailure, limit: float
) -> Flow[None]:
    """Wait before a retry, `limit` seconds after a 429. Raises the error if no retry is left."""
    if not failure.is_safe:
        raise failure.error
    delay = retries.next_limit_delay(limit) if limit else retries.next_delay()
    if delay is None or (yield Now()) + delay > start.end:
        raise failure.error
    log.info("submit of %s was rejected (%s); retrying in %.1f s", start.model, failure.error, delay)
    yield Sleep(delay)
