"""Times of a job during a wait: its age, the schedule of its polls, and its duration."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from kling_adapters.journal.entries import JournalEntry
from kling_adapters.protocol.effects import Call, Flow, Now
from kling_adapters.protocol.history import History, expect_documented
from kling_adapters.protocol.polling import LONGEST_INTERVAL, first_interval, next_interval
from kling_adapters.protocol.records import record
from kling_adapters.protocol.schedule import Schedule
from kling_adapters.protocol.session import JobRef, Session

_PRECISE: Final = 2.0
_PRECISE_SHARE: Final = 0.25
"""Seconds, and share of a duration, to which it is worth keeping."""
CHECKED_POLLS: Final = 8
"""Polls of which one asks the job itself, although it is listed as running."""
_LISTED_INTERVAL: Final = 0.5
"""Part of an interval after which a listed job is looked for again: that costs less than a poll."""


@dataclass(slots=True)
class JobTiming:
    """Age of a job, and the times of its polls. All times are those of the clock of the client.

    Attributes:
        schedule: The schedule of the polls.
        submitted: The time of the submit; without one, that of the start of the wait.
        history: The history to which the duration is added; None if the time of the submit is unknown.
        running: The time at which the job was last known to be running.
        last_answer: The time at which the gateway last said of the job itself that it was running.

    """

    schedule: Schedule
    submitted: float
    history: History | None = None
    running: float = field(init=False)
    last_answer: float = field(init=False)

    def __post_init__(self) -> None:
        self.running = self.last_answer = self.submitted

    def seconds_to_first_poll(self, now: float) -> float:
        """Return the seconds until the first poll; 0 for a job of unknown age."""
        return 0.0 if self.history is None else first_interval(self.schedule, now - self.submitted)

    def find_next_poll(self, running: float, *, is_listed: bool) -> float:
        """Return the time of the next poll of a job that was running at the time `running`.

        Args:
            running: The time.
            is_listed: Whether that is known from a list, and not from the job itself.

        """
        self.running = running
        if not is_listed:
            self.last_answer = running
        interval = next_interval(self.schedule, running - self.submitted)
        return running + (_LISTED_INTERVAL * interval if is_listed else interval)

    def is_check_due(self, now: float, shortest: float = 0.0) -> bool:
        """Return whether the job itself must be asked, although it is listed as running: a list may be late.

        Args:
            now: The time.
            shortest: Seconds after its last answer before which it need not be asked.

        """
        if now - self.last_answer < min(shortest, LONGEST_INTERVAL):
            return False
        polls = self.schedule.count(now - self.submitted) - self.schedule.count(
            self.last_answer - self.submitted
        )
        return polls >= CHECKED_POLLS or now - self.last_answer >= LONGEST_INTERVAL

    def end_job(self, now: float, reported: float | None) -> float | None:
        """Return the seconds from the submit to the end of a job, and add them to the history.

        Args:
            now: The time at which the job was known to have ended.
            reported: Its duration as the gateway reports it, which is used as far as the polls agree.

        Returns:
            The duration; None if it is not known well enough.

        """
        if self.history is None:
            return None
        duration = _estimate_duration(self.running - self.submitted, now - self.submitted, reported)
        if duration is not None:
            self.history.add(duration)
        return duration


def open_timing(session: Session, job: JobRef) -> Flow[JobTiming]:
    """Return the timing of a job, with the time of its submit and earlier durations from the journal."""
    now: float = yield Now()
    model, submitted = job.model, job.submitted
    if submitted is None:
        entry: JournalEntry | None = yield from record(
            session.journal.find, session.gateway.base_url, job.request_id
        )
        if entry is not None:
            model, submitted = entry.model, now - max(0.0, (yield Call(time.time)) - entry.created)
    # The documented latency is that of the documented gateway: a job of a sandbox takes as long as it is made to.
    mean = job.latency if session.gateway.is_default else None
    if model is None or submitted is None:
        return JobTiming(expect_documented(mean), now)
    history = yield from _open_history(session, model)
    return JobTiming(history.schedule(mean), submitted, history)


def _open_history(session: Session, model: str) -> Flow[History]:
    """Return the history of a model, which is read from the journal once for each client."""
    history = session.histories.find(model)
    if history is None:
        # Before the journal is read, so that jobs which start together read it once.
        history = session.histories.open(model)
        durations = yield from record(session.journal.durations, session.gateway.base_url, model)
        for duration in durations or ():
            history.add(duration)
    return history


def _estimate_duration(earliest: float, latest: float, reported: float | None) -> float | None:
    """Return a duration between two ages; None if they are far apart and the gateway does not report it."""
    if reported is not None:
        return min(max(reported, earliest), latest)
    is_precise = latest - earliest <= max(_PRECISE, _PRECISE_SHARE * latest)
    return (earliest + latest) / 2 if is_precise else None
