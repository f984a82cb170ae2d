"""Search of the request history for what earlier clients have left open in the journal."""

from __future__ import annotations

import time
from functools import partial

from kling_adapters.errors import ConfigError
from kling_adapters.journal.entries import EXPIRED, UNCERTAIN, JournalEntry
from kling_adapters.protocol.earlier import read_entries
from kling_adapters.protocol.effects import Call, Flow, Now
from kling_adapters.protocol.expired import find_expired_jobs
from kling_adapters.protocol.reconcile import LOOK_BUDGET, group_entries, settle_entries
from kling_adapters.protocol.records import record
from kling_adapters.protocol.session import Session

_RECENT = 300.0
"""Seconds after which no call looks for the job of its own submit any more, unless it may be sent once more."""
_MOST_SUBMITS = 10


def reconcile_journal(session: Session) -> Flow[list[JournalEntry]]:
    """Look once for the job of every uncertain submit of the journal, and for its expired jobs.

    Returns:
        The entries that were uncertain, and those of expired jobs that the history has, as the journal has them now.

    Raises:
        ConfigError: There is no journal, or the history is turned off.

    """
    session.check_open()
    session.journal.check_available()
    if not session.uses_history:
        raise ConfigError(
            "the request history is turned off, by history=False or KLING_HISTORY=0, so that no job can be looked for. "
            "Nothing was sent"
        )
    entries = yield from read_entries(session)
    uncertain = [entry for entry in entries if entry.state == UNCERTAIN]
    yield from settle_entries(session, uncertain)
    numbers = {entry.id for entry in uncertain} | (yield from _reopen_expired(session, entries))
    if not numbers:
        return []
    settled: list[JournalEntry] = yield Call(session.journal.entries)
    return [entry for entry in settled if entry.id in numbers]


def _reopen_expired(session: Session, entries: list[JournalEntry]) -> Flow[set[int]]:
    """Record the expired jobs that the history has as running, so that `resume` finishes them; return their numbers."""
    expired = [entry for entry in entries if entry.state == EXPIRED]
    listed = yield from find_expired_jobs(session, expired, (yield Call(time.time)))
    numbers: set[int] = set()
    for entry in listed:
        if entry.state != EXPIRED and entry.request_id is not None:
            update = partial(session.journal.update_job, entry.gateway, entry.request_id)
            yield from record(update, state=entry.state)
            numbers.add(entry.id)
    return numbers


def settle_older_submits(session: Session, due: float) -> Flow[None]:
    """Look once, for each client, for the jobs of the last uncertain submits of earlier calls, before the time `due`.

    Nothing is raised. A submit whose call may still look for its job is left to it.
    """
    if session.has_settled or not session.uses_history or (yield Now()) + LOOK_BUDGET > due:
        return
    session.has_settled = True
    unanswered = yield from record(session.journal.find_unanswered, session.gateway.base_url)
    latest = (yield Call(time.time)) - _RECENT - (session.resubmit_after or 0.0)
    older = [entry for entry in unanswered or () if entry.state == UNCERTAIN and entry.updated < latest]
    for group in group_entries(older[-_MOST_SUBMITS:]):
        if (yield Now()) + LOOK_BUDGET > due:
            return
        yield from settle_entries(session, group, LOOK_BUDGET)
