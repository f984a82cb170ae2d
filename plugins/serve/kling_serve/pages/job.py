"""The page of a job."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kling_adapters import KlingError
from kling_serve.code import write_code
from kling_serve.job import Job
from kling_serve.progress import expect_duration
from kling_serve.studio import Studio, get_studio
from kling_serve.views import render


async def show_job(request: Request) -> Response:
    """Show a job with its files, its state and its parameters."""
    studio = get_studio(request)
    job = await studio.jobs.find(request.path_params["job_id"])
    if job is None:
        submission = studio.jobs.submissions.get(request.path_params["job_id"])
        message = (
            "No journal has a job of this id. If it was just submitted, nothing was sent for it."
            if submission is None
            else str(
                submission.error or "The files of the job are being uploaded. Nothing was submitted yet."
            )
        )
        return render(request, "error.html", "jobs", 404, title="No such job", message=message)
    model = studio.models.get(job.entry.model)
    code = None if model is None else write_code(model, job.entry.params, job.connection)
    return render(
        request,
        "job.html",
        "jobs",
        code=code,
        cursor=studio.jobs.watch.cursor,
        can_repeat=model is not None and not model.is_retired,
        **describe_job(studio, job),
    )


def describe_job(studio: Studio, job: Job) -> dict[str, Any]:
    """Return what a page shows about a job."""
    model = studio.models.get(job.entry.model)
    jobs = studio.jobs.watch.jobs.values()
    return {
        "job": job,
        "is_driven": studio.jobs.is_driven(job.id),
        "title": job.entry.model if model is None else model.title,
        "expectation": expect_duration(job, jobs, studio.models) if job.is_unfinished else None,
        "now": time.time(),
    }


async def resume(request: Request) -> Response:
    """Drive a job to its end, and store its files."""
    job_id = request.path_params["job_id"]
    get_studio(request).jobs.drive(job_id)
    return RedirectResponse(request.url_for("job", job_id=job_id).path, 303)


async def store(request: Request) -> Response:
    """Store the files of a job that was submitted without a destination."""
    job_id = request.path_params["job_id"]
    try:
        await get_studio(request).jobs.store(job_id)
    except KlingError as error:
        return render(
            request, "error.html", "jobs", 502, title="The output was not stored", message=str(error)
        )
    return RedirectResponse(request.url_for("job", job_id=job_id).path, 303)


ROUTES = [
    Route("/jobs/{job_id}", show_job, name="job"),
    Route("/jobs/{job_id}/resume", resume, methods=["POST"]),
    Route("/jobs/{job_id}/store", store, methods=["POST"]),
]
