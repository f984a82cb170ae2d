"""A worker as a process of its own: python worker_process.py ADDRESS TASK_QUEUE SEARCH_SECONDS [RATE]."""

from __future__ import annotations

import asyncio
import os
import sys

from kling_temporal import connect, make_worker

from kling_adapters import ConfigError


async def main(address: str, task_queue: str, search_seconds: str, rate: str = "") -> None:
    codec = "kling_temporal.encryption:make_codec" if "KLING_TEMPORAL_KEYS" in os.environ else None
    while True:
        try:
            client = await connect(address, codec=codec)
            break
        except ConfigError:  # the server is being restarted
            await asyncio.sleep(0.2)
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


asyncio.run(main(*sys.argv[1:]))
