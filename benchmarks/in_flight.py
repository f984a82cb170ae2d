"""1,000 jobs in flight: the asynchronous client against the official one, and the memory of 10,000.

Tasks run the jobs of the one, threads those of the other. Both submit all jobs at once, to the same gateway, wait and
get the results; no file is fetched. A job takes three seconds on average, with a log-spread of 0.3. Nothing is known
about the duration of the model, so both clients poll at once and then about each second.

Clients are compared by the CPU time of their process for a job: on the clock no client could be faster than the jobs.

The memory of a job is what the process grows by, at its peak, from a client in use to 10,000 jobs that were submitted
and polled once. They wait for the next poll on a clock that does not go on.

Four times the official client is out of reach with httpx2: it would leave a quarter of a millisecond for each request, and
the transport of httpx2 alone, without this client, takes half of one. This client sends more requests for a job, because
it polls short jobs of unknown duration early; a request takes it less time than the official client. Of this client's time 78 % is spent on sending,
12 % in the flows and 5 % on events.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import anyio

from benchmarks.gateway import KEY, read_request_count, run_gateway
from benchmarks.processes import Cost, iter_transports, measure_cost, run_in_process
from benchmarks.ratios import CONTINUED, PLAIN, Ratio

JOBS, HELD_JOBS, WARM_UP, ROUNDS = 1000, 10_000, 200, 2
SECONDS, HOUR = 3.0, 3600.0
BARS = {PLAIN: 1.0, CONTINUED: 4.0}
MEMORY = 10_000
"""The bytes that a job may take."""
CONCURRENT_SUBMITS = 32
MODEL: Final = "kling-2.5-turbo"
PROMPT: Final = "a lighthouse in a storm"


def measure() -> Iterator[Ratio]:
    """Measure the two clients and the memory, on each transport."""
    transports = list(iter_transports())
    yield from _compare_costs(transports)
    with run_gateway(HOUR) as base_url:
        for transport in transports:
            size = run_in_process(transport, measure_memory, base_url, HELD_JOBS)
            detail = f"{size / 1000:.1f} kB a job, {HELD_JOBS:,} held"
            name = "memory of a job in flight, against 10 kB"
            yield Ratio(name, size / MEMORY, 1, is_upper_limit=True, detail=detail, transport=transport)


def _compare_costs(transports: list[str]) -> Iterator[Ratio]:
    costs: dict[str, list[Cost]] = {client: [] for client in ("official", *transports)}
    requests: dict[str, float] = {}
    with run_gateway(SECONDS) as base_url:
        for _ in range(ROUNDS):
            for client, runs in costs.items():
                before = read_request_count(base_url)
                if client == "official":
                    runs.append(run_in_process(PLAIN, run_official, base_url, JOBS))
                else:
                    runs.append(run_in_process(client, run_kling, base_url, JOBS, has_journal=False))
                requests[client] = (read_request_count(base_url) - before) / JOBS
        recorded = {
            transport: run_in_process(transport, run_kling, base_url, JOBS, has_journal=True)
            for transport in transports
        }
    theirs = min(costs["official"], key=lambda cost: cost.cpu)
    for transport in transports:
        ours = min(costs[transport], key=lambda cost: cost.cpu)
        detail = (
            f"{1000 * ours.cpu / JOBS:.1f} against {1000 * theirs.cpu / JOBS:.1f} ms CPU a job, "
            f"{1000 * recorded[transport].cpu / JOBS:.1f} with a journal; "
            f"{requests[transport]:.1f} against {requests['official']:.1f} requests a job; "
            f"on the clock {JOBS / ours.clock:.0f} against {JOBS / theirs.clock:.0f} jobs/s"
        )
        name = "1,000 jobs in flight, against the official client with 1,000 threads"
        bar = BARS[transport]
        yield Ratio(
            name, theirs.cpu / ours.cpu, bar, is_upper_limit=False, detail=detail, transport=transport
        )


def run_kling(base_url: str, count: int, has_journal: bool) -> Cost:
    """Run jobs at once with the asynchronous client."""
    from kling_adapters import AsyncKling

    async def run_jobs(journal: Path | None) -> Cost:
        async with AsyncKling(api_key=KEY, base_url=base_url, journal=journal) as kling:
            # The first job imports what the client needs.
            await kling.run(MODEL, prompt=PROMPT)
            with measure_cost() as watch:
                async with anyio.create_task_group() as group:
                    for _ in range(count):
                        group.start_soon(lambda: kling.run(MODEL, prompt=PROMPT))
            return watch.cost

    with tempfile.TemporaryDirectory() as folder:
        return anyio.run(run_jobs, Path(folder, "journal.sqlite3") if has_journal else None)


def run_official(base_url: str, count: int) -> Cost:
    """Run jobs at once with the official client."""
    from segmind import SegmindClient

    client = SegmindClient(api_key=KEY, base_url=f"{base_url}/v1")
    client.submit_async(MODEL, prompt=PROMPT).wait()
    with ThreadPoolExecutor(count) as pool, measure_cost() as watch:
        list(pool.map(lambda _: client.submit_async(MODEL, prompt=PROMPT).wait(), range(count)))
    return watch.cost


class _StoppedClock:
    """A clock on which a sleep does not end, and which counts the sleepers."""

    def __init__(self) -> None:
        self._sleepers = self._awaited = 0
        self._is_complete = anyio.Event()

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    async def sleep_async(self, seconds: float) -> None:
        self._sleepers += 1
        if self._sleepers == self._awaited:
            self._is_complete.set()
        await anyio.sleep_forever()

    async def wait_for_sleepers(self, count: int) -> None:
        """Wait until so many tasks sleep."""
        self._awaited, self._is_complete = count, anyio.Event()
        await self._is_complete.wait()


def measure_memory(base_url: str, count: int) -> float:
    """Return the bytes of each of so many jobs in flight."""
    from kling_adapters import AsyncKling

    async def hold_jobs() -> float:
        clock, submits = _StoppedClock(), anyio.CapacityLimiter(CONCURRENT_SUBMITS)
        async with AsyncKling(api_key=KEY, base_url=base_url, journal=None, clock=clock) as kling:

            async def run_job() -> None:
                async with submits:
                    job = await kling.submit(MODEL, prompt=PROMPT)
                await job.wait()

            async with anyio.create_task_group() as group:
                sizes: list[int] = []
                for number in (WARM_UP, count):
                    for _ in range(number):
                        group.start_soon(run_job)
                    await clock.wait_for_sleepers(number if not sizes else WARM_UP + count)
                    sizes.append(_read_peak_memory())
                group.cancel_scope.cancel()
        return (sizes[1] - sizes[0]) / count

    return anyio.run(hold_jobs)


def _read_peak_memory() -> int:
    """Return the bytes of this process at its peak."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024
