"""`/v1/videos`: jobs of video models in the OpenAI shape."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kling_serve.api.bodies import read_body
from kling_serve.api.errors import ContentResponse, RequestError, answers_errors
from kling_serve.api.jobs import describe_job, find_job, find_output, is_deleted, mark_deleted, submit
from kling_serve.studio import get_studio

MAX_LISTED: Final = 100


@answers_errors
async def create_video(request: Request) -> Response:
    """Submit a job; the answer has its handle."""
    studio = get_studio(request)
    body, is_form = await read_body(request)
    handle = await submit(request, studio, "video", body, is_form=is_form)
    return JSONResponse(describe_job(studio, handle, await studio.jobs.find(handle)))


@answers_errors
async def show_video(request: Request) -> Response:
    """Return a job."""
    studio = get_studio(request)
    return JSONResponse(describe_job(studio, *await find_job(request, studio, "video")))


@answers_errors
async def list_videos(request: Request) -> Response:
    """List the jobs of the token, the newest first."""
    studio, query = get_studio(request), request.query_params
    limit, order, after = query.get("limit", "20"), query.get("order", "desc"), query.get("after")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MAX_LISTED):
        raise RequestError(400, f"limit: expected 1 to {MAX_LISTED}.", "invalid_parameters", "limit")
    if order not in ("asc", "desc"):
        raise RequestError(400, "order: expected asc or desc.", "invalid_parameters", "order")
    await studio.jobs.watch.refresh()
    jobs = {
        handle: job
        for handle, job in studio.submits.list_jobs(request.state.owner).items()
        if find_output(studio, job) == "video" and not is_deleted(studio, handle)
    }
    handles = [*jobs] if order == "asc" else [*jobs][::-1]
    if after is not None:
        if after not in jobs:
            raise RequestError(400, "after: expected the id of a job.", "invalid_parameters", "after")
        handles = handles[handles.index(after) + 1 :]
    page = [describe_job(studio, handle, jobs[handle]) for handle in handles[: int(limit)]]
    return JSONResponse(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(handles) > len(page),
        }
    )


@answers_errors
async def read_video(request: Request) -> Response:
    """Return the file of a job; a part of it for a request with a Range."""
    studio = get_studio(request)
    if request.query_params.get("variant", "video") != "video":
        raise RequestError(400, "variant: only the video is available.", "invalid_parameters", "variant")
    handle, job = await find_job(request, studio, "video")
    if job is None or not job.files:
        status = describe_job(studio, handle, job)["status"]
        raise RequestError(409, f"There is no file; the job is {status}.", "not_ready")
    return ContentResponse(job.files[0], filename=job.files[0].name)


@answers_errors
async def delete_video(request: Request) -> Response:
    """Delete the files of a job that has ended. Its entry stays in the journal."""
    studio = get_studio(request)
    handle, job = await find_job(request, studio, "video")
    if job is None or describe_job(studio, handle, job)["status"] in ("queued", "in_progress"):
        message = (
            "The job is running and cannot be cancelled: the gateway bills it. Delete it when it has ended."
        )
        raise RequestError(409, message, "not_ready")
    mark_deleted(studio, handle)
    for path in job.files:
        path.unlink(missing_ok=True)
    return JSONResponse({"id": handle, "object": "video.deleted", "deleted": True})


ROUTES = [
    Route("/v1/videos", create_video, methods=["POST"]),
    Route("/v1/videos", list_videos, methods=["GET"]),
    Route("/v1/videos/{handle}", show_video, methods=["GET"]),
    Route("/v1/videos/{handle}", delete_video, methods=["DELETE"]),
    Route("/v1/videos/{handle}/content", read_video, methods=["GET"]),
]
