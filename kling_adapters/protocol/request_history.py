"""The request history of the gateway: its requests, with their state, cost and output.

The history is one more thing that can be late or wrong, or unavailable. Nothing in it is needed: each failure here
becomes None or HistoryUnavailable, and a rate limit or a refused key of it has no effect on any other request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from kling_adapters.api_errors import RateLimited
from kling_adapters.errors import KlingError
from kling_adapters.models._gateway import HISTORY_MAX_DAYS
from kling_adapters.protocol.effects import Call, Flow, Now, Send, Sleep
from kling_adapters.protocol.exchange import LONGEST_EXCHANGE, SHORTEST_EXCHANGE
from kling_adapters.protocol.failures import describe_failure
from kling_adapters.protocol.history_rows import HistoryPage, HistoryRow, merge_rows, read_page
from kling_adapters.protocol.keys import find_account_key, find_key
from kling_adapters.protocol.messages import Answer, Key, Outcome, Request
from kling_adapters.protocol.retry import backoff, is_final_refusal, make_query_error
from kling_adapters.protocol.sending import take_slot
from kling_adapters.protocol.session import Session

log = logging.getLogger("kling_adapters")
T = TypeVar("T")

HISTORY_BUDGET = 10.0
"""Seconds within which a request to the history is repeated when it fails."""
MAX_ROWS = 1000
"""Rows that a listing has by default at most."""
_MAX_PAGES = 50
_DAY = 86400.0


class HistoryUnavailable(Exception):
    """The history is turned off, or has not answered as expected; the text says why, and the cause is the error.

    Attributes:
        is_final: Whether it would refuse the same request again.

    """

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


@dataclass(frozen=True)
class HistoryListing:
    """Rows of the history within a time window, the newest first.

    Attributes:
        rows: The rows, one for each request.
        is_complete: Whether the whole window was read, so that a request without a row was not listed then. It may be
            listed later.

    """

    rows: tuple[HistoryRow, ...]
    is_complete: bool


def find_row(
    session: Session, request_id: str, budget: float = HISTORY_BUDGET, *, fingerprint: str | None = None
) -> Flow[HistoryRow | None]:
    """Return the row of a request of any age; None if the history does not have it, or cannot be read.

    Args:
        session: The state of the client.
        request_id: The id of the request.
        budget: Seconds within which the request is repeated when it fails.
        fingerprint: The fingerprint of the key of the account; None for the key that submitted the request.

    """
    if not session.uses_history:
        return None
    end: float = (yield Now()) + budget
    try:
        search: Flow[Key | None] = find_key(session, request_id)
        if fingerprint is not None:
            search = find_account_key(session, fingerprint)
        key = yield from _find_key(search)
        request = session.gateway.request_row(request_id)
        page = yield from ask_history(session, request, key, _read_single, end)
    except HistoryUnavailable as error:
        log.info("the request history could not be asked for job %s: %s", request_id, error)
        return None
    return next((row for row in page.rows if row.request_id.casefold() == request_id.casefold()), None)


def list_rows(
    session: Session,
    model: str | None,
    since: float,
    until: float | None = None,
    *,
    limit: int = MAX_ROWS,
    fingerprint: str | None = None,
    budget: float = HISTORY_BUDGET,
) -> Flow[HistoryListing]:
    """Return the requests of a time window.

    Days of the history are of an unknown time zone, and so is the time of a row without one. The rows of a window are
    therefore those of a day more on each side; compare `created` with a tolerance.

    Args:
        session: The state of the client.
        model: The slug of the model; None for all models. Rows that name no model are included.
        since: The start of the window, in seconds since 1970.
        until: Its end; None for now.
        limit: Rows at most.
        fingerprint: The fingerprint of the key of the account, for a client with several keys.
        budget: Seconds within which the request for each page is repeated when it fails.

    Raises:
        HistoryUnavailable: The history is turned off, or a page of it could not be read.

    """
    if not session.uses_history:
        raise HistoryUnavailable("it is turned off", is_final=True)
    key = yield from _find_key(find_account_key(session, fingerprint))
    now: float = yield Call(time.time)
    rows: dict[str, HistoryRow] = {}
    is_complete = True
    for days in _iter_windows(since, until, now):
        listing = _Listing(session, key, model, days, limit, budget)
        is_complete &= yield from _list_window(listing, rows)
    return HistoryListing(tuple(rows.values())[:limit], is_complete and len(rows) <= limit)


@dataclass(frozen=True)
class _Listing:
    """A time window of the history, and the rows that are wanted of it."""

    session: Session
    key: Key
    model: str | None
    days: tuple[str, str | None]
    limit: int
    budget: float

    def make_request(self, page: int) -> Request:
        return self.session.gateway.request_history(
            page, from_date=self.days[0], to_date=self.days[1], model_name=self.model
        )

    def is_wanted(self, row: HistoryRow) -> bool:
        # The gateway looks for a part of the slug.
        return self.model is None or row.model is None or row.model.casefold() == self.model.casefold()


def _list_window(listing: _Listing, rows: dict[str, HistoryRow]) -> Flow[bool]:
    """Add the rows of all pages, and return whether there are no more."""
    listed_ids: set[str] = set()
    for number in range(1, _MAX_PAGES + 1):
        end: float = (yield Now()) + listing.budget
        page: HistoryPage = yield from ask_history(
            listing.session, listing.make_request(number), listing.key, read_page, end
        )
        merge_rows(rows, filter(listing.is_wanted, page.rows))
        if page.has_next is False or not page.rows:
            return True
        ids = {row.request_id for row in page.rows}
        # A gateway that ignores the number of the page would answer with the first page for ever.
        if ids <= listed_ids or len(rows) > listing.limit:
            return False
        listed_ids |= ids
    return False


def _iter_windows(since: float, until: float | None, now: float) -> Iterator[tuple[str, str | None]]:
    """Yield the first and the last day of each query, the newest first; no last day for today."""
    first = since - _DAY
    last = None if until is None or until + _DAY >= now else until + _DAY
    while True:
        end = now if last is None else last
        # One day less than is allowed: the day of the gateway may be another one.
        start = max(first, end - (HISTORY_MAX_DAYS - 2) * _DAY)
        yield _format_day(start), None if last is None else _format_day(last)
        if start <= first:
            return
        last = start


def _format_day(seconds: float) -> str:
    return datetime.fromtimestamp(max(0.0, seconds), UTC).strftime("%Y-%m-%d")


def _find_key(search: Flow[Key | None]) -> Flow[Key]:
    try:
        key = yield from search
    except KlingError as error:
        raise HistoryUnavailable(str(error), is_final=True) from error
    if key is None:
        raise HistoryUnavailable("none of the keys is of its account", is_final=True)
    return key


def _read_single(answer: Answer) -> HistoryPage | None:
    """Return the row of a single request; no row if the history does not have the request."""
    return HistoryPage(()) if answer.status == 404 else read_page(answer)


def ask_history(
    session: Session, request: Request, key: Key, read: Callable[[Answer], T | None], end: float
) -> Flow[T]:
    """Send a request to the history, and repeat it when it fails, until the time `end`. Raises HistoryUnavailable."""
    failures = 0
    while True:
        yield from take_history_slot(session, key, end)
        seconds = min(LONGEST_EXCHANGE, max(SHORTEST_EXCHANGE, end - (yield Now())))
        try:
            return (yield from send_to_history(request, key, read, seconds))
        except HistoryUnavailable as error:
            now: float = yield Now()
            if now >= end or error.is_final:
                raise
        failures += 1
        yield Sleep(min(backoff(failures), end - now))


def take_history_slot(session: Session, key: Key, end: float, request_id: str | None = None) -> Flow[None]:
    """Wait for the slot of a poll, until the time `end`. Raises HistoryUnavailable if there is none."""
    try:
        yield from take_slot(session, key, end, request_id, is_urgent=False)
    except RateLimited as error:
        raise HistoryUnavailable(str(error)) from error


def send_to_history(
    request: Request, key: Key, read: Callable[[Answer], T | None], seconds: float
) -> Flow[T]:
    """Send one request to the history, with `seconds` for its answer. Raises HistoryUnavailable."""
    outcome: Outcome = yield Send(replace(request, key=key, deadline=seconds))
    if isinstance(outcome, Answer) and (value := read(outcome)) is not None:
        return value
    is_final = isinstance(outcome, Answer) and is_final_refusal(outcome)
    raise HistoryUnavailable(describe_failure(outcome), is_final=is_final) from make_query_error(
        outcome, None
    )
