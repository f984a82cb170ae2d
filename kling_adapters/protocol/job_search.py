"""Search of the request history for the jobs of uncertain submits of one model and account."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from kling_adapters._text import fingerprint_key
from kling_adapters.errors import KlingError
from kling_adapters.journal.entries import SUBMITTING, HistorySearch, JournalEntry
from kling_adapters.protocol.body_match import is_same_body
from kling_adapters.protocol.effects import Call, Flow
from kling_adapters.protocol.history_rows import HistoryRow
from kling_adapters.protocol.keys import find_account_key
from kling_adapters.protocol.records import record
from kling_adapters.protocol.request_history import HistoryListing, HistoryUnavailable, find_row, list_rows
from kling_adapters.protocol.session import Session

log = logging.getLogger("kling_adapters")


class OtherAccount(HistoryUnavailable):
    """The client does not have the key of a submit. The history of another account has other jobs."""


CLOCK_TOLERANCE = 300.0
"""Seconds by which the clocks of this machine and of the gateway may differ."""
_LONGEST_SUBMIT = 3600.0
"""Seconds from the record of a submit to its last request: its waits for rate limits are shorter."""
_MAX_CONFIRMATIONS = 3
"""Rows that are asked for one by one for a submit at each look."""


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    Attributes:
        settled: The entries whose jobs were found, by number.
        absent: The numbers of the entries whose job is not listed in any form: every row about their time is that of
            another submit of the journal.
        is_complete: Whether all rows about their time were read.

    """

    settled: Mapping[int, JournalEntry]
    absent: frozenset[int]
    is_complete: bool


@dataclass(frozen=True)
class _Search:
    """A search for the jobs of uncertain submits of one model and account.

    Attributes:
        session: The state of the client.
        listing: The rows of the model about the time of the submits.
        schema: The JSON Schema of the model; None without a spec.
        unanswered: The submits of the model whose job is unknown, read after the rows.
        budget: Seconds for each further request.

    """

    session: Session
    listing: HistoryListing
    schema: Mapping[str, Any] | None
    unanswered: Sequence[JournalEntry]
    budget: float

    def find_rows(self, entry: JournalEntry) -> list[HistoryRow]:
        """Return the rows that may be the job of a submit, the oldest first."""
        rows = [row for row in self.listing.rows if self._is_near(entry, row) and self.is_job(entry, row)]
        return sorted(rows, key=lambda row: row.created or 0.0)

    def list_near(self, entry: JournalEntry, *, and_undated: bool = False) -> list[HistoryRow]:
        """Return the rows about the time of a submit."""
        return [
            row
            for row in self.listing.rows
            if self._is_near(entry, row) or (and_undated and row.created is None)
        ]

    def is_of_another(self, entry: JournalEntry, row: HistoryRow) -> bool:
        """Return whether a row may be the job of another submit that has no job yet."""
        return any(self.is_job(another, row) for another in self.unanswered if another.id != entry.id)

    def may_be_answered(self, entry: JournalEntry, row: HistoryRow) -> bool:
        """Return whether a row may be the job of an equal submit in flight, whose answer will have its id."""
        return any(
            twin.state == SUBMITTING
            and twin.created - CLOCK_TOLERANCE <= (row.created or 0.0)
            and is_same_body(entry.params, twin.params, self.schema)
            for twin in self.unanswered
        )

    def is_job(self, entry: JournalEntry, row: HistoryRow) -> bool:
        """Return whether a row has the model and the parameters of a submit."""
        is_of_model = row.model is not None and row.model.casefold() == entry.model.casefold()
        return is_of_model and row.body is not None and is_same_body(entry.params, row.body, self.schema)

    def _is_near(self, entry: JournalEntry, row: HistoryRow) -> bool:
        since, until = _find_window(entry)
        return row.created is not None and since <= row.created <= until


