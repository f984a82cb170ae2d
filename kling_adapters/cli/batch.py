"""`kling batch`: a file of jobs, checked as a whole, run many at a time, and taken up again."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kling_adapters._text import format_sum
from kling_adapters.cli.batch_file import Line, read_batch
from kling_adapters.cli.connection import (
    AMOUNT,
    base_url,
    check_journal,
    journal,
    sandbox,
    save_to,
)
from kling_adapters.cli.jobs import connection
from kling_adapters.cli.outcomes import OutcomesFile, Tally
from kling_adapters.cli.output import count_noun, print_line, print_table
from kling_adapters.cli.values import text_files_below
from kling_adapters.errors import ConfigError, KlingError, StorageError

if TYPE_CHECKING:
    import anyio

    from kling_adapters.client.async_client import AsyncKling
    from kling_adapters.client.job import AsyncResult
    from kling_adapters.journal.journal import JournalEntry
    from kling_adapters.protocol.tasks import Outcome
    from kling_adapters.schema.params import Params


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--model", metavar="SLUG", help="The model of lines that name none.")
@save_to
@click.option("--concurrency", type=click.IntRange(1), default=16, show_default=True, help="Jobs at a time.")
@click.option("--max-cost", type=AMOUNT, metavar="CREDITS", help="Submit nothing that could exceed this.")
@click.option("--dry-run", is_flag=True, help="Check every line and estimate the cost; send nothing.")
@click.option("--resume", is_flag=True, help="Go on: a line that was submitted is never submitted again.")
@click.option(
    "--name", metavar="NAME", help="The name of the batch in the journal; by default the path of FILE."
)
@click.option(
    "--allow-files",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Read @FILE of parameters that are text, from files in this folder.",
)
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
    name: str | None,
    allow_files: Path | None,
    base_url: str | None,
    journal: str | None,
    sandbox: bool,
) -> None:
    """Run every line of FILE, and write how each ended to FILE.outcomes.jsonl.

    A line of a .jsonl file is {"model": "kling-2", "prompt": "..."}; a .json file may be a list of such objects. The
    columns of a .csv file are parameters; an empty cell is not sent, and a list is JSON. Every line is checked before
    the first is sent.

    Where a model takes media, @FILE is a file of this machine. In other parameters @ is text, but see --allow-files.

    Ctrl-C, or SIGTERM, finishes what is in flight and submits nothing more; Ctrl-C after that stops at once. --resume
    goes on afterwards, with the same journal and the same path or --name.
    """
    import anyio

    from kling_adapters.client.async_client import AsyncKling
    from kling_adapters.plugins.manager import load_catalog

    read_text = text_files_below(allow_files) if allow_files else None
    lines = read_batch(file, model, load_catalog(), read_text)
    outcomes = OutcomesFile(file.with_name(f"{file.name}.outcomes.jsonl"))

    async def main() -> Tally:
        async with AsyncKling(**options) as kling:
            entries = [] if options["journal"] is None else await kling.entries()
            if dry_run:
                due = _lines_due(lines, entries, earlier) if resume else lines
                _estimate(due, [entry for entry in entries if entry.gateway == options["base_url"]])
                return Tally(0)
            earlier.check(entries, outcomes, file, is_resumed=resume)
            outcomes.check()
            with Tally(len(lines), can_resume=options["journal"] is not None) as tally:
                run = _Run(lines, tally, outcomes)
                await run.run(
                    kling,
                    concurrency=concurrency,
                    save_to=save_to,
                    max_cost=max_cost,
                    name=None if options["journal"] is None else earlier.name,
                )
            return tally

    with ExitStack() as stack:
        options = connection(stack, base_url, journal, sandbox=sandbox)
        if resume and options["journal"] is None:
            raise ConfigError("--resume needs the journal. Nothing was sent")
        if not dry_run:
            check_journal(options["journal"])
        earlier = _Earlier(name or _printable(file.resolve()), options["base_url"], options["journal"])
        tally = anyio.run(main)
    tally.finish()


class _Earlier:
    """What the journal knows of earlier runs of a batch."""

    def __init__(self, name: str, gateway: str, journal: Path | None) -> None:
        self.name = name
        self._gateway = gateway
        self._journal = journal

    def entries(self, entries: Sequence[JournalEntry]) -> list[JournalEntry]:
        """Return those of this batch."""
        return [entry for entry in entries if _batch_name(entry) == self.name]

    def entries_here(self, entries: Sequence[JournalEntry]) -> list[JournalEntry]:
        """Return those of this batch and this gateway."""
        return [entry for entry in self.entries(entries) if entry.gateway == self._gateway]

    def check(
        self, entries: Sequence[JournalEntry], outcomes: OutcomesFile, file: Path, *, is_resumed: bool
    ) -> None:
        """Raise ConfigError if lines that were paid for would be submitted again."""
        if not is_resumed:
            # Of any gateway: a warning too many costs nothing.
            if self.entries(entries):
                raise ConfigError(
                    f"{file} was run before: --resume goes on, and submits only lines that were not. To pay for all "
                    "of it once more, run a copy of the file, or give another --name. Nothing was sent"
                )
            return
        if not self.entries_here(entries):
            raise ConfigError(
                f"the journal {self._journal} knows no job of the batch {self.name} at {self._gateway}, so --resume "
                f"would submit and pay for every line. {self._advice(entries, file)} To run it for the first time, "
                "leave out --resume. Nothing was sent"
            )
        unknown = outcomes.read_request_ids() - {entry.request_id or "" for entry in entries}
        if unknown:
            raise ConfigError(
                f"{outcomes.path} reports {count_noun(len(unknown), 'job')} that the journal {self._journal} does not "
                "know, so --resume would submit and pay for their lines again. Give the journal of that run with "
                "--journal or KLING_JOURNAL; if the file is of another run, remove it. Nothing was sent"
            )

    def _advice(self, entries: Sequence[JournalEntry], file: Path) -> str:
        names = {_batch_name(entry) for entry in entries if entry.gateway == self._gateway}
        moved = sorted(name for name in names if name and Path(name).name == file.name)
        if moved:
            return f"If the file was moved, give its old name: {' or '.join(f'--name {name}' for name in moved)}."
        return "Give the journal of the earlier run with --journal or KLING_JOURNAL, and its --name if it had one."


class _Run:
    """A run of a batch: it submits until it is told to stop, and reports every outcome."""

    def __init__(self, lines: Sequence[Line], tally: Tally, outcomes: OutcomesFile) -> None:
        self._lines = lines
        self._tally = tally
        self._outcomes = outcomes
        self._is_stopping = False

    async def run(self, kling: AsyncKling, **options: Any) -> None:
        import anyio

        failure: KlingError | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen, group.cancel_scope)
            try:
                async with aclosing(kling.map(self._requests(), **options)) as outcomes:
                    await self._report(outcomes)
            except KlingError as error:
                # Raised in here it would come out as a group of errors.
                failure = error
            group.cancel_scope.cancel()
        self._outcomes.close()
        if failure is not None:
            raise failure

    def _requests(self) -> Iterator[Params]:
        for line in self._lines:
            if self._is_stopping:
                return
            yield line.params

    async def _listen(self, scope: anyio.CancelScope) -> None:
        import anyio

        with anyio.open_signal_receiver(*_stop_signals()) as signals:
            async for number in signals:
                if not self._is_stopping:
                    self._is_stopping = True
                    self._tally.say("finishing what is in flight; Ctrl-C once more stops at once")
                # Whoever ends a process may send SIGTERM several times, and SIGKILL when the time is up.
                elif number == signal.SIGINT:
                    self._tally.say("stopped at once")
                    scope.cancel()
                    return

    async def _report(self, outcomes: AsyncIterator[Outcome[AsyncResult]]) -> None:
        """Report each outcome as it comes. When the file cannot be written, what is in flight is still finished."""
        is_written = True
        async for outcome in outcomes:
            number = self._lines[outcome.index].number
            self._tally.add(outcome, f"line {number}")
            if is_written:
                try:
                    self._outcomes.add(number, outcome)
                except StorageError as error:
                    is_written, self._is_stopping = False, True
                    self._tally.report_error(error)


def _stop_signals() -> list[signal.Signals]:
    """Return the signals that stop a batch, but for those that whoever started this process wants ignored."""
    polite = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [signal.SIGINT, *(number for number in polite if signal.getsignal(number) is not signal.SIG_IGN)]


def _printable(path: Path) -> str:
    """Return a path as text that the journal can hold, whatever the bytes of its name are."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _batch_name(entry: JournalEntry) -> str:
    return (entry.tag or "").rpartition("#")[0]


