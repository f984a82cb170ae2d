"""The tools of `kling mcp` and /mcp, with the SDK's own client: in memory, over HTTP, and over standard input and output."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx
import httpx2
import pytest
from kling_sandbox import Fault, Sandbox
from kling_serve.api.routes import WAIT_SECONDS
from kling_serve.app import make_studio, run_studio
from kling_serve.mcp_server.server import EXTENSION, OWNER, JobServer
from kling_serve.settings import Settings
from kling_serve.tokens import Limits, Token
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    CancelTaskRequest,
    CancelTaskRequestParams,
    CreateTaskResult,
    GetTaskPayloadRequest,
    GetTaskPayloadRequestParams,
    GetTaskRequest,
    GetTaskRequestParams,
    GetTaskResult,
    ListTasksRequest,
    ListTasksResult,
    Result,
    TaskMetadata,
    ToolExecution,
)

from kling_adapters import load_catalog
from kling_adapters.testing import PNG
from tests.support.serving import ALICE, BOB, count_submits, make_settings, open_http, serve_app

pytestmark = pytest.mark.anyio
PROMPT = {"prompt": "A lighthouse in fog"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def gateway() -> Any:
    with Sandbox(timing="polls:1") as running:
        yield running


@asynccontextmanager
async def open_client(settings: Settings, **options: Any) -> AsyncGenerator[Client]:
    """Open a client in memory, of a session of its own."""
    studio = make_studio(settings)
    async with run_studio(studio), Client(JobServer(studio), **options) as client:
        yield client


def limit(settings: Settings, **limits: Any) -> Settings:
    return replace(settings, tokens=(Token(OWNER, "", Limits(**limits)),))


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert json.loads(result.content[0].text).items() <= result.structured_content.items()  # type: ignore[union-attr]
    body: dict[str, Any] = result.structured_content
    return body


async def call_in_vain(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content[0].text)  # type: ignore[union-attr]


async def test_every_model_is_a_tool(gateway: Sandbox, tmp_path: Path) -> None:
    async with open_client(make_settings(gateway, tmp_path)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert {name.replace("_", ".") for name in tools if name.startswith("kling")} == {*load_catalog()}
    turbo = tools["kling-2_5-turbo"]
    assert turbo.input_schema["required"] == ["prompt"]
    assert "x-kling" not in json.dumps(turbo.input_schema)
    assert "wait" in str(turbo.description)
    wait = tools["wait"]
    assert wait.input_schema["properties"]["seconds"]["maximum"] == WAIT_SECONDS
    assert f"{WAIT_SECONDS:g} seconds" in str(wait.description)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_job_runs_to_its_file(
    gateway: Sandbox, tmp_path: Path, mode: Literal["auto", "legacy"]
) -> None:
    async with open_client(make_settings(gateway, tmp_path), mode=mode) as client:
        job = await call(client, "kling-2", **PROMPT)
        assert (job["status"], job["next"]) == ("queued", "Call `wait` with this job_id.")
        job = await call(client, "wait", job_id=job["job_id"])
        assert (job["status"], job["progress"]) == ("completed", 100)
        assert await anyio.Path(job["paths"][0]).is_file()
        assert job["files"] == [resource.uri for resource in (await client.list_resources()).resources]
        contents = (await client.read_resource(job["files"][0])).contents[0]
        assert base64.b64decode(contents.blob)[4:8] == b"ftyp"  # type: ignore[union-attr]
        assert contents.mime_type == "video/mp4"
        assert [listed["job_id"] for listed in (await call(client, "list_jobs"))["jobs"]] == [job["job_id"]]


async def test_wait_returns_with_a_handle_and_another_session_finds_the_job(tmp_path: Path) -> None:
    with Sandbox(timing="polls:1000") as gateway:
        settings = make_settings(gateway, tmp_path)
        async with open_client(settings) as client:
            job = await call(client, "kling-2", **PROMPT)
            with anyio.fail_after(20):
                waited = await call(client, "wait", job_id=job["job_id"], seconds=0.1)
        assert (waited["status"], waited["job_id"]) == ("queued", job["job_id"])
        async with open_client(settings) as client:
            assert (await call(client, "status", job_id=job["job_id"]))["job_id"] == job["job_id"]
            assert len((await call(client, "list_jobs"))["jobs"]) == 1
    assert count_submits(gateway) == 1


async def test_wait_lasts_while_a_lost_submit_is_searched(tmp_path: Path) -> None:
    """A caller that waits for the end asks again at once, and `tasks/result` would do nothing else."""
    lost = Fault("reset-late", 1, "POST", "/v2/*")
    with Sandbox(timing="polls:1000", faults=[lost]) as gateway:
        gateway.delay_history(1e6)
        async with open_client(make_settings(gateway, tmp_path)) as client:
            job = await call(client, "kling-2", **PROMPT)
            started = anyio.current_time()
            waited = await call(client, "wait", job_id=job["job_id"], seconds=1)
            assert (waited["status"], anyio.current_time() - started >= 1) == ("in_progress", True)
            gateway.delay_history(0.0)


async def test_wait_lasts_for_a_job_of_another_gateway(tmp_path: Path) -> None:
    """A process that uses its gateway may change it; a wait that returned at once would be repeated without end."""
    with Sandbox(timing="polls:1000") as first, Sandbox() as second:
        async with open_client(make_settings(first, tmp_path)) as client:
            job = await call(client, "kling-2", **PROMPT)
        async with open_client(make_settings(second, tmp_path)) as client:
            started = anyio.current_time()
            waited = await call(client, "wait", job_id=job["job_id"], seconds=1)
            assert (waited["status"] == "failed", anyio.current_time() - started >= 1) == (False, True)


async def test_same_key_starts_one_job(gateway: Sandbox, tmp_path: Path) -> None:
    settings, ids = make_settings(gateway, tmp_path), set()
    for _ in range(2):
        async with open_client(settings) as client:
            for _ in range(2):
                ids.add((await call(client, "kling-2", **PROMPT, idempotency_key="one"))["job_id"])
            assert "idempotency key" in await call_in_vain(
                client, "kling-2", prompt="Other", idempotency_key="one"
            )
            await call(client, "wait", job_id=next(iter(ids)))
    assert (len(ids), count_submits(gateway)) == (1, 1)


async def test_spending_cap_holds(gateway: Sandbox, tmp_path: Path) -> None:
    settings = limit(make_settings(gateway, tmp_path), credits_in_all=1.2, unknown_price=0.5)
    results: list[CallToolResult] = []
    async with open_client(settings) as client, anyio.create_task_group() as tasks:

        async def submit() -> None:
            results.append(await client.call_tool("kling-2", PROMPT))

        for _ in range(6):
            tasks.start_soon(submit)
    assert sum(not result.is_error for result in results) == count_submits(gateway) == 2
    assert any("1.2 credits" in str(result.content) for result in results)


async def test_estimate_starts_nothing(gateway: Sandbox, tmp_path: Path) -> None:
    async with open_client(make_settings(gateway, tmp_path)) as client:
        price = await call(
            client, "estimate", model="kling-1_6-text2video", parameters={"prompt": "A", "duration": 5}
        )
    assert price["high"] > 0
    assert "credits" in price["estimate"]
    assert count_submits(gateway) == 0


@pytest.mark.parametrize(
    ("tool", "arguments", "text"),
    [
        ("kling-2", {"prompt": "A", "duration": 7}, "duration"),
        ("kling-2", {"prompt": "A", "nothing": 7}, "nothing"),
        ("kling-2", {"prompt": "A", "idempotency_key": ""}, "at least 1"),
        ("kling-2", {"prompt": "A", "idempotency_key": 7}, "a text"),
        ("list_jobs", {"limit": 1, "nothing": 7}, "nothing"),
        ("wait", {"job_id": "x" * 24, "seconds": 3600}, "seconds"),
        ("list_jobs", {"limit": 0}, "limit"),
        ("status", {}, "job_id"),
    ],
)
async def test_invalid_arguments_are_explained(
    gateway: Sandbox, tmp_path: Path, tool: str, arguments: dict[str, Any], text: str
) -> None:
    async with open_client(make_settings(gateway, tmp_path)) as client:
        assert text in await call_in_vain(client, tool, **arguments)
    assert count_submits(gateway) == 0


@pytest.mark.parametrize("name", ["nothing", "kling-99"])
async def test_unknown_tools_and_jobs_are_errors(gateway: Sandbox, tmp_path: Path, name: str) -> None:
    async with open_client(make_settings(gateway, tmp_path)) as client:
        for work in (
            client.call_tool(name, {}),
            client.call_tool("status", {"job_id": "a" * 24}),
            client.read_resource(f"kling://jobs/{'a' * 24}/video.mp4"),
            client.read_resource("file:///etc/passwd"),
        ):
            with pytest.raises(MCPError):
                await work


async def test_file_of_an_allowed_folder_is_uploaded(gateway: Sandbox, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "a b.png").write_bytes(PNG)
    settings = replace(make_settings(gateway, tmp_path), media_folders=(allowed,))
    async with open_client(settings) as client:
        for text in (str(allowed / "a b.png"), (allowed / "a b.png").as_uri()):
            job = await call(client, "kling-o1-image-to-video", prompt="A", start_image_url=text)
            await call(client, "wait", job_id=job["job_id"])
    sent = [request.json for request in gateway.requests if request.path.endswith("image-to-video")]
    assert [body["start_image_url"].startswith(gateway.base_url) for body in sent] == [True, True]


async def test_injected_paths_reach_no_file(
    gateway: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A prompt may talk an agent into asking for any file; each answer is the same, and nothing is sent."""
    allowed, secret = tmp_path / "allowed", tmp_path / "secret.png"
    allowed.mkdir()
    secret.write_bytes(PNG)
    (allowed / "link.png").symlink_to(secret)
    (allowed / "up").symlink_to(tmp_path)
    os.mkfifo(allowed / "pipe.png")
    (allowed / "text.png").write_text("root:x:0:0")
    settings = replace(make_settings(gateway, tmp_path), media_folders=(allowed,))
    paths = [
        str(secret),
        secret.as_uri(),
        f"{allowed}/../secret.png",
        f"{allowed}/%2e%2e/secret.png",
        f"file://{allowed}/%2e%2e/secret.png",
        f"{allowed}/link.png",
        f"{allowed}/up/secret.png",
        f"{allowed}/pipe.png",
        f"{allowed}2/secret.png",
        f"{allowed}/missing.png",
        str(allowed),
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
        "secret.png",
        "~/secret.png",
        "file://[",
        "\0",
        "",
    ]
    async with open_client(settings) as client:
        messages = set()
        for path in paths:
            message = await call_in_vain(client, "kling-o1-image-to-video", prompt="A", start_image_url=path)
            messages.add(message.partition("is not a URL")[2])
            nested = {"prompt": "A", "image_urls": [path], "elements": [{"frontal_image_url": path}]}
            await call_in_vain(client, "kling-o1-reference-image-to-video", **nested)
        text = await call_in_vain(
            client, "kling-o1-image-to-video", prompt="A", start_image_url=f"{allowed}/text.png"
        )
    assert len(messages) == 1
    assert "root" not in text
    assert not [request for request in gateway.requests if request.method == "POST"]
    assert not [record for record in caplog.records if record.name == "kling_serve"]


