"""`kling batch`: a file of jobs, checked as a whole, run many at a time, and taken up again."""

from __future__ import annotations

import csv
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import click

from kling_adapters._text import format_sum
from kling_adapters.cli.jobs import base_url, connection, journal, sandbox, save_to
from kling_adapters.cli.listings import print_table
from kling_adapters.errors import ConfigError, JobFailed, KlingError, ParamsInvalid, StorageError

if TYPE_CHECKING:
    from rich.progress import Progress

    from kling_adapters.batch import Outcome
    from kling_adapters.catalog import Catalog
    from kling_adapters.client import AsyncKling
    from kling_adapters.job import AsyncResult, Result
    from kling_adapters.journal import JournalEntry
    from kling_adapters.params import Params


@dataclass(frozen=True)
class Line:
    """A line of the file that may be sent."""

    number: int
    params: Params


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--model", metavar="SLUG", help="The model of lines that name none.")
@save_to
@click.option("--concurrency", type=click.IntRange(1), default=16, show_default=True, help="Jobs at a time.")
@click.option("--max-cost", type=float, metavar="CREDITS", help="Submit nothing that could exceed this.")
@click.option("--dry-run", is_flag=True, help="Check every line and estimate the cost; send nothing.")
@click.option("--resume", is_flag=True, help="Go on: a line that was submitted is never submitted again.")
@base_url
@journal
@sandbox
def batch(
    file: Path,
    model: str | None,
    save_to: str | None,
    concurrency: int,
    max_cost: float | None,
    dry_run: bool,
    resume: bool,
    base_url: str,
    journal: str | None,
    sandbox: bool,
) -> None:
    """Run every line of FILE, and write how each ended to FILE.outcomes.jsonl.

    A line of a .jsonl file is {"model": "kling-2", "prompt": "..."}. The columns of a .csv file are parameters, read like
    NAME=VALUE of `kling run`; an empty cell is not sent. Every line is checked before the first is sent.

    Ctrl-C finishes what is in flight and submits nothing more; twice, it stops at once. --resume goes on afterwards.
    """
    import anyio

    from kling_adapters.client import AsyncKling
    from kling_adapters.plugins import load_catalog

    lines = _read(file, model, load_catalog())
    name = str(file.resolve())

    async def main() -> Tally:
        async with AsyncKling(**options) as kling:
            entries = [] if options["journal"] is None else await kling.jobs()
            if dry_run:
                _estimate(lines, entries)
                return Tally(0)
            # An entry of this name: the gateway need not be the same for a warning.
            known = any((entry.tag or "").rpartition("#")[0] == name for entry in entries)
            if known and not resume:
                raise ConfigError(
                    f"{file} was run before: --resume goes on, and submits only lines that were not. To pay for all "
                    "of it once more, run a copy of the file. Nothing was sent"
                )
            if resume and options["journal"] is None:
                raise ConfigError("--resume needs the journal. Nothing was sent")
            with Tally(len(lines)) as tally:
                await _run(
                    kling,
                    lines,
                    tally,
                    file.with_name(f"{file.name}.outcomes.jsonl"),
                    concurrency=concurrency,
                    save_to=save_to,
                    max_cost=max_cost,
                    name=None if options["journal"] is None else name,
                )
            return tally

    with ExitStack() as stack:
        options = connection(stack, base_url, journal, sandbox=sandbox)
        if options["journal"] == "":
            from kling_adapters.journal import default_path

            options["journal"] = default_path()
        tally = anyio.run(main)
    tally.finish()


async def _run(
    kling: AsyncKling, lines: Sequence[Line], tally: Tally, manifest: Path, **options: Any
) -> None:
    import anyio

    is_stopping = False
    failure: KlingError | None = None

    def requests() -> Iterator[Params]:
        for line in lines:
            if is_stopping:
                return
            yield line.params

    async with anyio.create_task_group() as group:

        async def listen() -> None:
            nonlocal is_stopping
            with anyio.open_signal_receiver(signal.SIGINT) as signals:
                async for _ in signals:
                    if is_stopping:
                        tally.say("stopped at once; --resume goes on")
                        group.cancel_scope.cancel()
                        return
                    is_stopping = True
                    tally.say("finishing what is in flight; Ctrl-C once more stops at once")

        group.start_soon(listen)
        try:
            async with aclosing(kling.map(requests(), **options)) as outcomes:
                await _record(outcomes, lines, tally, manifest)
        except KlingError as error:
            # Raised in here it would come out as a group of errors.
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _record(
    outcomes: AsyncIterator[Outcome[AsyncResult]], lines: Sequence[Line], tally: Tally, manifest: Path
) -> None:
    """Write down how each line ends, as it happens."""
    try:
        with manifest.open("w", encoding="utf-8") as file:
            async for outcome in outcomes:
                row = {"line": lines[outcome.index].number, **outcome_row(outcome)}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()
                tally.add(outcome)
    except OSError as error:
        raise StorageError(f"{manifest} cannot be written: {error}") from error


def outcome_row(outcome: Outcome[Result] | Outcome[AsyncResult]) -> dict[str, Any]:
    """How a job ended, for a program to read."""
    result, error = outcome.result, outcome.error
    return {
        "model": outcome.model,
        "state": _state(outcome),
        "request_id": outcome.request_id,
        "files": [asdict(file) for file in result.saved] if result else [],
        "output": result.output if result else None,
        "cost": result.metrics.cost if result else None,
        "error": None if error is None else f"{type(error).__name__}: {error}",
    }


