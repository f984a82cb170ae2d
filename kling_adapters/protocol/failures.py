"""Failed responses: the message of the gateway, the error of a status, and the end of a rate limit."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from kling_adapters import api_errors
from kling_adapters.models._gateway import NO_CREDITS_STATUS, NO_CREDITS_WORDS, STATUSES
from kling_adapters.protocol.fields import make_printable
from kling_adapters.protocol.messages import Answer, Outcome

_LONGEST_RESET = 600.0
"""Seconds: a wrong header must not stop a key for days."""

_ERROR_CLASSES: dict[int, type[api_errors.ApiError]] = {
    status: getattr(api_errors, row.name, api_errors.ApiError) for status, row in STATUSES.items()
}


def read_message(answer: Answer) -> str:
    """Return the message of the gateway in an answer, or "" if there is none."""
    body = answer.json() or {}
    texts = [body[key] for key in ("error", "error_description", "message") if isinstance(body.get(key), str)]
    sentences = (" ".join(make_printable(text).split()).rstrip(".") for text in texts)
    return ". ".join(filter(None, sentences))[:500]


def api_error(answer: Answer, request_id: str | None = None) -> api_errors.ApiError:
    """Build the error for the status of an answer, with the message of the gateway."""
    row = STATUSES.get(answer.status)
    message = read_message(answer)
    error_class = _ERROR_CLASSES.get(answer.status, api_errors.ApiError)
    if answer.status == NO_CREDITS_STATUS and any(word in message.lower() for word in NO_CREDITS_WORDS):
        error_class = api_errors.InsufficientCredits
    return error_class(answer.status, message, meaning=row.meaning if row else "", request_id=request_id)


def seconds_until_reset(answer: Answer) -> float | None:
    """Return the seconds until a rate limit ends, ten minutes at most, from `Retry-After` or
    `x-rate-limit-reset-at-utc`.

    A point in time is compared with the `Date` of the gateway, so that a wrong clock of this machine does no harm.

    Returns:
        The seconds; None without such a header.

    """
    retry_after = answer.headers.get("retry-after", "").strip()
    if re.fullmatch("[0-9]{1,9}", retry_after):
        return min(float(retry_after), _LONGEST_RESET)
    reset = _read_time(answer.headers.get("x-rate-limit-reset-at-utc", "")) or _read_time(retry_after)
    if reset is None:
        return None
    now = _read_time(answer.headers.get("date", "")) or datetime.now(UTC)
    return min(max(0.0, (reset - now).total_seconds()), _LONGEST_RESET)


def _read_time(text: str) -> datetime | None:
    """Return an ISO 8601 time, a Unix time in seconds or milliseconds, or an HTTP date; None if it is anything else."""
    from email.utils import parsedate_to_datetime  # slow to import

    text = text.strip()
    try:
        if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text):
            seconds = float(text)
            return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
        moment = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def describe_failure(outcome: Outcome) -> str:
    """Return the reason of a failed request, without the consequences that it would have for a job."""
    if not isinstance(outcome, Answer):
        return f"it could not be reached: {outcome.reason}"
    message = read_message(outcome)
    content = "without rows that can be read" if outcome.is_success else ""
    return f"it answered {outcome.status} {content}".rstrip() + (f": {message}" if message else "")
