"""Answers other than success, in the forms that the gateway gives them."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response


class GatewayError(Exception):
    """An answer other than success, with the gateway's body for errors."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        """`more` goes into the body beside the message."""
        super().__init__(message)
        self.status = status
        self.body = {"error": message, **more}
        self.headers = headers


async def answer_gateway_error(_: Request, error: Exception) -> Response:
    """Answer what a handler refused."""
    assert isinstance(error, GatewayError)
    return JSONResponse(error.body, error.status, headers=error.headers)


async def answer_http_error(_: Request, error: Exception) -> Response:
    """Answer what the router refused: with a page if the verb is wrong."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        page = "<!doctype html>\n<title>405 Method Not Allowed</title>\n<h1>Method Not Allowed</h1>\n"
        return HTMLResponse(page, 405, headers=error.headers)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def answer_get_only(_: Request) -> Response:
    """Refuse a verb at an address that only GET is for."""
    raise HTTPException(405, headers={"Allow": "GET, HEAD"})
