"""Jobs as tasks, for clients of 2025-11-25 that ask for one, and later ones with the extension of tasks (SEP-2663).

Such a client receives a task instead of a result, and asks for it until it has ended. The id of a task is the handle of
its job, so a task outlives client, session and server, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    CallToolRequestParams,
    PaginatedRequestParams,
    RequestParams,
    ServerCapabilities,
    ServerTasksCapability,
)
from pydantic import ValidationError

from kling_adapters import KlingError
from kling_serve.api.errors import describe_error
from kling_serve.mcp_server.calls import Calls
from kling_serve.mcp_server.tools import JOB_TOOLS, MAX_WAIT

EXTENSION: Final = "io.modelcontextprotocol/tasks"
VERSION: Final = "2025-11-25"
"""The version of the protocol that has tasks without an extension; it cannot tell that a job cannot be cancelled."""
_CAPABILITY: Final[dict[str, Any]] = {"list": {}, "requests": {"tools": {"call": {}}}}
_MAX_LISTED: Final = 100
_POLL_MS: Final = 2000


class TaskParams(RequestParams):
    """The parameters of the requests about one task."""

    task_id: str


class TaskServer(Server[Any]):
    """A server that answers requests about tasks.

    Args:
        name: The name of the server.
        find_calls: Returns the calls of the token of a request.
        **options: Other arguments of the server.

    """

    def __init__(self, name: str, find_calls: Callable[[Any], Calls], **options: Any) -> None:
        super().__init__(name, on_call_tool=self._call, **options)
        self._find_calls = find_calls
        self.extensions[EXTENSION] = {}
        # The results of handlers have the shapes that the SDK knows, and those of 2025-11-25 have no task.
        self.middleware.append(self._start_task)
        self.add_request_handler("tasks/get", TaskParams, self._get)
        self.add_request_handler("tasks/result", TaskParams, self._wait)
        self.add_request_handler("tasks/list", PaginatedRequestParams, self._list)
        self.add_request_handler("tasks/cancel", TaskParams, self._cancel)

    def get_capabilities(self, *args: Any, **options: Any) -> ServerCapabilities:
        """Return the capabilities, with tasks for versions that have no extensions."""
        capabilities = super().get_capabilities(*args, **options)
        if options.get("protocol_version") is None:
            capabilities.tasks = ServerTasksCapability.model_validate(_CAPABILITY)
        return capabilities

    async def _call(self, context: Any, params: CallToolRequestParams) -> Any:
        """Call a tool; the result is a task if the client has the extension and the tool starts a job."""
        result = await self._find_calls(context).call(params.name, params.arguments or {})
        capabilities = context.session.client_capabilities
        if params.name in JOB_TOOLS or EXTENSION not in ((capabilities and capabilities.extensions) or {}):
            return result
        return result if result.is_error else {"resultType": "task", **_describe(result.structured_content)}

    async def _start_task(self, ctx: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        """Answer a call with a task, for a client of 2025-11-25 that asks for one."""
        is_call = ctx.method == "tools/call" and ctx.protocol_version == VERSION
        if not is_call or "task" not in (ctx.params or {}):
            return await call_next(ctx)
        params, calls = CallToolRequestParams.model_validate(ctx.params, by_name=False), self._find_calls(ctx)
        if params.name in JOB_TOOLS:
            raise MCPError(METHOD_NOT_FOUND, f"The tool {params.name} cannot be a task. Call it without one.")
        try:
            result = await calls.show(await calls.submit(params.name, params.arguments or {}))
        except (KlingError, ValidationError) as error:
            raise MCPError(INVALID_PARAMS, describe_error(error).detail) from None
        # The client of the SDK refuses a result of a call without content, also that of a task.
        return {"task": _describe(result.structured_content), "content": []}

    async def _get(self, context: Any, params: TaskParams) -> dict[str, Any]:
        result = await self._show(context, params.task_id)
        task = _describe(result.structured_content)
        if context.protocol_version == VERSION:
            return {**task, "status": "failed"} if result.is_error else task
        if task["status"] == "completed":
            task["result"] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        return task

    async def _wait(self, context: Any, params: TaskParams) -> dict[str, Any]:
        """Wait until a task has ended, however long that takes, and return its result."""
        while _is_running((result := await self._show(context, params.task_id)).structured_content):
            await self._find_calls(context).studio.jobs.wait(params.task_id, MAX_WAIT)
        answer: dict[str, Any] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        return answer | {"_meta": {"io.modelcontextprotocol/related-task": {"taskId": params.task_id}}}

    async def _list(self, context: Any, params: PaginatedRequestParams) -> dict[str, Any]:
        listed = await self._find_calls(context).call("list_jobs", {"limit": _MAX_LISTED})
        return {"tasks": [_describe(job) for job in (listed.structured_content or {})["jobs"]]}

    async def _cancel(self, context: Any, params: TaskParams) -> dict[str, Any]:
        """Acknowledge a cancellation. The job continues, because the gateway bills it."""
        await self._find_calls(context).check(params.task_id)
        if context.protocol_version == VERSION:  # the answer would have to say that it is cancelled
            raise MCPError(METHOD_NOT_FOUND, "A job cannot be cancelled: the gateway bills it.")
        return {}

    async def _show(self, context: Any, task_id: str) -> Any:
        """Return the state of a job as the result of its call, an error if it has failed."""
        calls = self._find_calls(context)
        result = await calls.show(await calls.check(task_id))
        result.is_error = (result.structured_content or {})["status"] == "failed"
        return result


def _is_running(job: Any) -> bool:
    return job["status"] in ("queued", "in_progress")


def _describe(job: Any) -> dict[str, Any]:
    """Return a task, with the names of both versions of the protocol."""
    created = datetime.fromtimestamp(job["created_at"], UTC).isoformat()
    return {
        "taskId": job["job_id"],
        "status": "working" if _is_running(job) else "completed",
        "statusMessage": f"{job['model']}: {job['status']}, {job['progress']} %",
        "createdAt": created,
        "lastUpdatedAt": datetime.now(UTC).isoformat() if _is_running(job) else created,
        **dict.fromkeys(("ttl", "ttlMs")),
        **dict.fromkeys(("pollInterval", "pollIntervalMs"), _POLL_MS),
    }
