"""The same jobs on the same bad day of the gateway, with Kling.map and with the official client. `make storm`.

    python -m benchmarks.storm [--jobs 500]

Writes benchmarks/STORM.md. The figures come from the sandbox, which records the jobs that it started
and billed, and from the files, each compared with the one that the sandbox serves.
"""

from __future__ import annotations

import argparse
import inspect
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import httpx
from kling_sandbox import Faults, Sandbox
from segmind import SegmindClient
from segmind.v2 import AsyncJob

from kling_adapters import Kling, SubmitUncertain
from tests.promises import storm
from tests.promises.storm import CONCURRENCY, SPEED

REPORT = Path(__file__).with_name("STORM.md")

T = TypeVar("T")
Ends = dict[int, Path | Exception]
"""By the number of the job: its file, or the error that the caller got."""
Run = Callable[[Sandbox, int, Path], Ends]


def kling_map(sandbox: Sandbox, count: int, folder: Path) -> Ends:
    """Run all jobs with the client of this repository."""
    ends: Ends = {}
    journal = folder.with_name("journal.sqlite3")
    with Kling(
        base_url=sandbox.base_url, api_key=sandbox.api_key, journal=journal, clock=storm.FastClock()
    ) as kling:
        for outcome in kling.map(storm.requests(count), concurrency=CONCURRENCY, save_to=folder):
            if outcome.error is not None:
                ends[outcome.index] = outcome.error
            elif outcome.result is not None:
                ends[outcome.index] = outcome.result.saved[0].path
    return ends


# The report shows these as they are.


def _submit(client: SegmindClient, slug: str, params: dict[str, Any]) -> AsyncJob:
    return client.submit_async(slug, **params)


def _wait(job: AsyncJob) -> str:
    output: str = job.wait(timeout=900 / SPEED, interval=1 / SPEED)["output"]
    return output


def _download(url: str, path: Path) -> None:
    response = httpx.get(url)
    response.raise_for_status()
    path.write_bytes(response.content)


def _as_documented(client: SegmindClient, slug: str, params: dict[str, Any], path: Path) -> None:
    _download(_wait(_submit(client, slug, params)), path)


def _job_again(client: SegmindClient, slug: str, params: dict[str, Any], path: Path) -> None:
    _again(_as_documented, client, slug, params, path)


def _step_again(client: SegmindClient, slug: str, params: dict[str, Any], path: Path) -> None:
    job = _again(_submit, client, slug, params)
    _again(_download, _again(_wait, job), path)


def _again(step: Callable[..., T], *arguments: Any) -> T:
    for attempt in range(4):
        try:
            return step(*arguments)
        except Exception:  # noqa: BLE001
            time.sleep(2**attempt / SPEED)
    return step(*arguments)


def official(process: Callable[[SegmindClient, str, dict[str, Any], Path], None]) -> Run:
    """Return a function that runs all jobs with the official client: in threads, each job by a call of `process`."""

    def run(sandbox: Sandbox, count: int, folder: Path) -> Ends:
        client = SegmindClient(api_key=sandbox.api_key, base_url=f"{sandbox.base_url}/v1")
        folder.mkdir()

        def end(number: int, params: dict[str, Any]) -> Path | Exception:
            path = folder / f"{number}.mp4"
            try:
                process(client, params.pop("model"), params, path)
            except Exception as error:  # noqa: BLE001  what its caller would get
                return error
            return path

        with ThreadPoolExecutor(CONCURRENCY) as pool:
            return dict(enumerate(pool.map(end, range(count), storm.requests(count))))

    return run


RUNS: dict[str, Run] = {
    "`Kling.map`": kling_map,
    "`segmind`": official(_as_documented),
    "`segmind`, job again": official(_job_again),
    "`segmind`, step again": official(_step_again),
}


@dataclass(frozen=True)
class Tally:
    """The outcomes of the jobs of one run."""

    stored: int
    uncertain: int
    errors: Counter[str]
    """By type, those that are not uncertain."""
    lost: int
    """Jobs that were billed and have no file."""
    unreported: int
    """Those of them whose caller got no warning that they may be billed."""
    twice: int
    broken: int
    """Files that are not what the gateway serves."""
    credits: float
    submits: int
    polls: int
    downloads: int


def tally(sandbox: Sandbox, ends: Ends, folder: Path) -> Tally:
    """Count outcomes by the record of the gateway and the files in `folder`."""
    sandbox.faults = Faults()
    paths = Counter(entry.path.split("/")[1] for entry in sandbox.requests if entry.method == "GET")
    started: dict[int, list[str]] = defaultdict(list)
    for entry in sandbox.submits:
        if entry.request_id is not None:
            started[int(entry.json["negative_prompt"].removeprefix("job "))].append(entry.request_id)
    uncertain = {number for number, end in ends.items() if isinstance(end, SubmitUncertain)}
    stored: set[int] = set()
    with httpx.Client(base_url=sandbox.base_url) as http:
        for number, end in ends.items():
            if isinstance(end, Path):
                # The last: those that were started before it were given up.
                served = http.get(f"/media/{started[number][-1]}.mp4").raise_for_status().content
                if end.read_bytes() == served:
                    stored.add(number)
    lost = set(started) - stored
    return Tally(
        stored=len(stored),
        uncertain=len(uncertain),
        errors=Counter(
            type(end).__name__
            for number, end in ends.items()
            if isinstance(end, Exception) and number not in uncertain
        ),
        lost=len(lost),
        unreported=len(lost - uncertain),
        twice=sum(len(jobs) > 1 for jobs in started.values()),
        broken=len(list(folder.iterdir())) - len(stored),
        credits=sum(sandbox.billed.values()),
        submits=len(sandbox.submits),
        polls=paths["v2"],
        downloads=paths["media"],
    )


