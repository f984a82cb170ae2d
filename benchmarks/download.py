"""A large file from the URL of a result into a folder, against `httpx.stream` into a file.

Both compute the SHA-256 digest of what they write. The file comes from a process of its own, over a connection of this
machine, and goes to the temporary folder of this machine. Compared is the CPU time of the client, because the clock says
more about the other work of the machine; the runs alternate, and the best of each counts.

The peer blocks. An asynchronous client copies each piece once more, from the event loop, and hands it to the thread that
writes. It receives meanwhile, so the difference on the clock, which is in the detail, is smaller.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import anyio

from benchmarks.gateway import KEY, MP4_HEAD, run_gateway
from benchmarks.processes import Cost, iter_transports, measure_cost, run_in_process
from benchmarks.ratios import PLAIN, Ratio

SIZE, ROUNDS, REPEATS = 200 * 1024**2, 3, 2
MODEL: Final = "kling-2.5-turbo"
PROMPT: Final = "a lighthouse in a storm"


def measure() -> Iterator[Ratio]:
    """Measure both clients, on each transport."""
    transports = list(iter_transports())
    clients = {"blocking": run_kling, "asynchronous": run_async_kling}
    costs: dict[tuple[str, str], list[Cost]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "large.mp4")
        file.write_bytes(MP4_HEAD + os.urandom(SIZE - len(MP4_HEAD)))
        with run_gateway(large_file=file) as base_url:
            for _ in range(ROUNDS):
                costs.setdefault(("peer", ""), []).append(run_in_process(PLAIN, run_peer, base_url))
                for transport in transports:
                    for label, run in clients.items():
                        cost = run_in_process(transport, run, base_url)
                        costs.setdefault((label, transport), []).append(cost)
    best = {key: _take_least(runs) for key, runs in costs.items()}
    theirs = best["peer", ""]
    for transport in transports:
        for label in clients:
            ours = best[label, transport]
            megabytes = SIZE / 1e6
            detail = (
                f"{ours.cpu / megabytes * 1000:.2f} against {theirs.cpu / megabytes * 1000:.2f} ms CPU a MB; "
                f"on the clock {megabytes / ours.clock:.0f} against {megabytes / theirs.clock:.0f} MB/s"
            )
            name = f"download, {label} client, against httpx.stream with a digest"
            value = theirs.cpu / ours.cpu
            yield Ratio(name, value, 1, is_upper_limit=False, detail=detail, transport=transport)


def run_kling(base_url: str) -> Cost:
    """Store the file of a job with the blocking client, several times. Return the least cost."""
    from kling_adapters import Kling

    with Kling(api_key=KEY, base_url=base_url, journal=None) as kling:
        result = kling.run(MODEL, prompt=PROMPT)
        return _find_least_cost(result.save)


def run_async_kling(base_url: str) -> Cost:
    """Store the file of a job with the asynchronous client, several times. Return the least cost."""
    from kling_adapters import AsyncKling

    async def run() -> Cost:
        async with AsyncKling(api_key=KEY, base_url=base_url, journal=None) as kling:
            result = await kling.run(MODEL, prompt=PROMPT)
            costs: list[Cost] = []
            for _ in range(REPEATS):
                with tempfile.TemporaryDirectory() as folder, measure_cost() as watch:
                    await result.save(folder)
                costs.append(watch.cost)
            return _take_least(costs)

    return anyio.run(run)


def run_peer(base_url: str) -> Cost:
    """Store the file with plain httpx, several times. Return the least cost."""
    import httpx

    def store(folder: str) -> None:
        digest = hashlib.sha256()
        with (
            httpx.stream("GET", f"{base_url}/media/large.mp4") as response,
            Path(folder, "large.mp4").open("wb") as file,
        ):
            for chunk in response.iter_bytes():
                digest.update(chunk)
                file.write(chunk)

    return _find_least_cost(store)


def _find_least_cost(store: Callable[[str], object]) -> Cost:
    costs: list[Cost] = []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder, measure_cost() as watch:
            store(folder)
        costs.append(watch.cost)
    return _take_least(costs)


def _take_least(costs: list[Cost]) -> Cost:
    return Cost(*map(min, zip(*costs, strict=True)))
