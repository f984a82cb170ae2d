"""A client that is closed while a submit is under way: the job is paid for, so its id must not be lost."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
from kling_sandbox import Fault, Sandbox

from kling_adapters import AsyncJob, AsyncKling, Kling
from kling_adapters.journal.journal import Journal

SLOW = [Fault("latency", method="POST", seconds=1)]


def states(path: Path) -> list[tuple[str, str | None]]:
    return [(entry.state, entry.request_id) for entry in Journal(path).entries()]


def test_submit_of_another_thread_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Sandbox(faults=SLOW) as sandbox, ThreadPoolExecutor(1) as threads:
        kling = Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=path)
        submit = threads.submit(kling.submit, "kling-2", prompt="x")
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.5)  # the request is at the gateway, which answers half a second later
        kling.close()
        request_id = submit.result().request_id
        assert list(sandbox.billed) == [request_id]
    assert states(path) == [("QUEUED", request_id)]


def test_submit_of_another_task_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    jobs: list[AsyncJob] = []

    async def scenario(sandbox: Sandbox) -> None:
        async def submit() -> None:
            jobs.append(await kling.submit("kling-2", prompt="x"))

        kling = AsyncKling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=path)
        async with anyio.create_task_group() as group:
            group.start_soon(submit)
            await anyio.sleep(0.5)
            await kling.close()

    with Sandbox(faults=SLOW) as sandbox:
        anyio.run(scenario, sandbox)
        assert list(sandbox.billed) == [jobs[0].request_id]
    assert states(path) == [("QUEUED", jobs[0].request_id)]