class Tally:
    """Counts outcomes and shows them on standard error: a bar on a terminal, a line each elsewhere.

    `total`: how many there are to be, None if nobody knows.
    """

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._states: Counter[str] = Counter()
        self._cost = 0.0
        self._code = 0
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn(), console=console
            )
            self._bar.add_task("", total=self._total)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if isinstance(error, KeyboardInterrupt):
            self.say("jobs that were submitted go on; run this again within the hour")
            sys.exit(4)

    def add(self, outcome: Outcome[Result] | Outcome[AsyncResult]) -> None:
        """Count an outcome."""
        from kling_adapters.cli import exit_code

        error = outcome.error
        self._states[_state(outcome)] += 1
        if outcome.result is not None:
            self._cost += outcome.result.metrics.cost or 0.0
        if error is not None:
            self._code = max(self._code, exit_code(error) if isinstance(error, KlingError) else 3)
            self.say(f"{outcome.model} {outcome.request_id or f'#{outcome.index}'}: {error}")
        if self._bar is not None:
            self._bar.update(
                self._bar.task_ids[0], description=self._summary(), completed=self._states.total()
            )
        else:
            click.echo(f"{self._count()}: {self._summary()}", err=True)

    def say(self, text: str) -> None:
        """Tell the user something while it runs."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            click.echo(f"kling: {text}", err=True)

    def finish(self) -> None:
        """End the command with what was counted, unless all is well."""
        left = max(0, (self._total or 0) - self._states.total())
        if self._bar is not None:
            click.echo(f"{self._count()}: {self._summary()}", err=True)
        if left:
            click.echo(
                f"kling: {left} lines have not ended or were not submitted; --resume goes on", err=True
            )
            self._code = 4
        if self._code:
            sys.exit(self._code)

    def _count(self) -> str:
        done = self._states.total()
        return str(done) if self._total is None else f"{done}/{self._total}"

    def _summary(self) -> str:
        told = [f"{count} {state.lower()}" for state, count in sorted(self._states.items())]
        return f"{', '.join(told)}; {format_sum(self._cost)} credits"


def _state(outcome: Outcome[Result] | Outcome[AsyncResult]) -> str:
    if outcome.error is None:
        return "COMPLETED"
    if isinstance(outcome.error, JobFailed):
        return "FAILED"
    names = {"SubmitUncertain": "UNCERTAIN", "JobExpired": "EXPIRED", "WaitTimeout": "UNFINISHED"}
    if outcome.result is not None:
        return "NOT STORED"
    return names.get(type(outcome.error).__name__, "REFUSED" if outcome.request_id is None else "UNFINISHED")


def _read(file: Path, model: str | None, catalog: Catalog) -> list[Line]:
    """Return every line. Raises ConfigError that tells what is wrong with each that is."""
    lines: list[Line] = []
    problems: list[str] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = _csv_rows(text) if file.suffix.lower() == ".csv" else _json_rows(text)
            for number, row in rows:
                try:
                    lines.append(Line(number, _params(row, model, catalog)))
                except ParamsInvalid as error:
                    problems.extend(f"line {number}: {problem}" for problem in error.problems)
                except ConfigError as error:
                    problems.append(f"line {number}: {error}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{file} cannot be read: {error}. Nothing was sent") from error
    if problems:
        count = len(problems)
        head = f"{count} problem{'' if count == 1 else 's'} in {file}; nothing was sent:"
        raise ConfigError("\n  ".join([head, *problems]))
    if not lines:
        raise ConfigError(f"{file} has no line to run")
    return lines


def _json_rows(text: Iterator[str]) -> Iterator[tuple[int, dict[str, Any] | None]]:
    for number, line in enumerate(text, start=1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                value = None
            yield number, cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _csv_rows(text: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(text, strict=True)
    for row in reader:
        yield reader.line_num, _Words(row)


class _Words(dict[str, Any]):
    """A line of words, whose types are those that the model declares."""


def _params(row: dict[str, Any] | None, model: str | None, catalog: Catalog) -> Params:
    from kling_adapters.cli.values import read_values

    if row is None:
        raise ConfigError("is no JSON object")
    given = {**row}
    slug = given.pop("model", None) or model
    if not isinstance(slug, str):
        raise ConfigError("names no model: give one, or --model")
    entry = catalog.find(slug)
    if isinstance(row, _Words):
        if None in (*given, *given.values()):
            raise ConfigError("has more or fewer cells than the first line")
        words = [f"{name}={cell}" for name, cell in given.items() if cell]
        given = read_values(words, entry.json_schema())
    return entry.load().model_validate(given)


def _estimate(lines: Sequence[Line], entries: Sequence[JournalEntry]) -> None:
    """Print what the lines would cost, by what jobs of their models have cost."""
    rows: list[tuple[str, ...]] = []
    total = 0.0
    for model, count in Counter(line.params.adapter.slug for line in lines).items():
        costs = [entry.cost for entry in entries if entry.model == model and entry.cost is not None]
        mean = sum(costs) / len(costs) if costs else None
        total += count * (mean or 0.0)
        told = "not known: none has run yet" if mean is None else format_sum(count * mean)
        most = "" if mean is None else format_sum(count * max(costs))
        rows.append((model, str(count), told, most))
    print_table(("model", "lines", "credits, by the mean of the journal", "at most, by its highest"), rows)
    click.echo(
        f"{len(lines)} lines are valid; about {format_sum(total)} credits where the cost is known. Nothing was sent."
    )
