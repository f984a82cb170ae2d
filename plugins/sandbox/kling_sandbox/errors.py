"""Error responses, in the forms of the gateway."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response


class GatewayError(Exception):
    """An error response with the JSON body of the gateway; `more` are members beside the message."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": message, **more}
        self.headers = headers


async def respond_to_gateway_error(_: Request, error: Exception) -> Response:
    """Return the response of an error that a handler raised."""
    assert isinstance(error, GatewayError)
    return JSONResponse(error.body, error.status, headers=error.headers)


async def respond_to_http_error(_: Request, error: Exception) -> Response:
    """Return the response of an error that the router raised: an HTML page for a wrong method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        page = "<!doctype html>\n<title>405 Method Not Allowed</title>\n<h1>Method Not Allowed</h1>\n"
        return HTMLResponse(page, 405, headers=error.headers)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def refuse_method(_: Request) -> Response:
    """Refuse any method but GET."""
    raise HTTPException(405, headers={"Allow": "GET, HEAD"})
