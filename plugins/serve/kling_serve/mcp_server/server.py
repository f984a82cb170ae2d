"""The server of the protocol, over streamable HTTP and over standard input and output.

A job is also a task, for clients of 2025-11-25 that ask for one, and later ones with the extension of tasks (SEP-2663).
Such a client receives a task instead of a result, and asks for it until it has ended. The id of a task is the handle of
its job, so a task outlives client, session and server, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from starlette.types import Receive, Scope, Send

from kling_adapters import KlingError
from kling_serve.api.jobs import is_running
from kling_serve.app import make_studio, run_studio
from kling_serve.mcp_server.calls import Calls
from kling_serve.mcp_server.tools import JOB_TOOLS
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
_CAPABILITY: Final = types.ServerTasksCapability.model_validate(
    {"list": {}, "requests": {"tools": {"call": {}}}}
)
_MAX_LISTED: Final = 100
_POLL_MS: Final = 2000


@dataclass(frozen=True)
class Tasks(Calls):
    """The calls of one client, whose jobs are also tasks.

    Attributes:
        context: The request, and what the client can do.

    """

    context: Any

    @property
    def _is_task_version(self) -> bool:
        """True if the protocol of the client has tasks, and needs no extension."""
        return bool(self.context.protocol_version == TASK_VERSION)

    async def call_tool(self, params: types.CallToolRequestParams) -> Any:
        """Call a tool; the result is a task if the client has the extension and the tool starts a job."""
        result: Any = await self.call(params.name, params.arguments or {})
        capabilities = self.context.session.client_capabilities
        knows_tasks = EXTENSION in ((capabilities and capabilities.extensions) or {})
        if params.name in JOB_TOOLS or result.is_error or not knows_tasks:
            return result
        return {"resultType": "task", **self._describe_task(result.structured_content)}

    async def start_task(self, params: types.CallToolRequestParams) -> dict[str, Any]:
        """Call the tool of a model, for a client of 2025-11-25 that asks for a task. Raises MCPError."""
        if params.name in JOB_TOOLS:
            raise MCPError(
                types.METHOD_NOT_FOUND, f"The tool {params.name} cannot be a task. Call it without one."
            )
        result: Any = await self.call(params.name, params.arguments or {})
        if result.is_error:  # the answer has no place for it
            raise MCPError(types.INVALID_PARAMS, result.content[0].text)
        # The client of the SDK refuses a result of a call without content, also that of a task.
        return {"task": self._describe_task(result.structured_content), "content": []}

    async def get_task(self, params: types.GetTaskRequestParams) -> dict[str, Any]:
        """Return a task, with its result for a client with the extension."""
        result: Any = await self.status(params.task_id)
        task = self._describe_task(result.structured_content)
        if task["status"] == "completed" and not self._is_task_version:
            task["result"] = _dump(result)
        return task

    async def wait_for_task(self, params: types.GetTaskRequestParams) -> dict[str, Any]:
        """Wait until a task has ended, however long that takes, and return its result."""
        result: Any = await self.wait(params.task_id)
        while is_running(result.structured_content):
            result = await self.wait(params.task_id)
        return _dump(result) | {"_meta": {"io.modelcontextprotocol/related-task": {"taskId": params.task_id}}}

    async def list_tasks(self, params: types.PaginatedRequestParams) -> dict[str, Any]:
        """Return the newest tasks."""
        listed: Any = await self.list_jobs(_MAX_LISTED)
        return {"tasks": [self._describe_task(job) for job in listed.structured_content["jobs"]]}

    async def cancel_task(self, params: types.GetTaskRequestParams) -> dict[str, Any]:
        """Acknowledge a cancellation. The job continues, because the gateway bills it."""
        await self.status(params.task_id)
        if self._is_task_version:  # the answer would have to say that it is cancelled
            raise MCPError(types.METHOD_NOT_FOUND, "A job cannot be cancelled: the gateway bills it.")
        return {}

    def _describe_task(self, job: Any) -> dict[str, Any]:
        """Return a task, with the names of both versions of the protocol."""
        created = datetime.fromtimestamp(job["created_at"], UTC).isoformat()
        ended = "failed" if job["status"] == "failed" and self._is_task_version else "completed"
        return {
            "taskId": job["job_id"],
            "status": "working" if is_running(job) else ended,
            "statusMessage": f"{job['model']}: {job['status']}, {job['progress']} %",
            "createdAt": created,
            "lastUpdatedAt": datetime.now(UTC).isoformat() if is_running(job) else created,
            **dict.fromkeys(("ttl", "ttlMs")),
            **dict.fromkeys(("pollInterval", "pollIntervalMs"), _POLL_MS),
        }


def _dump(result: Any) -> dict[str, Any]:
    """Return the result of a task, which is an error if its job has failed."""
    dumped: dict[str, Any] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return dumped | {"isError": result.structured_content["status"] == "failed"}


_METHODS: Final[Mapping[str, tuple[type[types.RequestParams], Callable[..., Awaitable[Any]]]]] = {
    "tools/list": (types.PaginatedRequestParams, Tasks.list_tools),
    "tools/call": (types.CallToolRequestParams, Tasks.call_tool),
    "resources/list": (types.PaginatedRequestParams, Tasks.list_resources),
    "resources/read": (types.ReadResourceRequestParams, Tasks.read_resource),
    "tasks/get": (types.GetTaskRequestParams, Tasks.get_task),
    "tasks/result": (types.GetTaskRequestParams, Tasks.wait_for_task),
    "tasks/list": (types.PaginatedRequestParams, Tasks.list_tasks),
    "tasks/cancel": (types.GetTaskRequestParams, Tasks.cancel_task),
}


class JobServer(Server[Any]):
    """The server of an application: its tools, the files of jobs, and jobs as tasks.

    Args:
        studio: The parts of the application.

    """

    def __init__(self, studio: Studio) -> None:
        super().__init__("kling", version=_VERSION, instructions=_INSTRUCTIONS)
        self._studio = studio
        self.extensions[EXTENSION] = {}
        # The results of handlers have the shapes that the SDK knows, and those of 2025-11-25 have no task.
        self.middleware.append(self._start_task)
        for method, (kind, answer) in _METHODS.items():
            self.add_request_handler(method, kind, partial(self._answer, answer))

    def get_capabilities(self, *args: Any, **options: Any) -> types.ServerCapabilities:
        """Return the capabilities, with tasks for versions that have no extensions."""
        capabilities = super().get_capabilities(*args, **options)
        if options.get("protocol_version") is None:
            capabilities.tasks = _CAPABILITY
        return capabilities

    async def _answer(self, answer: Callable[..., Awaitable[Any]], context: Any, params: Any) -> Any:
        """Answer a request of the client with a token, or of the one on standard input and output."""
        request = context.request
        owner = OWNER if request is None else request.state.owner
        try:
            return await answer(Tasks(self._studio, owner, request is None, context), params)
        except KlingError as error:
            raise MCPError(types.INTERNAL_ERROR, str(error)) from None

    async def _start_task(self, ctx: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        is_call = ctx.method == "tools/call" and ctx.protocol_version == TASK_VERSION
        if not is_call or "task" not in (ctx.params or {}):
            return await call_next(ctx)
        params = types.CallToolRequestParams.model_validate(ctx.params, by_name=False)
        return await self._answer(Tasks.start_task, ctx, params)


async def answer_http(studio: Studio, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request over streamable HTTP. No session is kept, so a restart loses none."""
    manager = StreamableHTTPSessionManager(JobServer(studio), json_response=True, stateless=True)
    async with manager.run():
        await manager.handle_request(scope, receive, send)


def run(settings: Settings) -> None:
    """Serve one client on standard input and output, until it closes them. The log goes to standard error."""
    logging.basicConfig()
    asyncio.run(_serve(make_studio(settings)))


async def _serve(studio: Studio) -> None:
    server = JobServer(studio)
    async with run_studio(studio), stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())
