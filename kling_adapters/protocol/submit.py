"""The two ways to start a job: a submit, answered with an id, and a direct run, answered with the output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from kling_adapters.errors import JobFailed
from kling_adapters.events import Completed, Failed
from kling_adapters.protocol.effects import Emit, Flow, Now
from kling_adapters.protocol.messages import Answer, Request
from kling_adapters.protocol.polling import default_timeout
from kling_adapters.protocol.responses import read_direct_result, read_request_id
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.start import Start, start_job
from kling_adapters.protocol.wait import wait
from kling_adapters.result import ResultData
from kling_adapters.schema.adapter import Adapter


def submit(
    session: Session,
    model: str,
    body: Mapping[str, Any],
    adapter: Adapter | None = None,
    save_to: str | None = None,
    tag: str | None = None,
    timeout: float | None = None,
    unchecked: tuple[str, ...] = (),
    on_uncertain: Callable[[], None] = lambda: None,
) -> Flow[JobRef]:
    """Submit one job. Local media in the body is uploaded first.

    The submit is repeated only if no job can have been started: no connection was made, the table of the gateway calls
    the answer safe, or the plugin of the key has another key than the refused one.

    Args:
        session: The state of the client.
        model: The slug of the model.
        body: The parameters.
        adapter: The facts of the model; None without a spec.
        save_to: The destination of the output, for the journal.
        tag: The tag of the job, for the journal.
        timeout: Seconds for uploads, retries and waits together. It does not cut off a request that was sent, because a
            job might have been started.
        unchecked: The names of parameters that were not validated, for the journal.
        on_uncertain: Called when the submit is uncertain, before its job is looked for in the request history.

    Returns:
        The job.

    Raises:
        SubmitUncertain: A job may have been started, and the request history does not have it yet.
        ApiError: The gateway refused the submit. No job was started.
        TransportError: The gateway could not be reached. No job was started.
        StorageError: The intent cannot be written to the journal. Nothing was sent.

    """

    def read(answer: Answer) -> JobRef | None:
        request_id = read_request_id(answer) if answer.is_success else None
        return None if request_id is None else JobRef.of(request_id, model, adapter)

    end = end_of((yield Now()), timeout)
    build = partial(session.gateway.submit, model)
    start = Start(
        model,
        build,
        read,
        end,
        adapter,
        save_to=save_to,
        tag=tag,
        unchecked=unchecked,
        on_uncertain=on_uncertain,
    )
    job = yield from start_job(session, start, body)
    return replace(job, submitted=(yield Now()))


def run_sync(
    session: Session,
    adapter: Adapter,
    body: Mapping[str, Any],
    timeout: float | None,
    tag: str | None = None,
    unchecked: tuple[str, ...] = (),
) -> Flow[ResultData]:
    """Run one job in a call that is answered with its output.

    The call is recorded and refused like a submit, and repeated if the job cannot have run.

    Args:
        session: The state of the client.
        adapter: The facts of the model.
        body: The parameters.
        timeout: Seconds for the answer; None for the default of the latency. Uploads, retries and waits before the call
            may take as long again: an answer that is cut off may have been paid for.
        tag: The tag of the job, for the journal.
        unchecked: The names of parameters that were not validated, for the journal.

    Returns:
        The result.

    Raises:
        JobFailed: The job ran and FAILED.
        SubmitUncertain: There was no answer, or a 5xx. The job may have run, and the request history does not have it.
        ApiError, TransportError, StorageError: As for `submit`.

    """
    model = adapter.slug
    answer_timeout = default_timeout(adapter.latency) if timeout is None else timeout

    def build(uploaded: Mapping[str, Any]) -> Request:
        return session.gateway.run_sync(model, uploaded, answer_timeout)

    end = end_of((yield Now()), timeout)
    read = partial(read_direct_result, model, adapter.returns)
    try:
        start = Start(model, build, read, end, adapter, is_direct=True, tag=tag, unchecked=unchecked)
        result = yield from start_job(session, start, body)
    except JobFailed as error:
        yield Emit(Failed(error.request_id, model, error.message, polls=0))
        raise
    if isinstance(result, JobRef):
        remaining = None if timeout is None else max(0.0, end - (yield Now()))
        return (yield from wait(session, result, remaining))
    yield Emit(Completed(result.request_id, model, result, polls=0))
    return result


def end_of(start: float, timeout: float | None) -> float:
    """Return the time at which a timeout ends."""
    return float("inf") if timeout is None else start + timeout
