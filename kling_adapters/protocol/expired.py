"""Search of the request history for expired jobs: it may have been late, or unreadable, when they expired."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from kling_adapters.journal.entries import EXPIRED, JournalEntry
from kling_adapters.protocol.effects import Flow
from kling_adapters.protocol.job_search import CLOCK_TOLERANCE
from kling_adapters.protocol.recall import output_is_alive
from kling_adapters.protocol.reconcile import group_entries
from kling_adapters.protocol.request_history import HistoryUnavailable, list_rows
from kling_adapters.protocol.session import Session

log = logging.getLogger("kling_adapters")


def find_expired_jobs(
    session: Session, entries: Iterable[JournalEntry], now: float
) -> Flow[list[JournalEntry]]:
    """Look once for the expired jobs whose files the gateway still keeps at `now`, in seconds since 1970.

    Returns:
        The entries. That of a job which the history lists is QUEUED, so that it is followed as any job; the journal is
        not changed.

    """
    entries = list(entries)
    expired = [entry for entry in entries if entry.state == EXPIRED and output_is_alive(entry, now)]
    listed: set[int] = set()
    for group in group_entries(expired) if session.uses_history else ():
        try:
            listed |= yield from _find_listed(session, group)
        except HistoryUnavailable as error:
            log.info("the request history cannot be searched for expired jobs: %s", error)
            if not error.is_final:
                break
    return [replace(entry, state="QUEUED") if entry.id in listed else entry for entry in entries]


def _find_listed(session: Session, entries: Sequence[JournalEntry]) -> Flow[set[int]]:
    """Return the numbers of the entries of one model and key whose jobs are listed. Raises HistoryUnavailable."""
    first = entries[0]
    since = min(entry.created for entry in entries) - CLOCK_TOLERANCE
    until = max(entry.updated for entry in entries) + CLOCK_TOLERANCE
    listing = yield from list_rows(session, first.model, since, until, fingerprint=first.key)
    listed_ids = {row.request_id.casefold() for row in listing.rows}
    return {entry.id for entry in entries if (entry.request_id or "").casefold() in listed_ids}