class _Task(Result):
    result_type: Literal["task"]
    taskId: str  # noqa: N815  the name on the wire
    status: str


class _Tasks(ClientExtension):
    """A client that knows tasks; the SDK has no such extension of its own."""

    identifier = EXTENSION

    def __init__(self, ask: Callable[[str, ClaimContext], Awaitable[dict[str, Any]]]) -> None:
        self._ask = ask

    def claims(self) -> list[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=_Task, resolve=self._resolve)]

    async def _resolve(self, task: _Task, context: ClaimContext) -> CallToolResult:
        assert task.status == "working"
        while True:
            state = await self._ask(task.taskId, context)
            if state["status"] == "completed":
                return CallToolResult.model_validate(state["result"])


async def test_client_with_tasks_receives_a_task(gateway: Sandbox, tmp_path: Path) -> None:
    from mcp_types import Request, RequestParams

    class Params(RequestParams):
        task_id: str

    class GetTask(Request[Params, Literal["tasks/get"]]):
        method: Literal["tasks/get"] = "tasks/get"
        params: Params

    class Answer(Result, extra="allow"):
        pass

    states: list[dict[str, Any]] = []

    async def ask(task_id: str, context: ClaimContext) -> dict[str, Any]:
        answer = await context.session.send_request(GetTask(params=Params(task_id=task_id)), Answer)
        states.append(answer.model_dump(by_alias=True))
        await anyio.sleep(0.05)
        return states[-1]

    async with open_client(make_settings(gateway, tmp_path), extensions=[_Tasks(ask)]) as client:
        result = await client.call_tool("kling-2", PROMPT)
    assert result.structured_content["status"] == "completed"
    assert {state["taskId"] for state in states} == {result.structured_content["job_id"]}


