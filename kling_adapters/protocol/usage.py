"""The costs of jobs, summed by model, tag and day."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from kling_adapters.journal.entries import REFUSED, JournalEntry
from kling_adapters.protocol.earlier import read_entries
from kling_adapters.protocol.effects import Call, Flow
from kling_adapters.protocol.gateway import is_slug
from kling_adapters.protocol.history_rows import HistoryRow
from kling_adapters.protocol.request_history import HistoryUnavailable, list_rows
from kling_adapters.protocol.session import Session
from kling_adapters.protocol.tags import batch_name

_OLDEST: Final = 366 * 86400.0
"""Seconds for which the history is asked: a query covers a month."""
_MOST_ROWS: Final = 10_000


@dataclass(frozen=True)
class Charge:
    """A job that was billed, or may be.

    Attributes:
        model: Slug of the model.
        tag: Tag of the job, or name of its batch; empty if it has none.
        created: Time of the submit, in seconds since 1970.
        cost: Cost in credits; None if it is unknown.
        is_recorded: Whether the journal has the job; otherwise only the request history of the gateway has it.

    """

    model: str
    tag: str
    created: float
    cost: float | None
    is_recorded: bool = True


@dataclass(frozen=True)
class UsageRow:
    """The jobs of one group.

    Attributes:
        group: The model, tag or day of the jobs, or several of them.
        jobs: The number of jobs.
        cost: Their cost in credits, as far as it is known.
        unknown: The number of jobs among them that may be billed at an unknown cost.
        unrecorded: The number of jobs among them that the journal does not have.

    """

    group: tuple[str, ...]
    jobs: int
    cost: float
    unknown: int
    unrecorded: int


@dataclass(frozen=True)
class Usage:
    """The jobs that were billed, or may be, of one account at one gateway.

    Attributes:
        charges: The jobs; first those of the journal, the oldest first, then those that only the request history has.
        gap: Reason for which jobs that only the request history has may be missing; None if none are.

    """

    charges: tuple[Charge, ...]
    gap: str | None


def find_usage(session: Session, since: float) -> Flow[Usage]:
    """Return the jobs that were submitted since a time, in seconds since 1970."""
    session.check_open()
    session.journal.check_available()
    entries = yield from read_entries(session)
    now: float = yield Call(time.time)
    start = max(since, now - _OLDEST)
    gap = "it was not asked for jobs of more than a year ago" if start > since else None
    rows: tuple[HistoryRow, ...] = ()
    try:
        listing = yield from list_rows(session, None, start, limit=_MOST_ROWS, budget=0.0)
        rows = listing.rows
        if not listing.is_complete:
            gap = "it was not read to its end"
    except HistoryUnavailable as error:
        gap = str(error)
    return Usage((*_iter_recorded(entries, rows, since), *_iter_unrecorded(entries, rows, since)), gap)


def _iter_recorded(
    entries: Iterable[JournalEntry], rows: Iterable[HistoryRow], since: float
) -> Iterator[Charge]:
    """Yield each job of the journal once; a cost that it does not have is that of the history."""
    costs = {row.request_id: row.cost for row in rows}
    request_ids: set[str] = set()
    for entry in entries:
        cost = costs.get(entry.request_id or "") if entry.cost is None else entry.cost
        is_free = cost is None and entry.state in (REFUSED, "FAILED")
        if entry.created < since or is_free or entry.request_id in request_ids:
            continue
        if entry.request_id is not None:
            request_ids.add(entry.request_id)
        yield Charge(entry.model, batch_name(entry) or entry.tag or "", entry.created, cost)


def _iter_unrecorded(
    entries: Iterable[JournalEntry], rows: Iterable[HistoryRow], since: float
) -> Iterator[Charge]:
    """Yield each job that the journal does not have."""
    request_ids = {entry.request_id for entry in entries}
    for row in rows:
        is_free = not row.cost and row.state == "FAILED"
        # The time of a row may be unknown, or in another time zone.
        if row.request_id not in request_ids and not is_free and (row.created or since) >= since:
            # Spreadsheets would run the text of a hostile gateway.
            model = row.model if row.model is not None and is_slug(row.model) else ""
            yield Charge(model, "", row.created or since, row.cost, is_recorded=False)


def sum_charges(charges: Iterable[Charge], find_group: Callable[[Charge], tuple[str, ...]]) -> list[UsageRow]:
    """Return one row for each group of charges, in the order of the groups."""
    groups: defaultdict[tuple[str, ...], list[Charge]] = defaultdict(list)
    for charge in charges:
        groups[find_group(charge)].append(charge)
    return [
        UsageRow(
            group,
            len(jobs),
            round(sum(job.cost or 0.0 for job in jobs), 6),
            sum(job.cost is None for job in jobs),
            sum(not job.is_recorded for job in jobs),
        )
        for group, jobs in sorted(groups.items())
    ]
