"""The addresses of videos, images and models in the OpenAI shape."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final, Literal

import anyio
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kling_serve.api.bodies import read_body
from kling_serve.api.errors import ContentResponse, RequestError
from kling_serve.api.jobs import describe_job, find_job, find_output, is_running, submit
from kling_serve.job import Job, Submission
from kling_serve.models import Model
from kling_serve.studio import Studio, get_studio

WAIT_SECONDS: Final = 50.0
"""Seconds to wait for the end of a job; clients give up after a minute."""


class Page(BaseModel):
    """The query of the list."""

    limit: int = Field(default=20, ge=1, le=100)
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None


class ImageForm(BaseModel):
    """The form of the answer to a request for an image."""

    response_format: Literal["url", "b64_json"] = "url"


async def create_video(request: Request) -> Response:
    """Submit a job; the answer has its handle."""
    body, is_form = await read_body(request)
    job = await submit(request, "video", body, is_form=is_form)
    return JSONResponse(describe_job(get_studio(request), job))


async def create_image(request: Request) -> Response:
    """Submit a job. The answer has the address of its image, or the image itself if base64 is asked for."""
    body, is_form = await read_body(request)
    form = ImageForm(response_format=body.pop("response_format", None) or "url")
    studio, job = get_studio(request), await submit(request, "image", body, is_form=is_form)
    created = describe_job(studio, job)["created_at"]
    image = {"url": f"{request.base_url}v1/images/{job.id}/content"}
    if form.response_format == "b64_json":
        path = await _wait_for_image(studio, job)
        image = {"b64_json": base64.b64encode(await anyio.Path(path).read_bytes()).decode()}
    return JSONResponse({"created": created, "data": [image], "id": job.id})


async def list_videos(request: Request) -> Response:
    """List the jobs of the token, the newest first."""
    studio, query = get_studio(request), Page.model_validate(dict(request.query_params))
    await studio.jobs.watch.refresh()
    jobs = [
        job for job in studio.submits.list_jobs(request.state.owner) if find_output(studio, job) == "video"
    ]
    if query.order == "asc":
        jobs.reverse()
    if query.after is not None:
        ids = [job.id for job in jobs]
        if query.after not in ids:
            raise RequestError(400, "after: expected the id of a job.", "invalid_parameters", "after")
        jobs = jobs[ids.index(query.after) + 1 :]
    page = jobs[: query.limit]
    return JSONResponse(
        {
            "object": "list",
            "data": [describe_job(studio, job) for job in page],
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
            "has_more": len(jobs) > len(page),
        }
    )


async def show_job(request: Request) -> Response:
    """Return a job."""
    return JSONResponse(describe_job(get_studio(request), await find_job(request)))


async def read_video(request: Request) -> Response:
    """Return the file of a job; a part of it for a request with a Range."""
    if request.query_params.get("variant", "video") != "video":
        raise RequestError(400, "variant: only the video is available.", "invalid_parameters", "variant")
    job = await find_job(request)
    if not job.files:
        status = describe_job(get_studio(request), job)["status"]
        raise _refuse_without_file(status)
    return ContentResponse(job.files[0], filename=job.files[0].name)


async def read_image(request: Request) -> Response:
    """Wait for the image of a job, and return it."""
    path = await _wait_for_image(get_studio(request), await find_job(request))
    return ContentResponse(path, filename=path.name, content_disposition_type="inline")


async def _wait_for_image(studio: Studio, job: Job | Submission) -> Path:
    """Return the file of a job. Raises RequestError."""
    job = await studio.jobs.wait(job.id, WAIT_SECONDS) or job
    if job.files:
        return job.files[0]
    described = describe_job(studio, job)
    if (error := described["error"]) is not None:
        raise RequestError(422, error["message"], error["code"])
    if not is_running(described):
        raise _refuse_without_file(described["status"])
    message = f"Job {job.id} is still running. Ask for /v1/images/{job.id}/content, or repeat with the same Idempotency-Key."
    raise RequestError(504, message, "still_running")


def _refuse_without_file(status: str) -> RequestError:
    return RequestError(409, f"The job has no file; it is {status}.", "not_ready")


async def delete_video(request: Request) -> Response:
    """Delete the files of a job that has ended. Its entry stays in the journal."""
    job = await find_job(request)
    if isinstance(job, Submission):
        message = "The job has no file to delete: it is not submitted yet, or its submit has failed."
        raise RequestError(409, message, "not_ready")
    if is_running(describe_job(get_studio(request), job)):
        message = (
            "The job is running and cannot be cancelled: the gateway bills it. Delete it when it has ended."
        )
        raise RequestError(409, message, "not_ready")
    job.delete_files()
    return JSONResponse({"id": job.id, "object": "video.deleted", "deleted": True})


async def list_models(request: Request) -> Response:
    """List every model."""
    models = get_studio(request).models
    return JSONResponse({"object": "list", "data": [_describe_model(models[slug]) for slug in models]})


async def show_model(request: Request) -> Response:
    """Return a model."""
    return JSONResponse(_describe_model(get_studio(request).models.find(request.path_params["slug"])))


def _describe_model(model: Model) -> dict[str, Any]:
    return {
        "id": model.slug,
        "object": "model",
        "created": 0,
        "owned_by": model.origin,
        "title": model.title,
        "returns": model.returns,
    }


ROUTES = [
    Route("/v1/videos", create_video, methods=["POST"]),
    Route("/v1/videos", list_videos),
    Route("/v1/videos/{handle}", show_job),
    Route("/v1/videos/{handle}", delete_video, methods=["DELETE"]),
    Route("/v1/videos/{handle}/content", read_video),
    Route("/v1/images/generations", create_image, methods=["POST"]),
    Route("/v1/images/{handle}", show_job),
    Route("/v1/images/{handle}/content", read_image),
    Route("/v1/models", list_models),
    Route("/v1/models/{slug}", show_model),
]
