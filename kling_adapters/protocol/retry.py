"""Retry decisions: delays between attempts, and the meaning of a failed submit, query or download."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from kling_adapters import api_errors, errors
from kling_adapters.models._gateway import (
    KEY_REFUSAL_STATUSES,
    OUTPUT_GONE_STATUSES,
    QUERY_RETRY_STATUSES,
    STATUSES,
)
from kling_adapters.protocol.failures import api_error, read_message
from kling_adapters.protocol.messages import Answer, Fault, Outcome
from kling_adapters.protocol.responses import names_another_job

LONGEST_BACKOFF = 30.0


def jitter(seconds: float) -> float:
    """Vary a wait by a tenth, so that many jobs do not send at the same time."""
    return seconds * random.uniform(0.9, 1.1)  # noqa: S311  no secret depends on it


def backoff(failures: int) -> float:
    """Return the seconds to wait after a number of failures in a row: 1, 2, 4 ... 30."""
    return jitter(min(LONGEST_BACKOFF, 2.0 ** (min(failures, 10) - 1)))


@dataclass
class SubmitRetries:
    """Budget of one submit for retries, each of which requires that no job was started.

    Attributes:
        attempts: The number of attempts, not counting those that met a rate limit.
        limit_seconds: Seconds for waits for rate limits.

    """

    attempts: int = 4
    limit_seconds: float = 300.0
    _failures: int = field(default=0, init=False)

    def next_delay(self) -> float | None:
        """Count a failure and return the seconds to wait; None if the attempts are used up."""
        self._failures += 1
        return backoff(self._failures) if self._failures < self.attempts else None

    def next_limit_delay(self, seconds: float) -> float | None:
        """Count the wait for a rate limit and return it; None if it exceeds the budget."""
        self.limit_seconds -= seconds
        return seconds if self.limit_seconds >= 0 else None


@dataclass(frozen=True)
class SubmitFailure:
    """Failed attempt of a submit.

    Attributes:
        error: The error to raise without a retry.
        is_safe: Whether no job was started and a repetition may succeed.
        is_key_refusal: Whether another key may succeed.

    """

    error: errors.SubmitUncertain | api_errors.ApiError | errors.TransportError
    is_safe: bool = False
    is_key_refusal: bool = False


def classify_submit_failure(model: str, outcome: Outcome, *, is_direct: bool) -> SubmitFailure:
    """Classify a submit without a usable answer, by the status table of the gateway.

    Args:
        model: The slug of the model.
        outcome: The outcome of the exchange.
        is_direct: Whether the call runs the job, which may have run before a failure that is safe for a submit.

    """
    if isinstance(outcome, Fault):
        if outcome.sent:
            return SubmitFailure(errors.SubmitUncertain(model, outcome.reason))
        message = (
            f"the gateway could not be reached: {outcome.reason}. Nothing was sent, no job was started. "
            "Check the network and base_url, then submit again."
        )
        return SubmitFailure(errors.TransportError(message), is_safe=True)
    row = STATUSES.get(outcome.status)
    verdict = row.submit if row else ("never" if 400 <= outcome.status < 500 else "uncertain")
    if verdict == "uncertain" or (is_direct and outcome.status >= 500):
        shortcoming = (
            "without a request id" if outcome.is_success else "which does not say whether a job was started"
        )
        message = read_message(outcome)
        reason = f"the gateway answered {outcome.status}, {shortcoming}" + (
            f", but with: {message}" if message else ""
        )
        return SubmitFailure(errors.SubmitUncertain(model, reason))
    error = api_error(outcome)
    # A 406 refuses the key only if the account lacks credits.
    is_refusal = outcome.status in KEY_REFUSAL_STATUSES or isinstance(error, api_errors.InsufficientCredits)
    return SubmitFailure(error, verdict == "safe", is_refusal)


def is_final_refusal(answer: Answer) -> bool:
    """Return whether a repeated query would be refused again."""
    return 400 <= answer.status < 500 and answer.status not in QUERY_RETRY_STATUSES


def make_query_error(outcome: Outcome, request_id: str | None) -> errors.KlingError:
    """Build the error of a query without a usable answer."""
    if isinstance(outcome, Fault):
        return errors.TransportError(
            f"the gateway could not be reached: {outcome.reason}. This request started no job"
        )
    if outcome.status >= 400:
        return api_error(outcome, request_id)
    is_foreign = names_another_job(outcome.json() or {}, request_id)
    content = "an answer about another job" if is_foreign else "no usable answer"
    message = read_message(outcome)
    return errors.TransportError(
        f"the gateway answered {outcome.status} with {content}" + (f": {message}" if message else "")
    )


def is_output_gone(outcome: Outcome) -> bool:
    """Return whether an output is no longer available at its URL."""
    return isinstance(outcome, Answer) and outcome.status in OUTPUT_GONE_STATUSES
