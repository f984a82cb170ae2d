"""The server of the protocol, over streamable HTTP and over standard input and output."""

from __future__ import annotations

import asyncio
import logging
import sys
from importlib.metadata import version
from typing import Any, Final

from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import (
    ListResourcesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
)

from kling_serve.app import make_studio, run_studio
from kling_serve.mcp_server.calls import Calls
from kling_serve.mcp_server.tasks import TaskServer
from kling_serve.mcp_server.tools import list_tools
from kling_serve.settings import Settings
from kling_serve.studio import Studio

OWNER: Final = "mcp"
"""Name of the client on standard input and output, which has no token."""
MAX_REQUEST: Final = 4 * 1024**2
_INSTRUCTIONS: Final = (
    "Each model is a tool that starts a paid job and returns its id at once. Call `wait` with the id until the status "
    "is completed or failed. A job continues without this session; `list_jobs` finds it again. Never repeat a call of "
    "a model's tool because of a lost answer without the same idempotency_key: it would be billed twice."
)


def make_server(studio: Studio) -> TaskServer:
    """Return the server of an application."""

    def find_calls(context: Any) -> Calls:
        if context.request is None:
            return Calls(studio, OWNER, shows_paths=True)
        return Calls(studio, context.request.state.owner, shows_paths=False)

    async def show_tools(context: Any, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=list_tools(studio.models))

    async def show_resources(context: Any, params: PaginatedRequestParams | None) -> ListResourcesResult:
        return ListResourcesResult(resources=find_calls(context).list_resources())

    async def read_resource(context: Any, params: ReadResourceRequestParams) -> ReadResourceResult:
        return await find_calls(context).read(params.uri)

    return TaskServer(
        "kling",
        find_calls,
        version=version("kling-serve"),
        instructions=_INSTRUCTIONS,
        on_list_tools=show_tools,
        on_list_resources=show_resources,
        on_read_resource=read_resource,
    )


def make_http_manager(studio: Studio) -> StreamableHTTPSessionManager:
    """Return the server for streamable HTTP. No session is kept, so a restart loses none."""
    return StreamableHTTPSessionManager(
        make_server(studio), json_response=True, stateless=True, max_request_body_size=MAX_REQUEST
    )


def run(settings: Settings) -> None:
    """Serve one client on standard input and output, until it closes them. The log goes to standard error."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    asyncio.run(_serve(make_studio(settings)))


async def _serve(studio: Studio) -> None:
    server = make_server(studio)
    async with run_studio(studio), stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())
