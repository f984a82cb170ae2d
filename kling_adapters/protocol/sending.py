"""One exchange, in a slot of the rate limiter of its key."""

from __future__ import annotations

from functools import partial

from kling_adapters.api_errors import RateLimited
from kling_adapters.models._gateway import STATUSES
from kling_adapters.protocol.effects import Call, Flow, Now, Send, Sleep
from kling_adapters.protocol.failures import seconds_until_reset
from kling_adapters.protocol.messages import Answer, Outcome, Request
from kling_adapters.protocol.rate_limit import RateLimiter, Turn
from kling_adapters.protocol.session import Session

LONGEST_SLOT_WAIT = 1800.0
"""Seconds that a submit waits for the rate limit of its key."""


def take_slot(
    session: Session, key: str, end: float, request_id: str | None, *, is_urgent: bool = True
) -> Flow[RateLimiter]:
    """Wait for a slot of a key, but not beyond the time `end`.

    Raises:
        ConfigError: The client was closed.
        RateLimited: There was no slot in time within the rate limit that the user has set.

    """
    limiter = session.limiter(key)
    turn = Turn(is_urgent)
    try:
        now: float = yield Now()
        while pause := (yield from _claim(limiter, turn, now)):
            if now >= end:
                if limiter.rate_limit is None:
                    break
                raise _make_error(turn, "this request", request_id)
            yield Sleep(min(pause, end - now))
            now = yield Now()
    finally:
        limiter.leave(turn)
    session.check_open(request_id)
    return limiter


def take_submit_slot(session: Session, key: str, end: float) -> Flow[RateLimiter]:
    """Wait for a slot of a key. Raises RateLimited if it comes after the time `end` or after half an hour."""
    limiter = session.limiter(key)
    turn = Turn(is_urgent=True)
    try:
        now: float = yield Now()
        end = min(end, now + LONGEST_SLOT_WAIT)
        while pause := (yield from _claim(limiter, turn, now)):
            if now + turn.delay > end:
                raise _make_error(turn, "this submit")
            yield Sleep(pause)
            now = yield Now()
    finally:
        limiter.leave(turn)
    session.check_open()
    return limiter


def _claim(limiter: RateLimiter, turn: Turn, now: float) -> Flow[float]:
    """Return the seconds until a request tries to take a slot again, 0 if it has one now."""
    if limiter.may_block:
        pause: float = yield Call(partial(limiter.claim, turn, now))
        return pause
    return limiter.claim(turn, now)


def _make_error(turn: Turn, request: str, request_id: str | None = None) -> RateLimited:
    message = f"the rate limit of this key lasts {turn.delay:.0f} s, longer than {request} may wait"
    error = RateLimited(429, message, meaning=STATUSES[429].meaning, request_id=request_id)
    # The gateway was not asked.
    error.args = (f"{message}. It was not sent. Pass a longer timeout, or send fewer requests",)
    return error


def send(request: Request, limiter: RateLimiter) -> Flow[tuple[Outcome, float]]:
    """Send a request and adapt the rate limiter to its outcome.

    Returns:
        The outcome, and the seconds before the request is repeated after a 429, 0 after anything else.

    """
    sent: float = yield Now()
    outcome: Outcome = yield Send(request)
    if not isinstance(outcome, Answer):
        return outcome, 0.0
    now: float = yield Now()
    if outcome.status == 429:
        limit: float = yield Call(partial(limiter.record_limit, sent, now, seconds_until_reset(outcome)))
        return outcome, limit
    if limiter.may_block:
        yield Call(partial(limiter.record_success, sent, now))
    else:
        limiter.record_success(sent, now)
    return outcome, 0.0
