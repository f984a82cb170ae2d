"""The transport of a caller: any object with the method of a transport of httpx or httpx2."""

from __future__ import annotations

from typing import Any, Protocol

from kling_adapters.errors import ConfigError


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
    if custom is not None and not callable(getattr(custom, method, None)):
        raise ConfigError(
            f"transport is of type {type(custom).__name__}; expected an object with the method {method}, such as a "
            "transport of httpx. Nothing was sent"
        )