async def test_client_of_2025_11_25_runs_a_task(gateway: Sandbox, tmp_path: Path) -> None:
    async with open_client(make_settings(gateway, tmp_path), mode="legacy") as client:
        assert client.server_capabilities.tasks is not None
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools["kling-2"].execution == ToolExecution(task_support="optional")
        assert tools["wait"].execution is None
        send, metadata = client.session.send_request, TaskMetadata(ttl=60_000)
        params = CallToolRequestParams(name="kling-2", arguments=PROMPT, task=metadata)
        task = (await send(CallToolRequest(params=params), CreateTaskResult)).task
        assert (task.status, task.ttl) == ("working", None)
        payload = GetTaskPayloadRequest(params=GetTaskPayloadRequestParams(task_id=task.task_id))
        result = await send(payload, CallToolResult)
        assert (result.structured_content or {})["status"] == "completed"
        ended = await send(GetTaskRequest(params=GetTaskRequestParams(task_id=task.task_id)), GetTaskResult)
        assert ended.status == "completed"
        listed = await send(ListTasksRequest(), ListTasksResult)
        assert [entry.task_id for entry in listed.tasks] == [task.task_id]
        refused: list[Any] = [
            CancelTaskRequest(params=CancelTaskRequestParams(task_id=task.task_id)),
            GetTaskRequest(params=GetTaskRequestParams(task_id="a" * 24)),
            CallToolRequest(params=CallToolRequestParams(name="list_jobs", task=metadata)),
            CallToolRequest(params=CallToolRequestParams(name="kling-2", arguments={}, task=metadata)),
        ]
        for request in refused:
            with pytest.raises(MCPError):
                await send(request, Result)
    assert count_submits(gateway) == 1


