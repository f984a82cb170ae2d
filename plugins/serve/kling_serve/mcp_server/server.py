"""The server of the protocol, over streamable HTTP and over standard input and output.

A job is also a task, for clients of 2025-11-25 that ask for one, and later ones with the extension of tasks (SEP-2663).
Such a client receives a task instead of a result, and asks for it until it has ended. The id of a task is the handle of
its job, so a task outlives client, session and server, too.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    CallToolRequestParams,
    CallToolResult,
    GetTaskRequestParams,
    ListResourcesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    ServerCapabilities,
    ServerTasksCapability,
)

from kling_serve.api.jobs import is_running
from kling_serve.app import make_studio, run_studio
from kling_serve.mcp_server.calls import Calls
from kling_serve.mcp_server.tools import JOB_TOOLS, list_tools
from kling_serve.settings import Settings
from kling_serve.studio import Studio

OWNER: Final = "mcp"
"""Name of the client on standard input and output, which has no token."""
EXTENSION: Final = "io.modelcontextprotocol/tasks"
TASK_VERSION: Final = "2025-11-25"
"""The version of the protocol that has tasks without an extension; it cannot tell that a job cannot be cancelled."""
_VERSION: Final = version("kling-serve")
_INSTRUCTIONS: Final = (
    "Each model is a tool that starts a paid job and returns its id at once. Call `wait` with the id until the status "
    "is completed or failed. A job continues without this session; `list_jobs` finds it again. Never repeat a call of "
    "a model's tool because of a lost answer without the same idempotency_key: it would be billed twice."
)
_CAPABILITY: Final = ServerTasksCapability.model_validate({"list": {}, "requests": {"tools": {"call": {}}}})
_MAX_LISTED: Final = 100
_POLL_MS: Final = 2000


class JobServer(Server[Any]):
    """The server of an application: its tools, the files of jobs, and jobs as tasks.

    Args:
        studio: The parts of the application.

    """

    def __init__(self, studio: Studio) -> None:
        super().__init__(
            "kling",
            version=_VERSION,
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_read_resource=self._read_resource,
        )
        self._studio = studio
        self.extensions[EXTENSION] = {}
        # The results of handlers have the shapes that the SDK knows, and those of 2025-11-25 have no task.
        self.middleware.append(self._start_task)
        self.add_request_handler("tasks/get", GetTaskRequestParams, self._get_task)
        self.add_request_handler("tasks/result", GetTaskRequestParams, self._wait_for_task)
        self.add_request_handler("tasks/list", PaginatedRequestParams, self._list_tasks)
        self.add_request_handler("tasks/cancel", GetTaskRequestParams, self._cancel_task)

    def get_capabilities(self, *args: Any, **options: Any) -> ServerCapabilities:
        """Return the capabilities, with tasks for versions that have no extensions."""
        capabilities = super().get_capabilities(*args, **options)
        if options.get("protocol_version") is None:
            capabilities.tasks = _CAPABILITY
        return capabilities

    def _find_calls(self, context: Any) -> Calls:
        """Return the calls of the token of a request."""
        if context.request is None:
            return Calls(self._studio, OWNER, shows_paths=True)
        return Calls(self._studio, context.request.state.owner, shows_paths=False)

    async def _list_tools(self, context: Any, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=list_tools(self._studio.models))

    async def _list_resources(
        self, context: Any, params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        return ListResourcesResult(resources=self._find_calls(context).list_resources())

    async def _read_resource(self, context: Any, params: ReadResourceRequestParams) -> ReadResourceResult:
        return await self._find_calls(context).read(params.uri)

    async def _call_tool(self, context: Any, params: CallToolRequestParams) -> Any:
        """Call a tool; the result is a task if the client has the extension and the tool starts a job."""
        result = await self._find_calls(context).call(params.name, params.arguments or {})
        capabilities = context.session.client_capabilities
        knows_tasks = EXTENSION in ((capabilities and capabilities.extensions) or {})
        if params.name in JOB_TOOLS or result.is_error or not knows_tasks:
            return result
        return {"resultType": "task", **_describe_task(result.structured_content)}

    async def _start_task(self, ctx: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        """Answer a call with a task, for a client of 2025-11-25 that asks for one."""
        is_call = ctx.method == "tools/call" and ctx.protocol_version == TASK_VERSION
        if not is_call or "task" not in (ctx.params or {}):
            return await call_next(ctx)
        params = CallToolRequestParams.model_validate(ctx.params, by_name=False)
        if params.name in JOB_TOOLS:
            raise MCPError(METHOD_NOT_FOUND, f"The tool {params.name} cannot be a task. Call it without one.")
        result = await self._call(ctx, params.name, params.arguments or {})
        # The client of the SDK refuses a result of a call without content, also that of a task.
        return {"task": _describe_task(result.structured_content), "content": []}

    async def _get_task(self, context: Any, params: GetTaskRequestParams) -> dict[str, Any]:
        result = await self._show_job(context, "status", params)
        task = _describe_task(result.structured_content)
        if context.protocol_version == TASK_VERSION:
            return {**task, "status": "failed"} if result.is_error else task
        if task["status"] == "completed":
            task["result"] = _dump(result)
        return task

    async def _wait_for_task(self, context: Any, params: GetTaskRequestParams) -> dict[str, Any]:
        """Wait until a task has ended, however long that takes, and return its result."""
        while is_running((result := await self._show_job(context, "wait", params)).structured_content):
            pass
        return _dump(result) | {"_meta": {"io.modelcontextprotocol/related-task": {"taskId": params.task_id}}}

    async def _list_tasks(self, context: Any, params: PaginatedRequestParams) -> dict[str, Any]:
        listed = await self._call(context, "list_jobs", {"limit": _MAX_LISTED})
        return {"tasks": [_describe_task(job) for job in listed.structured_content["jobs"]]}

    async def _cancel_task(self, context: Any, params: GetTaskRequestParams) -> dict[str, Any]:
        """Acknowledge a cancellation. The job continues, because the gateway bills it."""
        await self._show_job(context, "status", params)
        if context.protocol_version == TASK_VERSION:  # the answer would have to say that it is cancelled
            raise MCPError(METHOD_NOT_FOUND, "A job cannot be cancelled: the gateway bills it.")
        return {}

    async def _show_job(self, context: Any, tool: str, params: GetTaskRequestParams) -> Any:
        """Return the answer of a tool about a job as the result of the job, which is an error if it has failed."""
        result = await self._call(context, tool, {"job_id": params.task_id})
        result.is_error = result.structured_content["status"] == "failed"
        return result

    async def _call(self, context: Any, tool: str, arguments: dict[str, Any]) -> Any:
        """Return the result of a tool. Raises MCPError for an error, which no answer about a task has a place for."""
        result: Any = await self._find_calls(context).call(tool, arguments)
        if result.is_error:
            raise MCPError(INVALID_PARAMS, result.content[0].text)
        return result


def _describe_task(job: Any) -> dict[str, Any]:
    """Return a task, with the names of both versions of the protocol."""
    created = datetime.fromtimestamp(job["created_at"], UTC).isoformat()
    return {
        "taskId": job["job_id"],
        "status": "working" if is_running(job) else "completed",
        "statusMessage": f"{job['model']}: {job['status']}, {job['progress']} %",
        "createdAt": created,
        "lastUpdatedAt": datetime.now(UTC).isoformat() if is_running(job) else created,
        **dict.fromkeys(("ttl", "ttlMs")),
        **dict.fromkeys(("pollInterval", "pollIntervalMs"), _POLL_MS),
    }


def _dump(result: CallToolResult) -> dict[str, Any]:
    return result.model_dump(by_alias=True, mode="json", exclude_none=True)


def make_http_manager(studio: Studio) -> StreamableHTTPSessionManager:
    """Return the server for streamable HTTP. No session is kept, so a restart loses none."""
    return StreamableHTTPSessionManager(JobServer(studio), json_response=True, stateless=True)


def run(settings: Settings) -> None:
    """Serve one client on standard input and output, until it closes them. The log goes to standard error."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    asyncio.run(_serve(make_studio(settings)))


async def _serve(studio: Studio) -> None:
    server = JobServer(studio)
    async with run_studio(studio), stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())
