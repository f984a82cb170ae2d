"""One exchange, in a slot of the rate limiter of its key."""

from __future__ import annotations

from kling_adapters.api_errors import RateLimited
from kling_adapters.models._gateway import STATUSES
from kling_adapters.protocol.effects import Flow, Now, Send, Sleep
from kling_adapters.protocol.failures import seconds_until_reset
from kling_adapters.protocol.messages import Answer, Outcome, Request
from kling_adapters.protocol.rate_limit import RateLimiter
from kling_adapters.protocol.session import Session

LONGEST_SLOT_WAIT = 1800.0
"""Seconds that a submit waits for the rate limit of its key."""


def take_slot(session: Session, key: str, end: float, request_id: str | None) -> Flow[RateLimiter]:
    """Wait for a slot of a key, but not beyond the time `end`. Raises ConfigError if the client was closed."""
    limiter = session.limiter(key)
    now: float = yield Now()
    while delay := min(limiter.reserve_slot(now), max(0.0, end - now)):
        yield Sleep(delay)
        now = yield Now()
        if not limiter.is_limited(now):
            break
    session.check_open(request_id)
    return limiter


def take_submit_slot(session: Session, key: str, end: float) -> Flow[RateLimiter]:
    """Wait for a slot of a key. Raises RateLimited if it comes after the time `end` or after half an hour."""
    limiter = session.limiter(key)
    now: float = yield Now()
    end = min(end, now + LONGEST_SLOT_WAIT)
    while delay := limiter.reserve_slot(now):
        if now + delay > end:
            message = f"the rate limit of this key lasts {delay:.0f} s, longer than this submit may wait"
            raise RateLimited(429, message, meaning=STATUSES[429].meaning)
        yield Sleep(delay)
        now = yield Now()
        if not limiter.is_limited(now):
            break
    session.check_open()
    return limiter


def send(request: Request, limiter: RateLimiter) -> Flow[tuple[Outcome, float]]:
    """Send a request and adapt the rate limiter to its outcome.

    Returns:
        The outcome, and the seconds for which the key is limited after a 429, 0 after anything else.

    """
    sent: float = yield Now()
    outcome: Outcome = yield Send(request)
    if not isinstance(outcome, Answer):
        return outcome, 0.0
    if outcome.status != 429:
        limiter.record_success()
        return outcome, 0.0
    now: float = yield Now()
    return outcome, limiter.record_limit(sent, now, seconds_until_reset(outcome))
