"""The control interface at `/_sandbox/...`, for tests in other processes and other languages."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kling_sandbox import bodies
from kling_sandbox.faults import Fault, Faults
from kling_sandbox.record import ReceivedRequest

MAX_BODY: Final = 1024**2
MAX_FAULTS: Final = 1000


class ControlledSandbox(Protocol):
    """The part of a sandbox that the control interface uses."""

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """The received requests."""
        ...

    @property
    def billed(self) -> Mapping[str, float]:
        """The cost of each job."""
        ...

    @property
    def credits(self) -> float:
        """The balance."""
        ...

    @property
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        ...

    @property
    def faults(self) -> Faults:
        """The current faults."""
        ...

    @faults.setter
    def faults(self, faults: Faults) -> None: ...

    def advance(self, seconds: float) -> None:
        """Advance the clock."""
        ...

    def delay_history(self, delay: float | Sequence[float], request_id: str | None = None) -> None:
        """Set the delay of the history."""
        ...


class Control:
    """The handlers of the control interface."""

    def __init__(self, sandbox: ControlledSandbox) -> None:
        self._sandbox = sandbox

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route("/_sandbox/openapi.json", self._openapi),
                Route("/_sandbox/state", self._state),
                Route("/_sandbox/faults", self._set_faults, methods=["POST"]),
                Route("/_sandbox/clock", self._advance, methods=["POST"]),
                Route("/_sandbox/history", self._delay_history, methods=["POST"]),
            ],
            exception_handlers={HTTPException: _respond_to_error},
        )

    async def _openapi(self, _: Request) -> Response:
        return JSONResponse(self._sandbox.openapi)

    async def _state(self, _: Request) -> Response:
        faults = self._sandbox.faults
        entries = self._sandbox.requests
        return JSONResponse(
            {
                "credits": self._sandbox.credits,
                "billed": dict(self._sandbox.billed),
                "seed": faults.seed,
                "faults": [asdict(fault) for fault in faults.faults],
                "requests": [{**asdict(entry), "secrets": sorted(entry.secrets)} for entry in entries],
            }
        )

    async def _set_faults(self, request: Request) -> Response:
        body = await _read_object(request, "faults", "seed")
        faults, seed = body.get("faults", []), body.get("seed", self._sandbox.faults.seed)
        if not isinstance(faults, list) or type(seed) is not int:
            raise HTTPException(400, "faults must be a list, seed an integer")
        if len(faults) > MAX_FAULTS:
            raise HTTPException(400, f"too many faults ({len(faults)}, at most {MAX_FAULTS})")
        try:
            self._sandbox.faults = Faults([Fault.read(fault) for fault in faults], seed)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return Response(status_code=204)

    async def _delay_history(self, request: Request) -> Response:
        body = await _read_object(request, "delay", "request_id")
        delay, request_id = body.get("delay"), body.get("request_id")
        delays: list[Any] = delay if isinstance(delay, list) else [delay]
        if not all(isinstance(seconds, int | float) and not isinstance(seconds, bool) for seconds in delays):
            raise HTTPException(400, "delay must be a number of seconds, or a list of them")
        if not isinstance(request_id, str | None):
            raise HTTPException(400, "request_id must be the id of a job")
        try:
            self._sandbox.delay_history(delays, request_id)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        except LookupError as error:
            raise HTTPException(404, str(error)) from None
        return Response(status_code=204)

    async def _advance(self, request: Request) -> Response:
        seconds = (await _read_object(request, "advance")).get("advance")
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            raise HTTPException(400, "advance must be a number of seconds")
        try:
            self._sandbox.advance(seconds)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return Response(status_code=204)


async def _read_object(request: Request, *names: str) -> dict[str, Any]:
    """Return the JSON object of a body. Unknown members are refused, because a typing error would remove all faults."""
    # A page of any origin can send text/plain without a preflight request, but not JSON.
    if bodies.read_content_type(request.headers) != "application/json":
        raise HTTPException(415, "Content-Type must be application/json")
    try:
        document = bodies.parse_json(await bodies.receive_body(request.receive, MAX_BODY))
    except bodies.BodyTooLarge:
        raise HTTPException(413, bodies.make_too_large_body(MAX_BODY)["error"]) from None
    except bodies.ClientDisconnected:
        raise HTTPException(400, "the client disconnected") from None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise HTTPException(400, "the body must be a JSON object")
    if unknown := document.keys() - set(names):
        raise HTTPException(
            400, f"unknown members: {', '.join(sorted(unknown))}; expected {', '.join(names)}"
        )
    return bodies.to_integers(document)


async def _respond_to_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)