def _lines_due(lines: Sequence[Line], entries: Sequence[JournalEntry], earlier: _Earlier) -> list[Line]:
    """Return the lines that --resume would submit."""
    from kling_adapters.journal.journal import REFUSED
    from kling_adapters.protocol.tasks import request_tags

    states = {entry.tag: entry.state for entry in earlier.entries_here(entries)}
    tags = request_tags(earlier.name, (line.params for line in lines))
    return [line for line, tag in zip(lines, tags, strict=True) if states.get(tag, REFUSED) == REFUSED]


def _estimate(lines: Sequence[Line], entries: Sequence[JournalEntry]) -> None:
    """Print what the lines would cost, by what jobs of their models have cost at this gateway."""
    rows: list[tuple[str, ...]] = []
    total, unknown = 0.0, 0
    for model, count in Counter(line.params.adapter.slug for line in lines).items():
        costs = [entry.cost for entry in entries if entry.model == model and entry.cost is not None]
        if costs:
            mean = sum(costs) / len(costs)
            total += count * mean
            rows.append((model, str(count), format_sum(count * mean), format_sum(count * max(costs))))
        else:
            unknown += count
            rows.append(
                (model, str(count), "unknown: the journal has no job of it at this gateway", "unknown")
            )
    print_table(("model", "lines", "credits, by the mean of the journal", "at most, by its highest"), rows)
    cost = "an unknown cost" if unknown == len(lines) else f"about {format_sum(total)} credits"
    if 0 < unknown < len(lines):
        cost += f", and an unknown cost for {count_noun(unknown, 'line')} of them"
    if not lines:
        cost = "nothing to pay"
    print_line(f"{count_noun(len(lines), 'line')} to submit: {cost}. Nothing was sent.")