async def test_failed_task_is_failed(tmp_path: Path) -> None:
    with Sandbox(timing="at-once", faults=[Fault("failed")]) as gateway:
        async with open_client(make_settings(gateway, tmp_path), mode="legacy") as client:
            params = CallToolRequestParams(name="kling-2", arguments=PROMPT, task=TaskMetadata())
            task = (await client.session.send_request(CallToolRequest(params=params), CreateTaskResult)).task
            payload = GetTaskPayloadRequest(params=GetTaskPayloadRequestParams(task_id=task.task_id))
            assert (await client.session.send_request(payload, CallToolResult)).is_error
            state = GetTaskRequest(params=GetTaskRequestParams(task_id=task.task_id))
            assert (await client.session.send_request(state, GetTaskResult)).status == "failed"


@asynccontextmanager
async def open_http_client(base_url: str, token: str) -> AsyncIterator[Client]:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        transport = streamable_http_client(f"{base_url}/mcp", http_client=http)
        async with Client(transport) as client:
            yield client


async def test_http_keeps_tokens_apart(gateway: Sandbox, tmp_path: Path) -> None:
    with serve_app(make_settings(gateway, tmp_path)) as served:
        async with open_http_client(served.base_url, ALICE) as client:
            job = await call(client, "kling-2", **PROMPT)
            job = await call(client, "wait", job_id=job["job_id"])
            assert (job["status"], "paths" in job) == ("completed", False)
            assert (await client.read_resource(job["files"][0])).contents
        async with open_http_client(served.base_url, BOB) as client:
            assert (await call(client, "list_jobs"))["jobs"] == []
            for work in (
                client.call_tool("status", {"job_id": job["job_id"]}),
                client.read_resource(job["files"][0]),
            ):
                with pytest.raises(MCPError):
                    await work


