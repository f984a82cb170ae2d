"""One job after another: the blocking client against the official one.

Both submit a job, poll it once and get its result, at the same gateway, whose jobs end at once; no file is fetched.
Nothing is known about the duration of the model, so its first poll is at once, too. Each run is a process of its own, the
runs alternate, and the best of each client counts. Clients are compared by the CPU time of their process: on the clock a
journal also waits for the disk, before each submit, as it must.

Two thirds of the time of this client are spent on sending. Each of its submits opens a connection, because a job is paid
for twice if a submit is lost on a connection that the gateway has just closed; the official client keeps one open. A
journal adds three transactions that are on disk before the client goes on (the intent, the request id and the result):
0.9 ms of Python and SQLite and 0.3 ms of the system.

The same with a file of 20 kB is in the details. The official client has no call for a file, so a plain `httpx.Client`
fetches it into memory, over a connection that stays open; the client of this repository checks it, and publishes it whole.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from benchmarks.gateway import KEY, run_gateway
from benchmarks.processes import Cost, iter_transports, measure_cost, run_in_process
from benchmarks.ratios import PLAIN, Ratio

JOBS, WARM_UP, ROUNDS = 100, 10, 3
JOURNALS = {True: ("with a journal", 0.7), False: ("without a journal", 0.9)}
MODEL: Final = "kling-2.5-turbo"
PROMPT: Final = "a lighthouse in a storm"


def measure() -> Iterator[Ratio]:
    """Measure with and without a journal, on each transport."""
    transports = list(iter_transports())
    costs: defaultdict[tuple[object, ...], list[Cost]] = defaultdict(list)
    with run_gateway() as base_url:
        for _ in range(ROUNDS):
            for has_file in (False, True):
                official = run_in_process(PLAIN, run_official, base_url, has_file)
                costs["official", has_file].append(official)
                for transport in transports:
                    for has_journal in JOURNALS:
                        cost = run_in_process(transport, run_kling, base_url, has_journal, has_file)
                        costs[transport, has_journal, has_file].append(cost)
    best = {key: Cost(*map(min, zip(*runs, strict=True))) for key, runs in costs.items()}
    for transport in transports:
        for has_journal, (label, bar) in JOURNALS.items():
            ours, theirs = best[transport, has_journal, False], best["official", False]
            with_file = best["official", True].cpu / best[transport, has_journal, True].cpu
            detail = (
                f"{1000 * ours.cpu:.2f} against {1000 * theirs.cpu:.2f} ms CPU a job; "
                f"on the clock {theirs.clock / ours.clock:.2f} x; with a file {with_file:.2f} x"
            )
            name = f"one job after another, {label}, against the official client"
            value = theirs.cpu / ours.cpu
            yield Ratio(name, value, bar, is_upper_limit=False, detail=detail, transport=transport)


def run_kling(base_url: str, has_journal: bool, has_file: bool) -> Cost:
    """Run jobs with the blocking client. Return the cost of a job."""
    from kling_adapters import Kling

    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder, "journal.sqlite3") if has_journal else None
        save_to = folder if has_file else None
        with Kling(api_key=KEY, base_url=base_url, journal=journal) as kling:
            return _measure_jobs(lambda _: kling.run(MODEL, prompt=PROMPT, save_to=save_to))


def run_official(base_url: str, has_file: bool) -> Cost:
    """Run jobs with the official client. Return the cost of a job."""
    import httpx
    from segmind import SegmindClient

    client = SegmindClient(api_key=KEY, base_url=f"{base_url}/v1")
    with tempfile.TemporaryDirectory() as folder, httpx.Client() as downloads:

        def run_job(number: int) -> None:
            result = client.submit_async(MODEL, prompt=PROMPT).wait()
            if has_file:
                response = downloads.get(result["output"]).raise_for_status()
                Path(folder, f"{number}.mp4").write_bytes(response.content)

        return _measure_jobs(run_job)


def _measure_jobs(run_job: Callable[[int], object]) -> Cost:
    for number in range(WARM_UP):
        run_job(number)
    with measure_cost() as watch:
        for number in range(WARM_UP, WARM_UP + JOBS):
            run_job(number)
    return Cost(watch.cost.clock / JOBS, watch.cost.cpu / JOBS)
