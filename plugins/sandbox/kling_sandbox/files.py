"""Public files: outputs of jobs, uploads, and sample pictures."""

import asyncio
import re
from functools import partial
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from kling_sandbox.bounded import BoundedStore
from kling_sandbox.clock import Clock
from kling_sandbox.errors import GatewayError
from kling_sandbox.jobs import Job
from kling_sandbox.rendering.pictures import Size
from kling_sandbox.rendering.renderer import CONTENT_TYPES
from kling_sandbox.rendering.scenes import SAMPLE_SIZE, draw_sample
from kling_sandbox.uploads import Uploads
from kling_sandbox.workers import Workers

_MAX_DRAWINGS: Final = 2
"""Concurrent drawings: one of the largest size needs 200 MB."""
_DEFAULT_SIZE: Final = "1280x720"
# An upload may be a page or an SVG, whose scripts must not run with the origin of the sandbox.
_UPLOAD_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "x-content-type-options": "nosniff",
}


class Files:
    """Handlers of the paths that need no key; `read` is for the renderer, which needs no request."""

    def __init__(self, jobs: BoundedStore[str, Job], clock: Clock) -> None:
        self._jobs = jobs
        self._clock = clock
        self._drawing = asyncio.Semaphore(_MAX_DRAWINGS)
        self.uploads = Uploads()

    def make_routes(self, workers: Workers) -> list[Route]:
        """Return the routes of the files. `workers` render the output of a job that no request was about."""
        return [
            Route("/media/{name}", partial(self._media, workers)),
            Route("/assets/{name}", self._asset),
            Route("/samples/{name}.png", self._sample),
        ]

    def read(self, url: str) -> bytes | None:
        """Return the file at a URL of this sandbox, or None. Thread-safe."""
        parts = urlsplit(url)
        folder, _, name = unquote(parts.path).removeprefix("/").partition("/")
        if folder == "media" and (output := self._jobs.get(name.partition(".")[0])):
            path = output.output(self._clock.now())
            return path.read_bytes() if path else None
        if folder == "assets" and (file := self.uploads.get(name)):
            return file[1]
        if folder == "samples" and (size := _parse_size(*parse_qs(parts.query).get("size", []))):
            return draw_sample(name.removesuffix(".png"), size)
        return None

    async def _media(self, workers: Workers, request: Request) -> Response:
        request_id, _, suffix = request.path_params["name"].partition(".")
        job = self._jobs.get(request_id)
        # The request history has the address of a file before it is rendered.
        if job and job.keeps_output(self._clock.now()):
            if job.rendered is None:
                workers.start(job)
            await workers.output(job)
        path = job.output(self._clock.now()) if job else None
        if path is None or path.suffix != f".{suffix}":
            raise GatewayError(404, "No such file")
        return FileResponse(path, media_type=CONTENT_TYPES[path.suffix])

    async def _asset(self, request: Request) -> Response:
        file = self.uploads.get(request.path_params["name"])
        if file is None:
            raise GatewayError(404, "No such file")
        content_type, content = file
        return Response(content, media_type=content_type, headers=_UPLOAD_HEADERS)

    async def _sample(self, request: Request) -> Response:
        size = _parse_size(request.query_params.get("size", _DEFAULT_SIZE))
        if size is None:
            raise GatewayError(400, "Invalid size: expected WIDTHxHEIGHT, each from 16 to 2048")
        async with self._drawing:
            picture = await run_in_threadpool(draw_sample, request.path_params["name"], size)
        return Response(picture, media_type="image/png")


def _parse_size(text: str = _DEFAULT_SIZE, *_: str) -> Size | None:
    match = re.fullmatch(SAMPLE_SIZE, text)
    return (int(match[1]), int(match[2])) if match else None
