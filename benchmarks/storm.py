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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
from kling_sandbox import Faults, Sandbox

from benchmarks import storm_official
from benchmarks.storm_official import Ends, Run
from kling_adapters import Kling, Outcome, SubmitUncertain
from tests.promises import storm
from tests.promises.storm import CONCURRENCY, SPEED

REPORT = Path(__file__).with_name("STORM.md")
LONG_WAIT, SHORT_WAIT = 900.0, 60.0
"""Seconds of `resubmit_after`: longer than any row is late, and shorter than some are."""


def kling_map(*, is_resumed: bool = False, resubmit_after: float | None = None) -> Run:
    """Return a function that runs all jobs with the client of this repository, and resumes them if it is asked to."""

    def run(sandbox: Sandbox, count: int, folder: Path) -> Ends:
        ends: Ends = {}
        with Kling(
            base_url=sandbox.base_url,
            api_key=sandbox.api_key,
            journal=folder.with_name("journal.sqlite3"),
            clock=storm.FastClock(),
            resubmit_after=resubmit_after,
        ) as kling:
            batch = kling.map(storm.requests(count), concurrency=CONCURRENCY, save_to=folder)
            _add_ends(ends, ((outcome.index, outcome) for outcome in batch))
            if is_resumed:
                # Until all rows are listed.
                sandbox.advance(storm.LONG_DELAY / SPEED)
                numbers = {entry.id: _read_number(entry.params) for entry in kling.entries()}
                _add_ends(
                    ends, ((numbers[outcome.index], outcome) for outcome in kling.resume(save_to=folder))
                )
        return ends

    return run


def _add_ends(ends: Ends, outcomes: Iterable[tuple[int, Outcome[Any]]]) -> None:
    for number, outcome in outcomes:
        if outcome.error is not None:
            ends[number] = outcome.error
        elif outcome.result is not None:
            ends[number] = outcome.result.saved[0].path


def _read_number(params: Any) -> int:
    return int(params["negative_prompt"].removeprefix("job "))


AT_ONCE: dict[str, Run] = {"`Kling.map`": kling_map(), **storm_official.WAYS}
LATE: dict[str, Run] = {
    "`Kling.map`": kling_map(),
    "... and `resume` later": kling_map(is_resumed=True),
    f"`resubmit_after={LONG_WAIT:g}`": kling_map(resubmit_after=LONG_WAIT),
    f"`resubmit_after={SHORT_WAIT:g}`": kling_map(resubmit_after=SHORT_WAIT),
    **storm_official.WAYS,
}


@dataclass(frozen=True)
class Tally:
    """The outcomes of the jobs of one run."""

    stored: int
    uncertain: int
    unstarted: int
    """Those of them whose submits the gateway has never read."""
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
    looks: int


def tally(sandbox: Sandbox, ends: Ends, folder: Path) -> Tally:
    """Count outcomes by the record of the gateway and the files in `folder`."""
    sandbox.faults = Faults()
    paths = Counter(entry.path.split("/")[1] for entry in sandbox.requests if entry.method == "GET")
    started: dict[int, list[str]] = defaultdict(list)
    for entry in sandbox.submits:
        if entry.request_id is not None:
            started[_read_number(entry.json)].append(entry.request_id)
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
    unstarted = uncertain - set(started)
    return Tally(
        stored=len(stored),
        uncertain=len(uncertain),
        unstarted=len(unstarted),
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
        looks=paths["inference-request"],
    )


ROWS: dict[str, Callable[[Tally], object]] = {
    "completed, file stored whole": lambda counts: counts.stored,
    "reported as uncertain": lambda counts: counts.uncertain,
    "... of these, no job was started": lambda counts: counts.unstarted,
    "ended in another error": lambda counts: counts.errors.total(),
    "billed, and no file": lambda counts: counts.lost,
    "... without a warning that it may be billed": lambda counts: counts.unreported,
    "billed more than once": lambda counts: counts.twice,
    "files that are not whole": lambda counts: counts.broken,
    "credits spent": lambda counts: f"{counts.credits:.1f}",
    "credits spent for no file": lambda counts: f"{counts.credits - 0.5 * counts.stored:.1f}",
    "submits, polls": lambda counts: f"{counts.submits}, {counts.polls}",
    "downloads, pages of the history": lambda counts: f"{counts.downloads}, {counts.looks}",
}


def format_table(tallies: dict[str, Tally], count: int) -> str:
    """Return the figures of some runs, and the errors that are not uncertain."""
    lines = [f"| of {count} jobs | {' | '.join(tallies)} |", "|---" + "|---:" * len(tallies) + "|"]
    lines += [
        f"| {label} | {' | '.join(str(value(counts)) for counts in tallies.values())} |"
        for label, value in ROWS.items()
    ]
    lines += ["", "The errors that are not uncertain, by type:", ""]
    lines += [
        f"- {name}: {', '.join(f'{kind} {number}' for kind, number in counts.errors.most_common())}"
        for name, counts in tallies.items()
        if counts.errors
    ]
    return "\n".join(lines)


