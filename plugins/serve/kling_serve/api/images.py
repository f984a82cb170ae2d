"""`/v1/images/generations`: jobs of image models in the OpenAI shape."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kling_serve.api.bodies import read_body
from kling_serve.api.errors import ContentResponse, RequestError
from kling_serve.api.jobs import describe_job, find_job, show_job, submit
from kling_serve.job import Job, Submission
from kling_serve.studio import Studio, get_studio

WAIT_SECONDS: Final = 50.0
"""Seconds to wait for an image; clients give up after a minute."""
_FORMATS: Final = ("url", "b64_json")


async def create_image(request: Request) -> Response:
    """Submit a job. The answer has the address of its image, or the image itself if base64 is asked for."""
    body, is_form = await read_body(request)
    image_format = body.pop("response_format", None) or "url"
    if image_format not in _FORMATS:
        message = f"response_format: expected {' or '.join(_FORMATS)}. Nothing was sent."
        raise RequestError(400, message, "invalid_parameters", "response_format")
    studio, job = get_studio(request), await submit(request, "image", body, is_form=is_form)
    answer = describe_job(studio, job)
    image = {"url": f"{request.base_url}v1/images/{job.id}/content"}
    if image_format == "b64_json":
        path = await _wait_for_image(studio, job)
        image = {"b64_json": base64.b64encode(await anyio.Path(path).read_bytes()).decode()}
    return JSONResponse({"created": answer["created_at"], "data": [image], "id": job.id})


async def read_image(request: Request) -> Response:
    """Wait for the image of a job, and return it."""
    path = await _wait_for_image(get_studio(request), await find_job(request))
    return ContentResponse(path, filename=path.name, content_disposition_type="inline")


async def _wait_for_image(studio: Studio, job: Job | Submission) -> Path:
    """Return the file of a job. Raises RequestError."""
    job = await studio.jobs.wait(job.id, WAIT_SECONDS) or job
    if job.files:
        return job.files[0]
    if (error := describe_job(studio, job)["error"]) is not None:
        raise RequestError(422, error["message"], error["code"])
    message = f"Job {job.id} is still running. Ask for /v1/images/{job.id}/content, or repeat with the same Idempotency-Key."
    raise RequestError(504, message, "still_running")


ROUTES = [
    Route("/v1/images/generations", create_image, methods=["POST"]),
    Route("/v1/images/{handle}", show_job, methods=["GET"]),
    Route("/v1/images/{handle}/content", read_image, methods=["GET"]),
]
