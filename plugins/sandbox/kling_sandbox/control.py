"""The control interface over HTTP, for tests in other processes and other languages: `/_sandbox/...`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kling_sandbox import bodies
from kling_sandbox.faults import Fault, Faults

if TYPE_CHECKING:
    from kling_sandbox.sandbox import Sandbox

LARGEST_BODY: Final = 1024**2
MOST_FAULTS: Final = 1000


def app(sandbox: Sandbox) -> Starlette:
    """Return the application."""

    async def state(_: Request) -> Response:
        faults = sandbox.faults
        shown = [{**asdict(entry), "secrets": sorted(entry.secrets)} for entry in sandbox.requests]
        return JSONResponse(
            {
                "credits": sandbox.credits,
                "billed": dict(sandbox.billed),
                "seed": faults.seed,
                "faults": [asdict(fault) for fault in faults.faults],
                "requests": shown,
            }
        )

    async def set_faults(request: Request) -> Response:
        body = await _object(request, "faults", "seed")
        given, seed = body.get("faults", []), body.get("seed", sandbox.faults.seed)
        if not isinstance(given, list) or type(seed) is not int:
            raise HTTPException(400, "faults is a list, seed is an integer")
        if len(given) > MOST_FAULTS:
            raise HTTPException(400, f"there can be at most {MOST_FAULTS} faults at a time")
        try:
            sandbox.faults = Faults([Fault.read(fault) for fault in given], seed)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return Response(status_code=204)

    async def advance(request: Request) -> Response:
        seconds = (await _object(request, "advance")).get("advance")
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            raise HTTPException(400, "advance is a number of seconds")
        try:
            sandbox.advance(seconds)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return Response(status_code=204)

    async def openapi(_: Request) -> Response:
        return JSONResponse(sandbox.openapi)

    return Starlette(
        routes=[
            Route("/_sandbox/openapi.json", openapi),
            Route("/_sandbox/state", state),
            Route("/_sandbox/faults", set_faults, methods=["POST"]),
            Route("/_sandbox/clock", advance, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _refused},
    )


async def _object(request: Request, *names: str) -> dict[str, Any]:
    """Return the body. A name that is none of `names` is refused: as a slip it would switch everything off."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A page of any origin may send text without asking; for JSON, its browser asks the sandbox first.
    if content_type != "application/json":
        raise HTTPException(415, "Content-Type must be application/json")
    try:
        document = bodies.read(await bodies.receive_body(request.receive, LARGEST_BODY))
    except bodies.BodyTooLarge:
        raise HTTPException(413, bodies.too_large(LARGEST_BODY)["error"]) from None
    except bodies.ClientGone:
        raise HTTPException(400, "the client went away") from None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise HTTPException(400, "the body must be a JSON object")
    if unknown := document.keys() - set(names):
        raise HTTPException(
            400, f"{', '.join(sorted(unknown))} says nothing here; there is {', '.join(names)}"
        )
    return bodies.with_integers(document)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)
