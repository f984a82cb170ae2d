"""Jobs as tasks, for clients that declare the extension `io.modelcontextprotocol/tasks` (SEP-2663).

Such a client receives a task instead of a result, and asks for it until it has ended. The id of a task is the handle of
its job, so a task outlives client, session and server, too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from mcp.server.lowlevel import Server
from mcp_types import CallToolRequestParams, RequestParams

from kling_serve.mcp_server.calls import Calls
from kling_serve.mcp_server.tools import JOB_TOOLS

EXTENSION: Final = "io.modelcontextprotocol/tasks"
_POLL_MS: Final = 2000


class TaskParams(RequestParams):
    """The parameters of the requests about one task."""

    task_id: str


class Tasks:
    """The requests about tasks.

    Args:
        find_calls: Returns the calls of the token of a request.

    """

    def __init__(self, find_calls: Callable[[Any], Calls]) -> None:
        self._find_calls = find_calls

    def add_to(self, server: Server[Any]) -> None:
        """Let a server answer requests about tasks, and declare it."""
        server.extensions[EXTENSION] = {}
        server.add_request_handler("tasks/get", TaskParams, self._get)
        server.add_request_handler("tasks/cancel", TaskParams, self._cancel)

    async def call(self, context: Any, calls: Calls, params: CallToolRequestParams) -> Any:
        """Call a tool; the result is a task if the client knows tasks and the tool starts a job."""
        capabilities = context.session.client_capabilities
        if params.name in JOB_TOOLS or EXTENSION not in ((capabilities and capabilities.extensions) or {}):
            return await calls.call(params.name, params.arguments or {})
        result = await calls.call(params.name, params.arguments or {})
        if result.is_error:
            return result
        return {"resultType": "task", **_describe(result.structured_content)}

    async def _get(self, context: Any, params: TaskParams) -> dict[str, Any]:
        calls = self._find_calls(context)
        result = await calls.show(await calls.check(params.task_id))
        task = _describe(result.structured_content)
        if task["status"] == "completed":
            result.is_error = result.structured_content["status"] == "failed"
            task["result"] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        return task

    async def _cancel(self, context: Any, params: TaskParams) -> dict[str, Any]:
        """Acknowledge a cancellation. The job continues, because the gateway bills it."""
        await self._find_calls(context).check(params.task_id)
        return {}


def _describe(job: dict[str, Any]) -> dict[str, Any]:
    created = datetime.fromtimestamp(job["created_at"], UTC).isoformat()
    is_running = job["status"] in ("queued", "in_progress")
    return {
        "taskId": job["job_id"],
        "status": "working" if is_running else "completed",
        "statusMessage": f"{job['model']}: {job['status']}, {job['progress']} %",
        "createdAt": created,
        "lastUpdatedAt": datetime.now(UTC).isoformat() if is_running else created,
        "ttlMs": None,
        "pollIntervalMs": _POLL_MS,
    }
