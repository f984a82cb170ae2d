"""Requests that start nothing: one exchange, repeated through failures until its answer can be read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from kling_adapters.api_errors import RateLimited
from kling_adapters.errors import KlingError
from kling_adapters.protocol.effects import Call, Flow, Now, Sleep
from kling_adapters.protocol.keys import find_key, has_another_key
from kling_adapters.protocol.messages import Answer, Key, Request
from kling_adapters.protocol.polling import PollCounter
from kling_adapters.protocol.retry import backoff, is_final_refusal, make_query_error
from kling_adapters.protocol.sending import send, take_slot
from kling_adapters.protocol.session import Session

log = logging.getLogger("kling_adapters")
T = TypeVar("T")

QUERY_BUDGET = 30.0
"""Seconds within which a single query is repeated when it fails."""
MISSING_LIMIT = 3
"""404 responses before a job counts as expired: one wrong 404 must not lose it."""
SHORTEST_EXCHANGE = 5.0
LONGEST_EXCHANGE = 120.0
"""Seconds for one request and its answer, body included, when a timeout bounds them."""


class JobMissing(Exception):
    """The gateway has answered 404 for the job MISSING_LIMIT times."""


class OutOfTime(Exception):
    """No usable answer came in time; `error` is the last failure."""

    def __init__(self, error: KlingError) -> None:
        self.error = error


@dataclass
class Query:
    """A request that is repeated through failures.

    Attributes:
        request: The request, without a key.
        request_id: The id of the job; None for a request that is not about a job.
        last_retry: The time after which it is not repeated.
        cutoff: The time at which an exchange is cut off, if it has had SHORTEST_EXCHANGE seconds.
        counter: Counts the exchanges.
        is_poll: Whether the request only asks for a state, so that others of its key come first.
        failures: The failures since the start.
        missing: The 404 responses since the start.

    """

    request: Request
    request_id: str | None
    last_retry: float
    cutoff: float
    counter: PollCounter = field(default_factory=PollCounter)
    is_poll: bool = False
    failures: int = 0
    missing: int = 0
    _refused_keys: set[str] = field(default_factory=set[str])

    def bounded_request(self, key: Key, now: float) -> Request:
        """Return the request with its key and deadline."""
        return replace(self.request, key=key, deadline=self._deadline(self.cutoff - now))

    def _deadline(self, remaining: float) -> float | None:
        if remaining == float("inf"):
            return None
        return min(self.request.timeout or LONGEST_EXCHANGE, max(SHORTEST_EXCHANGE, remaining))

    def count_missing(self) -> None:
        """Count a 404 response. Raises JobMissing at the limit."""
        self.missing += 1
        if self.missing == MISSING_LIMIT:
            raise JobMissing

    def refuse_key(self, key: Key) -> bool:
        """Remember a refused key and return whether this is its first refusal."""
        is_first = key not in self._refused_keys
        self._refused_keys.add(key)
        return is_first


def query_once(
    session: Session,
    request: Request,
    read: Callable[[Answer], T | None],
    request_id: str | None,
    budget: float = QUERY_BUDGET,
    end: float = float("inf"),
) -> Flow[T]:
    """Send a query outside a wait, and repeat it within `budget` seconds, but not beyond the time `end`."""
    session.check_open(request_id)
    last_retry = min(end, (yield Now()) + budget)
    try:
        return (yield from run_query(session, Query(request, request_id, last_retry, end), read))
    except OutOfTime as last:
        raise last.error from None


def run_query(session: Session, query: Query, read: Callable[[Answer], T | None]) -> Flow[T]:
    """Repeat a query through every failure until `read` returns a value for an answer.

    Raises:
        ApiError: The gateway refused the request, at once.
        JobMissing: The gateway does not have the job.
        OutOfTime: There was no usable answer before `last_retry`.

    """
    while True:
        key = yield from find_key(session, query.request_id)
        try:
            end, is_urgent = query.last_retry, not query.is_poll
            limiter = yield from take_slot(session, key, end, query.request_id, is_urgent=is_urgent)
        except RateLimited as limit_error:
            raise OutOfTime(limit_error) from None
        request = query.bounded_request(key, (yield Now()))
        outcome, limit = yield from send(request, limiter)
        query.counter.polls += 1
        if isinstance(outcome, Answer) and (value := read(outcome)) is not None:
            return value
        error = make_query_error(outcome, query.request_id)
        if isinstance(outcome, Answer):
            yield from _check_refusal(session, query, key, outcome, error)
        query.failures += 1
        now: float = yield Now()
        if now >= query.last_retry:
            raise OutOfTime(error)
        delay = min(limit or backoff(query.failures), query.last_retry - now)
        log.info("%s %s failed (%s); retrying in %.1f s", request.method, request.url, error, delay)
        yield Sleep(delay)


def _check_refusal(session: Session, query: Query, key: Key, answer: Answer, error: KlingError) -> Flow[None]:
    """Raise the error of a final refusal, or JobMissing, if a repetition is pointless."""
    if answer.status == 404 and query.request_id is not None:
        query.count_missing()
    elif is_final_refusal(answer):
        # Once for each key: a plugin with wrong data about its keys must not cause endless requests.
        may_change = answer.status == 401 and query.refuse_key(key)
        if not (may_change and (yield Call(partial(has_another_key, session, key)))):
            raise error
