"""Uploads from browsers, and the stored files of jobs."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from kling_serve.studio import get_studio
from kling_serve.uploads import UploadTooLarge
from kling_serve.views import format_size

SAFE_TYPES = {
    ".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime", ".png": "image/png",
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif",
    ".mp3": "audio/mpeg", ".wav": "audio/wav", ".m4a": "audio/mp4", ".ogg": "audio/ogg", ".aac": "audio/aac",
}  # fmt: skip
"""Types that a browser shows without running anything in them; any other file is downloaded."""


async def upload(request: Request) -> Response:
    """Store the body of the request, whose name is in a header, and respond with the id of the upload."""
    studio = get_studio(request)
    limit = studio.settings.max_upload_bytes
    message = f"The file is too large; expected at most {format_size(limit)}. It was not stored."
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > limit:
        return JSONResponse({"error": message}, 413)
    try:
        stored = await studio.uploads.store(
            unquote(request.headers.get("x-file-name", ""))[:200], request.stream()
        )
    except UploadTooLarge:
        return JSONResponse({"error": message}, 413, headers={"Connection": "close"})
    except ClientDisconnect:
        return Response(status_code=400)
    return JSONResponse({"id": stored.id, "size": stored.size, "text": format_size(stored.size)})


async def show_upload(request: Request) -> Response:
    """Respond with an upload, for its preview."""
    path = get_studio(request).uploads.find(request.path_params["upload_id"])
    return PlainTextResponse("There is no such upload.", 404) if path is None else respond_with_file(path)


async def show_file(request: Request) -> Response:
    """Respond with a stored file of a job, or a part of it."""
    job = await get_studio(request).jobs.find(request.path_params["job_id"])
    files = job.files[request.path_params["number"] :] if job is not None else ()
    if not files or not files[0].is_file():
        return PlainTextResponse("The job has no such file on this machine.", 404)
    return respond_with_file(files[0], is_download="download" in request.query_params)


def respond_with_file(path: Path, *, is_download: bool = False) -> Response:
    """Return the response with a file, of which a browser may ask for a part."""
    content_type = SAFE_TYPES.get(path.suffix.lower())
    kind = "attachment" if is_download or content_type is None else "inline"
    return FileResponse(
        path,
        media_type=content_type or "application/octet-stream",
        filename=path.name,
        content_disposition_type=kind,
        headers={"Cache-Control": "private, max-age=86400"},
    )


ROUTES = [
    Route("/uploads", upload, methods=["POST"]),
    Route("/uploads/{upload_id}", show_upload),
    Route("/jobs/{job_id}/files/{number:int}", show_file),
]
