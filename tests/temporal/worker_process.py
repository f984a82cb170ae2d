"""A worker as a process of its own: python worker_process.py ADDRESS TASK_QUEUE SEARCH_SECONDS [RATE]."""

from __future__ import annotations

import asyncio
import os
import sys

from kling_temporal import connect, make_worker
from temporalio.service import RPCError

from kling_adapters import ConfigError


async def serve(address: str, task_queue: str, search_seconds: str, rate: str = "") -> None:
    codec = "kling_temporal.encryption:make_codec" if "KLING_TEMPORAL_KEYS" in os.environ else None
    client = await connect(address, codec=codec)
    worker, kling = make_worker(
        client,
        task_queue=task_queue,
        search_seconds=float(search_seconds),
        rate=float(rate) if rate else None,
    )
    async with kling, worker:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


async def main(*arguments: str) -> None:
    """Serve, and begin again as a supervisor would do when the server is down at the start."""
    while True:
        try:
            await serve(*arguments)
        except (ConfigError, RPCError, RuntimeError):
            await asyncio.sleep(0.2)


asyncio.run(main(*sys.argv[1:]))
