"""Jobs as workflows, against the sandbox and a real server of Temporal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Sandbox
from kling_temporal import TemporalEngine, make_worker

from kling_adapters import AsyncResult, Outcome
from tests.temporal.servers import TemporalServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def run_batch(
    server: TemporalServer, sandbox: Sandbox, requests: list[dict[str, Any]], name: str, **options: Any
) -> list[Outcome[AsyncResult]]:
    client = await server.connect()
    connection = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
    worker, kling = make_worker(client, task_queue=name, **connection)
    engine = TemporalEngine(client, task_queue=name, **connection)
    async with kling, worker:
        return [outcome async for outcome in engine.map(requests, name=name, **options)]


async def test_batch_stores_every_output(server: TemporalServer, tmp_path: Path) -> None:
    requests = [{"model": "kling-2", "prompt": f"job {number}"} for number in range(5)]
    with Sandbox() as sandbox:
        outcomes = await run_batch(server, sandbox, requests, "stores", save_to=tmp_path / "out")
        assert [outcome.error for outcome in outcomes] == [None] * 5
        assert {outcome.index for outcome in outcomes} == set(range(5))
        for outcome in outcomes:
            assert outcome.result is not None
            assert outcome.result.saved[0].path.stat().st_size == outcome.result.saved[0].size
        assert len(sandbox.submits) == 5
        again = await run_batch(server, sandbox, requests, "stores", save_to=tmp_path / "out")
        assert [outcome.request_id for outcome in again]
        assert len(sandbox.submits) == 5
