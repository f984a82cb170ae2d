"""One poll of a job, for a caller that keeps the state of its wait and sleeps between two polls."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from kling_adapters.protocol.effects import Flow, Now
from kling_adapters.protocol.exchange import JobMissing, OutOfTime
from kling_adapters.protocol.polling import PollCounter
from kling_adapters.protocol.retry import backoff
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.timing import open_timing
from kling_adapters.protocol.wait import Wait, end_job, find_end, poll_state
from kling_adapters.result import ResultData

log = logging.getLogger("kling_adapters")


@dataclass(frozen=True, slots=True)
class PollProgress:
    """Progress of the wait for a job that has not ended.

    Attributes:
        state: The last known state of the job; None before the first poll.
        polls: Number of requests so far.
        missing: 404 responses in a row.
        failures: Failed polls in a row.
        delay: Seconds until the next poll.

    """

    state: str | None = None
    polls: int = 0
    missing: int = 0
    failures: int = 0
    delay: float = 0.0


def poll_once(session: Session, job: JobRef, progress: PollProgress) -> Flow[ResultData | PollProgress]:
    """Poll a job once; the first call only returns the seconds until a poll is worth its request.

    Args:
        session: The state of the client, whose journal has the time of the submit.
        job: The job.
        progress: The outcome of the poll before.

    Returns:
        The result of the job, or the progress of its wait.

    Raises:
        JobFailed, JobExpired, ApiError: As for `wait`. A failed poll is progress, too.

    """
    session.check_open(job.request_id)
    now: float = yield Now()
    wait_state = Wait(job, now, now, (yield from open_timing(session, job)), PollCounter(progress.polls))
    wait_state.last_state = progress.state
    if progress.polls == 0 and (delay := wait_state.timing.seconds_to_first_poll(now)):
        return replace(progress, delay=delay)
    query = wait_state.make_query(session, progress.missing)
    try:
        outcome = yield from poll_state(session, wait_state, query)
    except JobMissing:
        outcome = yield from find_end(session, job, wait_state.counter)
    except OutOfTime as last:
        failures = progress.failures + 1
        polls, missing = wait_state.counter.polls, query.missing
        log.info("poll of job %s failed (%s)", job.request_id, last.error)
        return PollProgress(progress.state, polls, missing, failures, backoff(failures))
    if isinstance(outcome, ResultData) or outcome.state == "FAILED":
        return (yield from end_job(session, wait_state, outcome))
    now = yield Now()
    delay = wait_state.timing.find_next_poll(now, is_listed=False) - now
    return PollProgress(outcome.state, wait_state.counter.polls, delay=delay)
