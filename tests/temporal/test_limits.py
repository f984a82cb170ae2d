"""The rate limit of a task queue, kept by the server for all workers together, and changed while they run."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kling_sandbox import Sandbox
from kling_temporal import TemporalEngine

from tests.temporal.servers import SERVER, TemporalServer, Workers

pytestmark = pytest.mark.anyio
README = (Path(__file__).parents[2] / "plugins" / "temporal" / "README.md").read_text("utf-8")
WORKERS = 3
LOWEST = float(os.environ.get("KLING_TEMPORAL_LOWEST", "0.6"))
"""Share of a limit. A machine that is busy with other work reaches less; `make temporal` expects 0.9."""
HIGHEST = 1.1
JOBS, SECONDS = (24, 6.0) if LOWEST < 0.9 else (60, 15.0)
"""The older a job is, the more seldom it is polled: a longer measure needs more jobs to reach the limit."""
RATES = (4.0, 8.0)
"""Steps a second, first as the option of the workers, then as the setting of the task queue."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def measure_rate(sandbox: Sandbox) -> float:
    """Return the requests a second; each step is one request, a submit or a poll."""
    before = len(sandbox.requests)
    await asyncio.sleep(SECONDS)
    return (len(sandbox.requests) - before) / SECONDS


def change_rate(server: TemporalServer, rate: float) -> None:
    """Set the limit of the task queue as the README says, with Temporal's own tool."""
    [command] = re.findall(r"`temporal (task-queue config set .*?) --queue-rps-limit", README)
    arguments = command.replace("kling", "limits").split()
    options = ("--queue-rps-limit", str(rate), "--address", server.address)
    subprocess.run([SERVER, *arguments, *options], check=True, capture_output=True)


async def test_rate_of_three_workers_is_kept_and_changed(server: TemporalServer) -> None:
    with Sandbox(timing="polls:100000") as sandbox:
        environment = {"KLING_BASE_URL": sandbox.base_url, "SEGMIND_API_KEY": sandbox.api_key}
        with Workers(server, "limits", environment, "60", str(60 * RATES[0])) as workers:
            await asyncio.to_thread(workers.start, WORKERS)
            client = await server.connect()
            engine = TemporalEngine(client, task_queue="limits", base_url=sandbox.base_url, api_key="none")
            requests = [{"model": "kling-2", "prompt": f"job {number}"} for number in range(JOBS)]
            batch = engine.map(requests, name="limits", concurrency=JOBS)
            following = asyncio.ensure_future(anext(batch))
            while len(sandbox.submits) < JOBS:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
            first = await measure_rate(sandbox)
            await asyncio.to_thread(change_rate, server, RATES[1])
            await asyncio.sleep(2)
            second = await measure_rate(sandbox)
            following.cancel()
    sys.stdout.write(f"{first:.1f} and {second:.1f} requests a second for limits of {RATES}\n")
    assert LOWEST * RATES[0] <= first <= HIGHEST * RATES[0]
    assert LOWEST * RATES[1] <= second <= HIGHEST * RATES[1]
    assert second > HIGHEST * RATES[0]