def look_for_jobs(session: Session, entries: Sequence[JournalEntry], budget: float) -> Flow[SearchResult]:
    """Look once for the jobs of uncertain submits of one model and key, and claim them.

    Raises:
        HistoryUnavailable: The history could not be read. The journal says so.

    """
    try:
        search = yield from _search(session, entries, budget)
    except HistoryUnavailable as error:
        for entry in entries:
            yield from _record_search(session, entry, 0, str(error))
        raise
    settled: dict[int, JournalEntry] = {}
    absent: set[int] = set()
    for entry in entries:
        request_id = yield from _claim_row(search, entry)
        if request_id is None:
            yield from _record_search(session, entry, len(search.list_near(entry)), None)
            if session.resubmit_after is not None and (yield from _is_absent(search, entry)):
                absent.add(entry.id)
        else:
            log.info("submit %d of %s started job %s", entry.id, entry.model, request_id)
            settled[entry.id] = replace(entry, request_id=request_id, state="QUEUED", reason=None)
    return SearchResult(settled, frozenset(absent), search.listing.is_complete)


def _search(session: Session, entries: Sequence[JournalEntry], budget: float) -> Flow[_Search]:
    """Read the history about the time of submits of one model and key. Raises HistoryUnavailable."""
    first = entries[0]
    yield from _check_account(session, first.key)
    windows = [_find_window(entry) for entry in entries]
    since, until = min(start for start, _ in windows), max(end for _, end in windows)
    listing = yield from list_rows(session, first.model, since, until, fingerprint=first.key, budget=budget)
    # After the rows: a row of a submit that is answered meanwhile can no longer be claimed.
    find = partial(session.journal.find_unanswered, session.gateway.base_url, first.model)
    unanswered: list[JournalEntry] = yield Call(find)
    schema: Mapping[str, Any] | None = yield Call(partial(session.find_schema, first.model))
    return _Search(session, listing, schema, unanswered, budget)


def _check_account(session: Session, fingerprint: str) -> Flow[None]:
    """Raise HistoryUnavailable if the client does not have the key of the submits: another account has other jobs."""
    try:
        key = yield from find_account_key(session, fingerprint)
    except KlingError as error:
        raise HistoryUnavailable(str(error)) from error
    if key is None or fingerprint_key(key) != fingerprint:
        raise OtherAccount(
            f"the submit used another API key than this client (fingerprint {fingerprint})", is_final=True
        )


def _claim_row(search: _Search, entry: JournalEntry) -> Flow[str | None]:
    """Claim the oldest row of a submit that no other submit has, and return its request id."""
    session, confirmations = search.session, 0
    for row in search.find_rows(entry):
        find = partial(session.journal.find, session.gateway.base_url, row.request_id)
        if (yield Call(find)) is not None or search.may_be_answered(entry, row):
            continue
        if confirmations == _MAX_CONFIRMATIONS:
            break
        confirmations += 1
        # A list may be wrong, or that of another account; the row of one request is of this account only.
        confirmed = yield from find_row(session, row.request_id, search.budget, fingerprint=entry.key)
        if confirmed is None or not search.is_job(entry, confirmed):
            continue
        if (yield Call(partial(session.journal.claim, entry.id, row.request_id))):
            return row.request_id
    return None


def _is_absent(search: _Search, entry: JournalEntry) -> Flow[bool]:
    """Return whether each row that can be the job of a submit, however its body was changed, is another submit's."""
    for row in search.list_near(entry, and_undated=True):
        find = partial(search.session.journal.find, search.session.gateway.base_url, row.request_id)
        if (yield Call(find)) is None and (search.is_job(entry, row) or not search.is_of_another(entry, row)):
            return False
    return True


def _record_search(session: Session, entry: JournalEntry, rows: int, problem: str | None) -> Flow[None]:
    look = HistorySearch((yield Call(time.time)), rows, problem)
    yield from record(session.journal.record_search, entry.id, look)


def _find_window(entry: JournalEntry) -> tuple[float, float]:
    """Return the earliest and the latest time of the job of a submit, in seconds since 1970."""
    latest = min(entry.updated, entry.created + _LONGEST_SUBMIT)
    return entry.created - CLOCK_TOLERANCE, latest + CLOCK_TOLERANCE
