"""Follow a job until it ends: poll its state, fetch its result, or recall it from the journal."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial

from kling_adapters import errors
from kling_adapters.events import Completed, Expired, Failed, StateChanged
from kling_adapters.journal.entries import EXPIRED, Columns
from kling_adapters.models._gateway import STATES
from kling_adapters.protocol import recall
from kling_adapters.protocol.bulk_poll import find_running, join_jobs
from kling_adapters.protocol.effects import Emit, Flow, Now, Sleep
from kling_adapters.protocol.exchange import QUERY_BUDGET, JobMissing, OutOfTime, Query, query_once, run_query
from kling_adapters.protocol.keys import find_key
from kling_adapters.protocol.messages import Answer
from kling_adapters.protocol.open_entries import settle_older_submits
from kling_adapters.protocol.polling import PollCounter, default_timeout
from kling_adapters.protocol.records import record
from kling_adapters.protocol.request_history import find_row
from kling_adapters.protocol.responses import read_credits, read_ended_job, read_status
from kling_adapters.protocol.running_jobs import RunningJobs
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.timing import JobTiming, open_timing
from kling_adapters.result import Credits, JobStatus, ResultData

log = logging.getLogger("kling_adapters")


_HISTORY_INTERVAL = 30.0
"""Seconds between two requests for the state of a job that only the request history has."""


@dataclass(slots=True)
class Wait:
    """A wait for a job, between the times `start` and `end`; `last_state` is the state at the poll before."""

    job: JobRef
    start: float
    end: float
    timing: JobTiming
    counter: PollCounter = field(default_factory=PollCounter)
    last_state: str | None = None

    def make_query(self, session: Session, missing: int = 0) -> Query:
        """Return the query of the state of the job, after a number of 404 responses."""
        request_id = self.job.request_id
        request = session.gateway.status(request_id)
        return Query(request, request_id, self.end, self.end, self.counter, is_poll=True, missing=missing)


def wait(session: Session, job: JobRef, timeout: float | None) -> Flow[ResultData]:
    """Poll a job until it ends, and fetch its result. Failed polls are repeated.

    Args:
        session: The state of the client.
        job: The job.
        timeout: Seconds; None for the default of its latency.

    Returns:
        The result.

    Raises:
        JobFailed: The job FAILED.
        JobExpired: Neither the gateway, nor the journal, nor the request history has the result.
        WaitTimeout: The job has not ended in time.
        ApiError: The gateway refused the request, for example because of an invalid key.

    """
    session.check_open(job.request_id)
    start: float = yield Now()
    end = start + (default_timeout(job.latency) if timeout is None else timeout)
    wait_state = Wait(job, start, end, (yield from open_timing(session, job)))
    try:
        outcome = yield from _poll_until_ended(session, wait_state)
    except JobMissing:
        outcome = yield from _follow_history(session, wait_state)
    except OutOfTime as last:
        seconds = (yield Now()) - start
        last_failure = f"the last failure: {last.error}"
        raise errors.WaitTimeout(job.request_id, seconds, session.make_job(job), last_failure) from last.error
    return (yield from end_job(session, wait_state, outcome))


def end_job(session: Session, wait_state: Wait, outcome: ResultData | JobStatus) -> Flow[ResultData]:
    """Record and report the end of a job. Raises JobFailed for one that FAILED."""
    job = wait_state.job
    if isinstance(outcome, JobStatus):
        raise (yield from _record_failed(session, job, outcome, wait_state.counter))
    yield from _record_completed(session, outcome, wait_state.timing)
    yield Emit(Completed(job.request_id, job.model, outcome, wait_state.counter.polls))
    return outcome


def _poll_until_ended(session: Session, wait_state: Wait) -> Flow[ResultData | JobStatus]:
    """Return the result of the job once it has COMPLETED, or its status once it has FAILED."""
    request_id, ended = wait_state.job.request_id, None
    jobs = yield from join_jobs(session, request_id)
    try:
        outcome = yield from _await_end(session, wait_state, jobs)
        ended = yield Now()
    finally:
        jobs.leave(request_id, ended)
    return outcome


def _await_end(session: Session, wait_state: Wait, jobs: RunningJobs) -> Flow[ResultData | JobStatus]:
    job, end, timing = wait_state.job, wait_state.end, wait_state.timing
    now: float = yield Now()
    if delay := min(timing.seconds_to_first_poll(now), max(0.0, end - now)):
        yield from settle_older_submits(session, now + delay)
        yield Sleep(max(0.0, now + delay - (yield Now())))
    while True:
        listed = yield from find_running(session, jobs, job.request_id, timing, end)
        if listed is not None:
            due = timing.find_next_poll(listed, is_listed=True)
        else:
            outcome = yield from poll_state(session, wait_state, wait_state.make_query(session))
            if isinstance(outcome, ResultData) or outcome.state == "FAILED":
                return outcome
            now = yield Now()
            if now >= end:
                detail = f"its last state is {outcome.state}" + (
                    f": {outcome.error}" if outcome.error else ""
                )
                raise errors.WaitTimeout(
                    job.request_id, now - wait_state.start, session.make_job(job), detail
                )
            due = timing.find_next_poll(now, is_listed=False)
            # Thousands of jobs may sleep here.
            del outcome
        yield Sleep(max(0.0, min(due, end) - (yield Now())))


def poll_state(session: Session, wait_state: Wait, query: Query) -> Flow[ResultData | JobStatus]:
    """Query the state of a job. Return the result of one that has COMPLETED, else its status; record a new state."""
    job = wait_state.job
    read = partial(read_status, request_id=job.request_id)
    status = yield from run_query(session, query, read)
    if status.state == "COMPLETED":
        return (yield from _fetch_result(session, wait_state))
    if status.state not in ("FAILED", wait_state.last_state):
        yield from _record_state(session, job, status.state)
        wait_state.last_state = status.state
    return status


def _record_state(session: Session, job: JobRef, state: str) -> Flow[None]:
    if state not in STATES:
        log.warning("job %s has the undocumented state %r; continuing to wait", job.request_id, state)
    yield from record(session.journal.update_job, session.gateway.base_url, job.request_id, state=state)
    yield Emit(StateChanged(job.request_id, job.model, state))


def _record_completed(session: Session, result: ResultData, timing: JobTiming) -> Flow[None]:
    columns: Columns = {"state": "COMPLETED", "result": result.body, "cost": result.metrics.cost}
    duration = timing.end_job((yield Now()), result.metrics.total_time)
    if duration is not None:
        columns["duration"] = duration
    yield from record(session.journal.update_job, session.gateway.base_url, result.request_id, **columns)


def _fetch_result(session: Session, wait_state: Wait) -> Flow[ResultData | JobStatus]:
    """Fetch the result of a COMPLETED job, for at least QUERY_BUDGET seconds even after the timeout."""
    job = wait_state.job

    def read(answer: Answer) -> ResultData | JobStatus | None:
        return read_ended_job(job.request_id, job.model, job.returns, answer)

    end = max(wait_state.end, (yield Now()) + QUERY_BUDGET)
    request = session.gateway.result(job.request_id)
    query = Query(request, job.request_id, end, end, wait_state.counter)
    fetching: Flow[ResultData | JobStatus] = run_query(session, query, read)
    return (yield from fetching)


def _follow_history(session: Session, wait_state: Wait) -> Flow[ResultData | JobStatus]:
    """Return the end of a job that the gateway does not have; one that the request history lists is waited for."""
    job, end = wait_state.job, wait_state.end
    while True:
        outcome = yield from find_end(session, job, wait_state.counter)
        if isinstance(outcome, ResultData) or outcome.state == "FAILED":
            return outcome
        now: float = yield Now()
        if now >= end:
            detail = "the gateway has no record of it, and its request history lists it as running"
            raise errors.WaitTimeout(job.request_id, now - wait_state.start, session.make_job(job), detail)
        yield Sleep(min(_HISTORY_INTERVAL, end - now))


def find_end(session: Session, job: JobRef, counter: PollCounter) -> Flow[ResultData | JobStatus]:
    """Return the end of a job that the gateway does not have from the journal, or its state in the request history.

    Raises:
        JobExpired: Neither has it.
        ConfigError: It was submitted with another key.

    """
    entry = yield from record(session.journal.find, session.gateway.base_url, job.request_id)
    if entry is not None and (end := recall.read_end(entry, job.returns)) is not None:
        return end
    row = yield from find_row(session, job.request_id)
    if row is not None and (outcome := recall.read_row(row, job.model, job.returns)) is not None:
        return outcome
    if entry is not None:
        recall.check_key(entry, (yield from find_key(session, job.request_id)))
    yield from record(session.journal.update_job, session.gateway.base_url, job.request_id, state=EXPIRED)
    yield Emit(Expired(job.request_id, job.model, counter.polls))
    raise errors.JobExpired(job.request_id)


def _record_failed(
    session: Session, job: JobRef, status: JobStatus, counter: PollCounter
) -> Flow[errors.JobFailed]:
    """Record and report a FAILED job, and return its error."""
    reason = status.error or ""
    base_url, update = session.gateway.base_url, session.journal.update_job
    yield from record(update, base_url, job.request_id, state="FAILED", reason=status.error)
    yield Emit(Failed(job.request_id, job.model, reason, counter.polls))
    return errors.JobFailed(job.request_id, reason, status.metrics)


def query_status(session: Session, job: JobRef) -> Flow[JobStatus]:
    """Return the state of a job. Raises JobExpired, ApiError or TransportError."""
    read = partial(read_status, request_id=job.request_id)
    request = session.gateway.status(job.request_id)
    try:
        return (yield from query_once(session, request, read, job.request_id))
    except JobMissing:
        outcome = yield from find_end(session, job, PollCounter())
    return outcome if isinstance(outcome, JobStatus) else JobStatus("COMPLETED", outcome.metrics)


def query_credits(session: Session) -> Flow[Credits]:
    """Return the credits of the account. Raises ApiError or TransportError."""
    return (yield from query_once(session, session.gateway.credits(), read_credits, None))
