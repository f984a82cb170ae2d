"""`/mcp`: the Model Context Protocol over HTTP, if the extra `mcp` is installed."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from kling_serve.api.errors import RequestError
from kling_serve.studio import Studio

_MISSING = "The Model Context Protocol is not available: pip install 'kling-serve[mcp]'."


class McpEndpoint:
    """An application that imports the SDK for its first request, because that takes longer than all others together.

    Args:
        studio: The parts of the application.

    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._needed, self._ready = asyncio.Event(), asyncio.Event()
        self._handler: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if importlib.util.find_spec("mcp") is None:
            raise RequestError(501, _MISSING, "not_installed")
        self._needed.set()
        await self._ready.wait()
        assert self._handler is not None
        await self._handler(scope, receive, send)

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Answer requests until the block ends."""
        task = asyncio.create_task(self._serve())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _serve(self) -> None:
        await self._needed.wait()
        server: Any = await asyncio.to_thread(importlib.import_module, "kling_serve.mcp_server.server")
        manager = server.make_http_manager(self._studio)
        async with manager.run():
            self._handler = manager.handle_request
            self._ready.set()
            await asyncio.Event().wait()