def report(tallies: dict[str, Tally], count: int) -> str:
    """Return the report."""
    rows: dict[str, Callable[[Tally], object]] = {
        "completed, file stored whole": lambda counts: counts.stored,
        "reported as uncertain": lambda counts: counts.uncertain,
        "ended in another error": lambda counts: counts.errors.total(),
        "billed, and no file": lambda counts: counts.lost,
        "... without a warning that it may be billed": lambda counts: counts.unreported,
        "billed more than once": lambda counts: counts.twice,
        "files that are not whole": lambda counts: counts.broken,
        "credits spent": lambda counts: f"{counts.credits:.1f}",
        "credits spent for no file": lambda counts: f"{counts.credits - 0.5 * counts.stored:.1f}",
        "submits, polls, downloads": lambda counts: f"{counts.submits}, {counts.polls}, {counts.downloads}",
    }
    table = [f"| of {count} jobs | {' | '.join(tallies)} |", "|---" + "|---:" * len(tallies) + "|"]
    table += [
        f"| {label} | {' | '.join(str(value(counts)) for counts in tallies.values())} |"
        for label, value in rows.items()
    ]
    errors = [
        f"- {name}: {', '.join(f'{kind} {number}' for kind, number in counts.errors.most_common())}"
        for name, counts in tallies.items()
        if counts.errors
    ]
    weather = [
        f"- `{method} {path}`: "
        + ", ".join(
            f"{fault.kind} {fault.rate:.1%}" + (f" in bursts of {fault.burst}" if fault.burst > 1 else "")
            for fault in faults
        )
        for (method, path), faults in groupby(storm.WEATHER, lambda fault: (fault.method, fault.path))
    ]
    steps = (_submit, _wait, _download, _as_documented, _job_again, _step_again, _again)
    called = "\n\n\n".join(inspect.getsource(step).strip() for step in steps)
    return TEXT.format(
        date=datetime.now(UTC).date(),
        count=count,
        speed=f"{SPEED:g}",
        concurrency=CONCURRENCY,
        segmind=version("segmind"),
        seed=storm.SEED,
        table="\n".join(table),
        errors="\n".join(errors),
        weather="\n".join(weather),
        called=called,
    )


TEXT = """# A bad day at the gateway

Written by `python -m benchmarks.storm --jobs {count}` on {date}. The same {count} jobs of five seconds of film (0.5 credits
each), at the same gateway ([kling-sandbox](../plugins/sandbox/README.md)), with the same faults of the same seed.

{table}

The errors that are not uncertain, by type:

{errors}

## What it says and what not

- A submit whose connection breaks, or that is answered 504, may have started a job, and the gateway
  has no way to ask. `Kling.map` reports those, with the entry of its journal, and sends nothing again. The official client raises
  what it raises for a poll that fails: its caller has to tell the two apart.
- "Step again" stores the most files because it also submits again where a job may have been started. For that it paid
  twice, as often as the table says.
- "Billed, and no file" is so much with `segmind` and "job again" because they drop the job when a poll or the download
  fails; "step again" tries five times. With `Kling.map` only cut submits are among them.
- A job ends at the fourth poll that the gateway hears. The official client polls every second, a job of five minutes
  300 times, and the first poll that fails ends its wait.
- Speed is not compared: time is {speed} times as fast as it should be, and the two wait differently.

## The faults

Seed {seed}. What each kind does is in the README of the sandbox.

{weather}

For one seed the nth request of a line meets the same fault in each run. `Kling.map` submits one job at a time, so its first
four figures are the same in each run; which of several threads makes the nth request is random, and those figures vary a bit.

## How the official client was called

`segmind` {segmind}, one `SegmindClient` shared by {concurrency} threads, each of which calls one of `_as_documented` (in the
table "`segmind`"), `_job_again` and `_step_again` for one job after the other. `Kling.map` has `concurrency={concurrency}`, and
otherwise its defaults. `SPEED` is {speed}.

```python
{called}
```
"""


def main() -> None:
    """Run all, and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=500)
    count = parser.parse_args().jobs
    tallies: dict[str, Tally] = {}
    for name, run in RUNS.items():
        with tempfile.TemporaryDirectory() as there, storm.sandbox() as sandbox:
            folder = Path(there) / "out"
            tallies[name] = tally(sandbox, run(sandbox, count, folder), folder)
            print(name, tallies[name], flush=True)
    REPORT.write_text(report(tallies, count), encoding="utf-8")


if __name__ == "__main__":
    main()
