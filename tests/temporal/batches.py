"""Batches on a worker in the process of the test."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from kling_sandbox import Sandbox
from kling_temporal import TemporalEngine, make_worker
from kling_temporal.connection import prepare_namespace
from temporalio.client import Client

from kling_adapters import AsyncResult, Outcome
from tests.temporal.servers import TemporalServer


class Setup:
    """A worker of a task queue, and the engine that uses it."""

    def __init__(self, client: Client, engine: TemporalEngine, name: str) -> None:
        self.client = client
        self.engine = engine
        self.name = name

    async def run(
        self, requests: Sequence[dict[str, Any]], name: str = "", **options: Any
    ) -> list[Outcome[AsyncResult]]:
        """Run a batch, and return the outcomes in the order of the requests."""
        batch = self.engine.map(requests, name=name or self.name, **options)
        outcomes = [outcome async for outcome in batch]
        return sorted(outcomes, key=lambda outcome: outcome.index)


@asynccontextmanager
async def run_worker(
    server: TemporalServer, sandbox: Sandbox, name: str, **options: Any
) -> AsyncGenerator[Setup]:
    """Run a worker in this process; `options` are those of `make_worker`."""
    client = await server.connect()
    await prepare_namespace(client)
    connection: dict[str, Any] = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
    worker, kling = make_worker(client, task_queue=name, **{**connection, **options})
    async with kling, worker:
        yield Setup(client, TemporalEngine(client, task_queue=name, **connection), name)
