"""The engine of `kling batch --engine temporal`."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from kling_temporal.connection import CODEC, connect
from kling_temporal.engine import TemporalEngine
from kling_temporal.worker import TASK_QUEUE, TASK_QUEUE_VARIABLE


class CommandEngine:
    """An engine that connects with the settings of the environment.

    Args:
        address: Host and port of Temporal; None for that of the environment.

    """

    def __init__(self, address: str | None) -> None:
        self._address = address

    async def map(
        self, requests: Sequence[Any], *, base_url: str, name: str, save_to: str | None, concurrency: int
    ) -> AsyncGenerator[Any]:
        """Run a batch; see `TemporalEngine.map`."""
        client = await connect(self._address, codec=os.environ.get(CODEC) or None)
        task_queue = os.environ.get(TASK_QUEUE_VARIABLE) or TASK_QUEUE
        engine = TemporalEngine(client, task_queue=task_queue, base_url=base_url)
        async for outcome in engine.map(requests, name=name, save_to=save_to, concurrency=concurrency):
            yield outcome
