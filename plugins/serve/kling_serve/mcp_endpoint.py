"""`/mcp`: the Model Context Protocol over HTTP, if the extra `mcp` is installed."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send

from kling_serve.api.errors import RequestError
from kling_serve.studio import Studio

_MISSING = "The Model Context Protocol is not available: pip install 'kling-serve[mcp]'."


@dataclass(frozen=True)
class McpEndpoint:
    """An application that imports the SDK for its first request, because that takes longer than all others together.

    Each request has a server of its own: no session is kept between requests, so nothing has to run between them.

    Attributes:
        studio: The parts of the application.

    """

    studio: Studio

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if importlib.util.find_spec("mcp") is None:
            raise RequestError(501, _MISSING, "not_installed")
        server: Any = await asyncio.to_thread(importlib.import_module, "kling_serve.mcp_server.server")
        await server.answer_http(self.studio, scope, receive, send)
