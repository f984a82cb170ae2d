"""The transport of a caller: any object with the method of a transport of httpx or httpx2."""

from __future__ import annotations

from inspect import isawaitable
from typing import Any, Protocol

from kling_adapters.errors import ConfigError


class NotAResponse(Exception):
    """The transport of a caller returned something else than a response; the request may have been sent."""


class GatewayTransport(Protocol):
    """A transport of `Kling`, such as a transport of httpx or httpx2."""

    def handle_request(self, request: Any, /) -> Any:
        """Send an `httpx.Request`, or that of httpx2, and return the `Response` of the same library."""
        ...


class AsyncGatewayTransport(Protocol):
    """A transport of `AsyncKling`, such as an asynchronous transport of httpx or httpx2."""

    async def handle_async_request(self, request: Any, /) -> Any:
        """Send an `httpx.Request`, or that of httpx2, and return the `Response` of the same library."""
        ...


def check_transport(custom: object, method: str) -> None:
    """Raise ConfigError for a transport of a caller that lacks the method."""
    if isinstance(custom, type):
        raise ConfigError(
            f"transport is the class {custom.__name__}; expected an object, such as {custom.__name__}(...). "
            "Nothing was sent"
        )
    if custom is not None and not callable(getattr(custom, method, None)):
        raise ConfigError(
            f"transport is of type {type(custom).__name__}; expected an object with the method {method}, such as a "
            "transport of httpx. Nothing was sent"
        )


def send_request(transport: GatewayTransport, request: Any) -> Any:
    """Return the response of a transport. Raises NotAResponse."""
    return _check_response(transport.handle_request(request), "iter_raw")


async def send_request_async(transport: AsyncGatewayTransport, request: Any) -> Any:
    """Return the response of an asynchronous transport. Raises NotAResponse."""
    response: Any = transport.handle_async_request(request)
    # The caller may have written a plain function.
    return _check_response(await response if isawaitable(response) else response, "aiter_raw")


def _check_response(response: Any, method: str) -> Any:
    if not callable(getattr(response, method, None)):
        raise NotAResponse(
            f"the transport returned an object of type {type(response).__name__}; expected a Response of httpx or httpx2"
        )
    return response
