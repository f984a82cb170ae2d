"""Jobs in the OpenAI shape: how they are submitted, found and described."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request

from kling_adapters import OutputKind, ParamsInvalid
from kling_serve.api.errors import RequestError, describe_error
from kling_serve.api.mapping import LENGTHS, map_body
from kling_serve.job import Job, Submission
from kling_serve.models import Model, Models
from kling_serve.progress import expect_duration
from kling_serve.searches import is_searched
from kling_serve.studio import Studio, get_studio

_STATUSES: Final = {
    "SUBMITTING": "queued",
    "QUEUED": "queued",
    "PROCESSING": "in_progress",
    "STORING": "in_progress",
    "COMPLETED": "completed",
}
_ERRORS: Final[Mapping[str, tuple[str, str]]] = {
    "FAILED": ("job_failed", "The job has failed. It is not billed."),
    "REFUSED": ("submit_refused", "The gateway has refused the job. Nothing is billed."),
    "EXPIRED": ("job_expired", "The gateway no longer has the job. It may be billed."),
    "LOST": ("sandbox_ended", "The sandbox of this job has ended. Nothing is billed."),
    "UNCERTAIN": (
        "submit_uncertain",
        "The job may have been started and may be billed; its request id is unknown. `kling reconcile` looks for it.",
    ),
}


async def submit(
    request: Request, returns: OutputKind, body: Mapping[str, Any], *, is_form: bool
) -> Job | Submission:
    """Submit the job that a request describes."""
    studio, key = get_studio(request), _read_key(request)
    model = _find_model(studio.models, body.get("model"), returns, request.url.path)
    values, fields = map_body(body, model, is_form=is_form)
    try:
        return await studio.submits.submit(model.slug, values, owner=request.state.owner, key=key)
    except ParamsInvalid as error:
        raise describe_error(error, fields) from None


def _find_model(models: Models, slug: Any, returns: OutputKind, path: str) -> Model:
    """Return the model that a request names. Raises UnknownModel, or RequestError if it has another output."""
    if not isinstance(slug, str) or not slug:
        raise RequestError(
            400, "model is missing; expected a slug of /v1/models.", "invalid_parameters", "model"
        )
    model = models.find(slug)
    if model.returns != returns:
        message = (
            f"{slug} returns {model.returns}; {path} is for models that return {returns}. Nothing was sent."
        )
        raise RequestError(400, message, "wrong_model", "model")
    return model


def _read_key(request: Request) -> str | None:
    """Return the idempotency key of a request. Raises RequestError."""
    key = request.headers.get("idempotency-key")
    if key is None and request.headers.get("x-stainless-retry-count", "0") != "0":
        message = (
            "This request repeats one whose answer was lost, and has no Idempotency-Key, so a job may have been "
            "started. Nothing was sent again. Look in the list, and send an Idempotency-Key with each new job."
        )
        raise RequestError(400, message, "repeated_without_key")
    return key


async def find_job(request: Request) -> Job | Submission:
    """Return the job that a path names, its submission before the journal has it.

    Raises RequestError if the token has no such job with the kind of output that the path names.
    """
    studio = get_studio(request)
    job = await studio.submits.find_job(request.path_params["handle"], request.state.owner)
    is_image = request.url.path.startswith("/v1/images/")
    if job is None or (find_output(studio, job) == "image") != is_image:
        raise RequestError(404, "There is no job with this id.", "not_found")
    return job


def describe_job(studio: Studio, job: Job | Submission) -> dict[str, Any]:
    """Return a job as an object of OpenAI."""
    empty = dict.fromkeys(("prompt", "seconds", "size", "completed_at", "error", "cost"))
    described = {"id": job.id, "object": find_output(studio, job), "progress": 0, **empty}
    if isinstance(job, Submission):
        return described | {
            "status": "failed" if job.error else "queued",
            "model": job.params.adapter.slug,
            "created_at": int(job.created),
            "error": {"code": "submit_failed", "message": str(job.error)} if job.error else None,
        }
    entry, values = job.entry, job.entry.params
    status = "in_progress" if is_searched(job) else _STATUSES.get(job.state, "failed")
    failure = _ERRORS.get(job.state) if status == "failed" else None
    return described | {
        "status": status,
        "progress": _find_progress(studio, job, status),
        "model": entry.model,
        "prompt": values.get("prompt"),
        "seconds": next((str(values[name]) for name in LENGTHS if name in values), None),
        "size": values.get("aspect_ratio"),
        "created_at": int(entry.created),
        "completed_at": int(entry.updated) if status == "completed" else None,
        "error": {"code": failure[0], "message": entry.reason or failure[1]} if failure else None,
        "cost": entry.cost,
    }


def is_running(described: Mapping[str, Any]) -> bool:
    """Return whether a job that was described can still change."""
    return described["status"] in ("queued", "in_progress")


def find_output(studio: Studio, job: Job | Submission) -> str:
    """Return the kind of output of the model of a job."""
    if isinstance(job, Submission):
        return job.params.adapter.returns
    model = studio.models.get(job.entry.model)
    return model.returns if model else "video"


def _find_progress(studio: Studio, job: Job, status: str) -> int:
    """Return the share of the usual duration that has passed, in percent, 99 at most before the end."""
    if status != "in_progress":
        return 100 if status == "completed" else 0
    expectation = expect_duration(job, studio.jobs.watch.jobs.values(), studio.models)
    return min(99, int(100 * (time.time() - job.entry.created) / expectation.usual)) if expectation else 0
