"""The workflow of a job: submit once, then wait and store. Whatever is not deterministic is in activities."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from temporalio import exceptions, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutType

from kling_adapters.engine import SEARCH_SECONDS, UNFINISHED, JobEnd, JobRecord
from kling_temporal import payloads
from kling_temporal.payloads import Accepted, Intent, Search

_ONCE: Final = RetryPolicy(maximum_attempts=1)
HEARTBEAT_TIMEOUT: Final = timedelta(seconds=15)
"""A worker without a heartbeat for so long is lost; it sends one every four seconds."""
_SUBMIT_SECONDS: Final = timedelta(hours=1)
"""A bound that a submit never needs: its waits end earlier, and a lost worker sends no heartbeats."""
_SEARCH_SECONDS: Final = timedelta(minutes=10)
_COLLECT_SECONDS: Final = timedelta(hours=6)
_SUBMIT_ATTEMPTS: Final = 16
"""Attempts of a submit that was certainly not sent, or was refused in a way that may pass."""
_LONGEST_SUBMIT_DELAY: Final = 300.0


class _Uncertain(Exception):
    """The submit may have started a job."""

    def __init__(self, intent: Intent, reason: str) -> None:
        super().__init__(reason)
        self.intent = intent


@workflow.defn(name=payloads.JOB_WORKFLOW)
class JobWorkflow:
    """One job. Its id is the identity of the request, so that Temporal starts it once.

    It fails only if nothing was sent; every other end is a JobEnd.
    """

    @workflow.run
    async def run(self, job: JobRecord, gateway: str) -> JobEnd:
        """Bring a job to its end.

        Args:
            job: The job.
            gateway: The base URL of the gateway for which it is meant.

        Returns:
            The end of the job.

        """
        try:
            accepted = await _submit(job, gateway)
        except _Uncertain as error:
            if (lost := await _search(job, gateway, error)) is None:
                return _end(JobEnd(payloads.UNCERTAIN, reason=str(error)))
            accepted = lost
        intent = accepted.intent
        job = replace(job, request_id=accepted.request_id, key=intent.key, created=intent.created)
        _show({payloads.STATE: payloads.RUNNING, payloads.REQUEST_ID: accepted.request_id})
        if workflow.cancellation_reason() is not None:
            return _end(_cancel(job))
        return _end(await _collect("kling-collect", job, gateway))


async def _submit(job: JobRecord, gateway: str) -> Accepted:
    """Submit a job. An attempt that certainly sent nothing is repeated."""
    for attempt in range(1, _SUBMIT_ATTEMPTS + 1):
        scheduled = workflow.time()
        try:
            accepted: Accepted = await workflow.execute_activity(
                "kling-submit",
                args=[job, gateway],
                result_type=Accepted,
                start_to_close_timeout=_SUBMIT_SECONDS,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=_ONCE,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        except ActivityError as error:
            delay = _find_delay(error.cause, scheduled, attempt)
            if delay is None or attempt == _SUBMIT_ATTEMPTS:
                _show({payloads.STATE: payloads.REFUSED})
                raise
            if delay:
                await workflow.sleep(delay)
        else:
            return accepted
    raise AssertionError


def _find_delay(cause: BaseException | None, scheduled: float, attempt: int) -> float | None:
    """Return the seconds until a failed submit is repeated; None if it is final. Raises _Uncertain."""
    match cause:
        case exceptions.TimeoutError():
            # The intent is recorded before the request is sent: without one, nothing was sent.
            if not cause.last_heartbeat_details and cause.type == TimeoutType.HEARTBEAT:
                return 0.0
            intent = _read_intent(cause.last_heartbeat_details, scheduled)
            raise _Uncertain(intent, "the worker was lost before the gateway had answered")
        case ApplicationError(type="SubmitUncertain"):
            raise _Uncertain(_read_intent(cause.details, scheduled), cause.message)
        case ApplicationError(type="NotSent"):
            return min(_LONGEST_SUBMIT_DELAY, 2.0 * 2.0**attempt)
        case _:
            return None


def _read_intent(details: Any, scheduled: float) -> Intent:
    return Intent(**details[0]) if details else Intent("", scheduled)


async def _search(job: JobRecord, gateway: str, error: _Uncertain) -> Accepted | None:
    """Look for the job of an uncertain submit in the request history. It is never sent again."""
    _show({payloads.STATE: payloads.SEARCHING})
    lost = replace(job, key=error.intent.key, created=error.intent.created)
    try:
        request_id: str | None = await workflow.execute_activity(
            "kling-search",
            Search(lost, workflow.time(), gateway),
            result_type=str | None,  # type: ignore[arg-type]
            start_to_close_timeout=_SEARCH_SECONDS,
            schedule_to_close_timeout=timedelta(seconds=SEARCH_SECONDS) + _SEARCH_SECONDS,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
        )
    except ActivityError as failure:
        workflow.logger.warning("the search for the job of a lost submit ended: %s", failure.cause)
        return None
    return None if request_id is None else Accepted(request_id, error.intent)


async def _collect(step: str, job: JobRecord, *arguments: Any) -> JobEnd:
    """Run the step that ends a job."""
    try:
        end: JobEnd = await workflow.execute_activity(
            step,
            args=[job, *arguments],
            result_type=JobEnd,
            start_to_close_timeout=_COLLECT_SECONDS,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
        )
    except ActivityError as error:
        if workflow.cancellation_reason() is None:
            return JobEnd(UNFINISHED, job.request_id, reason=str(error.cause))
        return _cancel(job)
    return end


def _cancel(job: JobRecord) -> JobEnd:
    reason = (
        f"the workflow was cancelled; job {job.request_id} continues and will be billed when it completes"
    )
    return JobEnd(payloads.CANCELLED, job.request_id, reason=reason)


def _end(end: JobEnd) -> JobEnd:
    _show({payloads.STATE: end.state})
    return end


def _show(values: dict[Any, str]) -> None:
    workflow.upsert_search_attributes([key.value_set(value) for key, value in values.items()])


@workflow.defn(name=payloads.STORE_WORKFLOW)
class StoreWorkflow:
    """The output of a job whose own workflow had no destination."""

    @workflow.run
    async def run(self, job: JobRecord, gateway: str, completed: JobEnd) -> JobEnd:
        """Store the output of a job whose own workflow has ended. Return its end with the files."""
        return await _collect("kling-store", job, gateway, completed)


@workflow.defn(name=payloads.CLAIM_WORKFLOW)
class ClaimWorkflow:
    """The claim of a job of the request history. Its id has the request id, so Temporal decides whose it is."""

    @workflow.run
    async def run(self, owner: str) -> str:
        """Return the id of the workflow of the job."""
        return owner