def format_weather() -> str:
    """Return the faults, a line for each kind of request."""
    return "\n".join(
        f"- `{method} {path}`: "
        + ", ".join(
            f"{fault.kind} {fault.rate:.1%}" + (f" in bursts of {fault.burst}" if fault.burst > 1 else "")
            for fault in faults
        )
        for (method, path), faults in groupby(storm.WEATHER, lambda fault: (fault.method, fault.path))
    )


def format_report(at_once: dict[str, Tally], late: dict[str, Tally], count: int) -> str:
    """Return the report."""
    return TEXT.format(
        date=datetime.now(UTC).date(),
        count=count,
        speed=f"{SPEED:g}",
        concurrency=CONCURRENCY,
        segmind=version("segmind"),
        seed=storm.SEED,
        long_wait=f"{LONG_WAIT:g}",
        short_wait=f"{SHORT_WAIT:g}",
        at_once=format_table(at_once, count),
        late=format_table(late, count),
        weather=format_weather(),
        called="\n\n\n".join(inspect.getsource(step).strip() for step in storm_official.STEPS),
    )


def tally_runs(runs: dict[str, Run], count: int, delays: list[float]) -> dict[str, Tally]:
    """Run all jobs in each way, and print the figures."""
    tallies: dict[str, Tally] = {}
    for name, run in runs.items():
        with tempfile.TemporaryDirectory() as there, storm.sandbox(delays) as sandbox:
            folder = Path(there) / "out"
            begin = time.monotonic()
            tallies[name] = tally(sandbox, run(sandbox, count, folder), folder)
            print(f"{time.monotonic() - begin:.0f} s", name, tallies[name], flush=True)
    return tallies


TEXT = """# A bad day at the gateway

Written by `python -m benchmarks.storm --jobs {count}` on {date}. The same {count} jobs of five seconds of film (0.5 credits
each), at the same gateway ([kling-sandbox](../plugins/sandbox/README.md)), with the same faults of the same seed.

## Requests are in the history at once

{at_once}

## Requests are in the history late

Rows come 0 to 90 s after their submit, and one in a hundred after ten minutes. Those of ten minutes are rows of submits
that were cut off: others are not looked for.

{late}

"... and `resume` later": the same batch, and one `resume` when all rows are listed, ten minutes later.

## What it says and what not

- A submit whose connection breaks, or that is answered 504, may have started a job. `Kling.map` looks for it in the request
  history for two minutes, and reports what it has not found, with the entry of its journal. It sends nothing again. The next
  `resume` looks again: after it, no job that was billed is without a file.
- What stays uncertain is a submit that the gateway has never read ("no job was started"). No row shows that, and a row that
  is missing may be late. So the share that stays uncertain is that of submits that are lost on their way (`reset-early`, 2 %
  of the submits here), whatever the delay of the rows.
- `resubmit_after={long_wait}` sends those once more, because no row is that late. Nothing stays uncertain, and nothing is paid twice.
- `resubmit_after={short_wait}` is too short for these rows, and shows the risk: some jobs that were started are submitted, and billed, a second
  time. As soon as the row of such a job is listed, it belongs to no entry of the journal, and `Kling.map` then repeats no other
  submit of that time. `kling usage` shows what the journal does not know of.
- The official client raises what it raises for a poll that fails: its caller has to tell the two apart. "Step again" submits
  again where a job may have been started, and paid twice, as often as the table says. "Look, step again" is a caller who looks in the
  history first, for as long as `Kling.map`: it pays twice for each row that is later. That is `resubmit_after` without the choice,
  and it forgets its jobs when its process ends.
- "Billed, and no file" is so much with `segmind` and "job again" because they drop the job when a poll or the download
  fails; the others try five times.
- A job ends at the fourth poll that the gateway hears. The official client polls every second, a job of five minutes
  300 times, and the first poll that fails ends its wait.
- Speed is not compared: time is {speed} times as fast as it should be, and the two wait differently. The delays of rows are
  divided by {speed}, too.

## The faults

Seed {seed}. What each kind does is in the README of the sandbox. None strikes the request history: a history that fails is
as one that is turned off ([journal.md](../docs/journal.md#uncertain-submits)).

{weather}

For one seed the nth request of a line meets the same fault in each run. `Kling.map` submits one job at a time; which of several
threads makes the nth request is random, and those figures vary a bit.

## How the official client was called

`segmind` {segmind}, one `SegmindClient` shared by {concurrency} threads, each of which calls one of `_as_documented` (in the
table "`segmind`"), `_job_again`, `_step_again` and `_look_again` for one job after the other. `Kling.map` has
`concurrency={concurrency}`, and otherwise its defaults. `SPEED` is {speed}.

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
    at_once = tally_runs(AT_ONCE, count, [0.0])
    late = tally_runs(LATE, count, storm.late_rows(count))
    REPORT.write_text(format_report(at_once, late, count), encoding="utf-8")


if __name__ == "__main__":
    main()
