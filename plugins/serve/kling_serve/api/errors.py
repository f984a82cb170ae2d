"""Errors in the OpenAI shape, with the messages of the adapters."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from kling_adapters import ConfigError, KlingError, ParamsInvalid, RetiredModel, UnknownModel
from kling_serve.claims import KeyInvalid, KeyReused
from kling_serve.ledger import LimitReached

log = logging.getLogger("kling_serve")

API_PATHS: Final = ("/v1/", "/mcp", "/openapi.json")
"""Paths that answer in JSON, also to those who may not use them."""
_MAX_PROBLEMS: Final = 20


class RequestError(HTTPException):
    """A request that cannot be answered.

    Args:
        status: The HTTP status code.
        message: The problem, the expectation, and what to do.
        code: A name for programs.
        param: The field of the request; None if there is no single one.

    """

    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(status, message)
        self.code, self.param = code, param


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer a request whose handler has raised an error."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)  # the client is gone, and reads no answer
    return refuse(request.url.path, describe_error(error))


HANDLERS: Final = dict.fromkeys(
    (Exception, HTTPException, KlingError, ValidationError, ClientDisconnect), answer_error
)
"""The handler of each kind of error that handlers of requests raise."""


def refuse(path: str, error: RequestError) -> Response:
    """Return the response to a request that cannot be answered, in the OpenAI shape for programs.

    Clients of OpenAI repeat what fails with 409, 429 or 5xx, and without a key a submit must not be repeated.
    """
    if not path.startswith(API_PATHS):
        return PlainTextResponse(error.detail, error.status_code, error.headers)
    body = {
        "message": error.detail,
        "type": "server_error" if error.status_code >= 500 else "invalid_request_error",
        "param": error.param,
        "code": error.code,
    }
    return JSONResponse(
        {"error": body}, error.status_code, {"x-should-retry": "false", **(error.headers or {})}
    )


class ContentResponse(FileResponse):
    """A file, or a part of it; for an invalid Range, an error in the OpenAI shape."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file. Raises RequestError."""

        async def send_file(message: Message) -> None:
            if message.get("status", 200) >= 400:
                text = "The Range is invalid: expected bytes=FIRST-LAST within the file."
                error = RequestError(message["status"], text, "invalid_range")
                if size := Headers(scope=message).get("content-range"):
                    error.headers = {"Content-Range": size}
                raise error
            await send(message)

        await super().__call__(scope, receive, send_file)


def describe_error(error: Exception, fields: Mapping[str, str] | None = None) -> RequestError:
    """Return an error for a program.

    Args:
        error: The error.
        fields: Names of fields in the request, by the parameter they became.

    """
    if isinstance(error, RequestError):
        return error
    if isinstance(error, HTTPException):  # no such address or method, or a form that cannot be read
        code = "not_found" if error.status_code in (404, 405) else "invalid_request"
        described = RequestError(error.status_code, f"{error.detail.rstrip('.')}.", code)
        described.headers = error.headers
        return described
    if isinstance(error, ParamsInvalid | ValidationError):
        return _describe_problems(error, fields or {})
    for kind, status, code, param in _KINDS:
        if isinstance(error, kind):
            advice = " GET /v1/models lists the slugs." if code == "model_not_found" else ""
            if status >= 500:
                log.error("a request failed: %s", error)
            return RequestError(status, f"{error}{advice}", code, param)
    return RequestError(
        500, "The request failed for a reason that is in the log of kling-serve.", "internal_error"
    )


_KINDS: Final[tuple[tuple[type[KlingError], int, str, str | None], ...]] = (
    (UnknownModel, 404, "model_not_found", "model"),
    (RetiredModel, 400, "model_retired", "model"),
    (KeyInvalid, 400, "invalid_idempotency_key", None),
    (KeyReused, 409, "idempotency_key_reused", None),
    (LimitReached, 429, "limit_reached", None),
    (ConfigError, 400, "invalid_request", None),
    (KlingError, 502, "gateway_error", None),
)


def _describe_problems(error: ParamsInvalid | ValidationError, fields: Mapping[str, str]) -> RequestError:
    if isinstance(error, ParamsInvalid):
        problems = [(problem.path, str(problem)) for problem in error.problems]
    else:
        pairs = [(".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors()]
        problems = [(path, f"{path}: {text}") for path, text in pairs]
    path = problems[0][0]
    message = f"Nothing was sent: {'; '.join(text for _, text in problems[:_MAX_PROBLEMS])}"
    return RequestError(400, message, "invalid_parameters", fields.get(path, path) or None)
