"""Batches with one task for each job, in the event loop of the caller."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from functools import partial
from typing import TypeAlias, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from kling_adapters.driver.async_ import AsyncDriver, Interrupt
from kling_adapters.protocol.batch import Batch
from kling_adapters.protocol.tasks import Outcome, Task
from kling_adapters.result import ResultData

R = TypeVar("R", bound=ResultData)
_Finished: TypeAlias = tuple[Task, Outcome[R]] | None


async def run_in_tasks(driver: AsyncDriver, batch: Batch[R]) -> AsyncGenerator[Outcome[R]]:
    """Run a batch; yield each outcome as its job ends. Closing the generator cancels the batch."""
    send, finished = anyio.create_memory_object_stream[_Finished[R]](math.inf)
    batch.wake = partial(send.send_nowait, None)
    interrupt = Interrupt()

    async def work(task: Task) -> None:
        send.send_nowait((task, await driver.run(batch.flow(task), interrupt)))

    failure: BaseException | None = None
    try:
        with send, finished:
            await driver.run(batch.open())
            async with anyio.create_task_group() as group:
                try:
                    while True:
                        for task in batch.start_ready():
                            group.start_soon(work, task)
                        if not batch.running:
                            break
                        outcome = await _finish_next(batch, finished)
                        if outcome is not None:
                            yield outcome
                except (GeneratorExit, Exception) as error:  # noqa: BLE001
                    # Raised inside the group, it would cancel a submit in flight.
                    failure = error
                batch.cancel()
                interrupt.set()
                while batch.running:
                    await _finish_next(batch, finished)
        if failure is not None or (failure := batch.failure) is not None:
            raise failure
    finally:
        with anyio.CancelScope(shield=True):
            await driver.run(batch.close())


async def _finish_next(
    batch: Batch[R], finished: MemoryObjectReceiveStream[_Finished[R]]
) -> Outcome[R] | None:
    """Wait for the outcome of a job. Return None if another job may start first."""
    item = await finished.receive()
    if item is None:
        return None
    batch.finish(*item)
    return item[1]