async def test_deleted_video_is_hidden_from_tools(gateway: Sandbox, tmp_path: Path) -> None:
    with serve_app(make_settings(gateway, tmp_path)) as served:
        async with open_http_client(served.base_url, ALICE) as client:
            job_id = (await call(client, "kling-2", **PROMPT))["job_id"]
            assert (await call(client, "wait", job_id=job_id))["files"]
            with open_http(served) as http:
                assert http.delete(f"/v1/videos/{job_id}").status_code == 200
            assert (await call(client, "list_jobs"))["jobs"] == []
            with pytest.raises(MCPError):
                await client.call_tool("status", {"job_id": job_id})


async def test_file_that_the_user_removes_breaks_no_tool(gateway: Sandbox, tmp_path: Path) -> None:
    async with open_client(make_settings(gateway, tmp_path)) as client:
        job_id = (await call(client, "kling-2", **PROMPT))["job_id"]
        job = await call(client, "wait", job_id=job_id)
        await anyio.Path(job["paths"][0]).unlink()
        assert "files" not in await call(client, "status", job_id=job_id)
        assert len((await call(client, "list_jobs"))["jobs"]) == 1
        assert (await client.list_resources()).resources == []
        with pytest.raises(MCPError, match=r"There is no such file\."):
            await client.read_resource(job["files"][0])


def test_http_refuses_wrong_tokens_origins_and_large_bodies(gateway: Sandbox, tmp_path: Path) -> None:
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    valid = {"Authorization": f"Bearer {ALICE}", "Accept": "application/json, text/event-stream"}
    with serve_app(make_settings(gateway, tmp_path)) as served:
        url = f"{served.base_url}/mcp"
        assert httpx.post(url, json=body).status_code == 401
        assert httpx.post(url, json=body, headers={"Authorization": "Bearer no"}).status_code == 401
        assert (
            httpx.post(url, json=body, headers=valid | {"Origin": "https://example.com"}).status_code == 403
        )
        assert httpx.post(url, json=body, headers=valid | {"Host": "example.com"}).status_code == 421
        large = body | {"params": {"x": "y" * 5 * 1024**2}}
        assert httpx.post(url, json=large, headers=valid).status_code == 413
        assert httpx.post(url, json=body, headers=valid).status_code == 200


async def test_command_serves_standard_input_and_output(gateway: Sandbox, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("kling")
    arguments = ["mcp", "--folder", str(tmp_path), "--journal", str(tmp_path / "journal"), "--no-sandbox"]
    environment = {**os.environ, "SEGMIND_API_KEY": gateway.api_key, "KLING_BASE_URL": gateway.base_url}
    environment |= {"KLING_MCP_MAX_COST": "2.1", "KLING_MCP_UNKNOWN_PRICE": "2"}
    parameters = StdioServerParameters(command=str(command), args=arguments, env=environment)
    async with Client(parameters) as client:
        job = await call(client, "kling-2", **PROMPT)
        assert (await call(client, "wait", job_id=job["job_id"]))["status"] == "completed"
        assert "credits" in await call_in_vain(
            client,
            "kling-3-pro-image2video",
            prompt="A",
            start_image_url="https://example.com/a.png",
            duration="15",
        )
    assert count_submits(gateway) == 1
