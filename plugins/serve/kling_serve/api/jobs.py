"""Jobs in the OpenAI shape: how they are submitted, found and described."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kling_adapters import OutputKind
from kling_serve.api.errors import RequestError, describe_job_error
from kling_serve.api.mapping import LENGTHS, map_body
from kling_serve.api.models import find_model
from kling_serve.job import Job
from kling_serve.progress import expect_duration
from kling_serve.searches import SEARCH_SECONDS
from kling_serve.studio import Studio, get_studio

_MAX_KEY: Final = 255
_STATUSES: Final = {
    "SUBMITTING": "queued",
    "QUEUED": "queued",
    "PROCESSING": "in_progress",
    "STORING": "in_progress",
    "COMPLETED": "completed",
}


async def submit(request: Request, returns: OutputKind, body: Mapping[str, Any], *, is_form: bool) -> str:
    """Submit the job that a request describes, and return its handle."""
    studio, key = get_studio(request), _read_key(request)
    model = find_model(studio.models, body.get("model"), returns, request.url.path)
    values = map_body(body, model, is_form=is_form)
    return await studio.submits.submit(model.slug, values, owner=request.state.owner, key=key)


async def show_job(request: Request) -> Response:
    """Return a job."""
    return JSONResponse(describe_job(get_studio(request), *await find_job(request)))


def _read_key(request: Request) -> str | None:
    """Return the idempotency key of a request. Raises RequestError."""
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= _MAX_KEY and key.isascii() and key.isprintable()):
        message = f"The Idempotency-Key is invalid: expected 1 to {_MAX_KEY} printable ASCII characters."
        raise RequestError(400, message, "invalid_idempotency_key")
    if key is None and request.headers.get("x-stainless-retry-count", "0") != "0":
        message = (
            "This request repeats one whose answer was lost, and has no Idempotency-Key, so a job may have been "
            "started. Nothing was sent again. Look in the list, and send an Idempotency-Key with each new job."
        )
        raise RequestError(400, message, "repeated_without_key")
    return key


async def find_job(request: Request) -> tuple[str, Job | None]:
    """Return the handle that a path names and its job, None before the journal has it.

    Raises RequestError if the token has no such job with the kind of output that the path names.
    """
    studio, handle, owner = get_studio(request), request.path_params["handle"], request.state.owner
    job = await studio.submits.find_job(handle, owner)
    if job is None and studio.submits.is_waiting(handle, owner):
        return handle, None
    is_image = request.url.path.startswith("/v1/images/")
    if job is None or is_deleted(job) or (find_output(studio, job) == "image") != is_image:
        raise RequestError(404, "There is no job with this id.", "not_found")
    return handle, job


def is_deleted(job: Job) -> bool:
    """Return whether a job is hidden from programs, because one has deleted its files."""
    return _mark_of(job).exists()


def delete_files(job: Job) -> None:
    """Delete the files of a job, and hide it from programs. Its entry stays in the journal."""
    mark = _mark_of(job)
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    for path in job.files:
        path.unlink(missing_ok=True)


def _mark_of(job: Job) -> Path:
    return Path(job.entry.save_to or "") / ".deleted"


def describe_job(studio: Studio, handle: str, job: Job | None) -> dict[str, Any]:
    """Return a job as an object of OpenAI.

    Args:
        studio: The parts of the application.
        handle: The id of the job.
        job: The job; None before the journal has it.

    """
    if job is None:
        submission = studio.jobs.submissions[handle]
        params, error = submission.params, submission.error
        return _describe(
            handle,
            object=params.adapter.returns,
            status="failed" if error else "queued",
            model=params.adapter.slug,
            created_at=int(time.time()),
            error={"code": "submit_failed", "message": str(error)} if error else None,
        )
    entry, values = job.entry, job.entry.params
    is_searched = job.is_uncertain and time.time() - entry.created < SEARCH_SECONDS
    status = "in_progress" if is_searched else _STATUSES.get(job.state, "failed")
    return _describe(
        handle,
        object=find_output(studio, job),
        status=status,
        progress=_find_progress(studio, job, status),
        model=entry.model,
        prompt=values.get("prompt"),
        seconds=next((str(values[name]) for name in LENGTHS if name in values), None),
        size=values.get("aspect_ratio"),
        created_at=int(entry.created),
        completed_at=int(entry.updated) if status == "completed" else None,
        error=describe_job_error(job.state, entry.reason) if status == "failed" else None,
        cost=entry.cost,
    )


def _describe(handle: str, **members: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("prompt", "seconds", "size", "completed_at", "error", "cost"))
    return {"id": handle, "progress": 0, **empty, **members}


def find_output(studio: Studio, job: Job) -> str:
    """Return the kind of output of the model of a job."""
    model = job.entry.model
    return studio.models[model].returns if model in studio.models else "video"


def _find_progress(studio: Studio, job: Job, status: str) -> int:
    """Return the share of the usual duration that has passed, in percent, 99 at most before the end."""
    if status != "in_progress":
        return 100 if status == "completed" else 0
    model = studio.models.get(job.entry.model)
    documented = model.entry.latency if model else None
    expectation = expect_duration(job, studio.jobs.watch.jobs.values(), documented)
    return min(99, int(100 * (time.time() - job.entry.created) / expectation.usual)) if expectation else 0
