"""`/v1/videos`: jobs of video models in the OpenAI shape."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kling_serve.api.bodies import read_body
from kling_serve.api.errors import ContentResponse, RequestError
from kling_serve.api.jobs import describe_job, find_job, find_output, is_running, show_job, submit
from kling_serve.job import Submission
from kling_serve.studio import get_studio


class Page(BaseModel):
    """The query of the list."""

    limit: int = Field(default=20, ge=1, le=100)
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None


async def create_video(request: Request) -> Response:
    """Submit a job; the answer has its handle."""
    body, is_form = await read_body(request)
    job = await submit(request, "video", body, is_form=is_form)
    return JSONResponse(describe_job(get_studio(request), job))


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


async def read_video(request: Request) -> Response:
    """Return the file of a job; a part of it for a request with a Range."""
    if request.query_params.get("variant", "video") != "video":
        raise RequestError(400, "variant: only the video is available.", "invalid_parameters", "variant")
    job = await find_job(request)
    if not job.files:
        status = describe_job(get_studio(request), job)["status"]
        raise RequestError(409, f"There is no file; the job is {status}.", "not_ready")
    return ContentResponse(job.files[0], filename=job.files[0].name)


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


ROUTES = [
    Route("/v1/videos", create_video, methods=["POST"]),
    Route("/v1/videos", list_videos, methods=["GET"]),
    Route("/v1/videos/{handle}", show_job, methods=["GET"]),
    Route("/v1/videos/{handle}", delete_video, methods=["DELETE"]),
    Route("/v1/videos/{handle}/content", read_video, methods=["GET"]),
]
