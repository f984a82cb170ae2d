"""One run of a batch: its requests, its outcomes, and the signals that stop it."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from kling_adapters.cli.batch_history import is_unchanged
from kling_adapters.cli.exit_codes import ExitCode
from kling_adapters.cli.outcomes import OutcomesFile, outcome_row
from kling_adapters.cli.output import print_json
from kling_adapters.cli.tally import Tally
from kling_adapters.errors import KlingError, StorageError

if TYPE_CHECKING:
    import anyio

    from kling_adapters.cli.batch_file import InvalidLine, Line
    from kling_adapters.cli.connection import ClientOptions
    from kling_adapters.client.result import AsyncResult
    from kling_adapters.journal.entries import JournalEntry
    from kling_adapters.protocol.tasks import Outcome
    from kling_adapters.schema.params import Params


class BatchRun:
    """Submits lines until a signal stops it, and reports every outcome.

    Args:
        lines: The requests.
        finished: The journal entries of lines that earlier runs have finished, by index.
        tally: Counts and shows outcomes.
        outcomes: Receives a JSON object for each outcome.
        as_json: Print the same objects to standard output.

    """

    def __init__(
        self,
        lines: Sequence[Line],
        finished: Mapping[int, JournalEntry],
        tally: Tally,
        outcomes: OutcomesFile,
        *,
        as_json: bool,
    ) -> None:
        self._lines = lines
        self._finished = finished
        self._tally = tally
        self._outcomes = outcomes
        self._as_json = as_json
        self._is_stopping = False
        self._is_file_broken = False

    async def run(self, client: ClientOptions, invalid: Sequence[InvalidLine], **options: Any) -> None:
        """Run every line.

        Args:
            client: The arguments of the client.
            invalid: Lines that are only reported.
            options: The arguments of `AsyncKling.map`.

        Raises:
            KlingError: The batch could not start, or ended early.

        """
        import anyio

        from kling_adapters.client.async_client import AsyncKling

        failure: KlingError | None = None
        async with AsyncKling(**client) as kling, anyio.create_task_group() as group:
            group.start_soon(self._listen, group.cancel_scope)
            try:
                async with aclosing(kling.map(self._iter_requests(), **options)) as outcomes:
                    await self._report(outcomes, invalid)
            except KlingError as error:
                # Raised inside the task group, it would become an ExceptionGroup.
                failure = error
            group.cancel_scope.cancel()
        self._outcomes.close()
        if failure is not None:
            raise failure

    async def follow(
        self, outcomes: AsyncGenerator[Outcome[AsyncResult]], invalid: Sequence[InvalidLine]
    ) -> None:
        """Report the outcomes of jobs that other processes run.

        Args:
            outcomes: The outcomes.
            invalid: Lines that are only reported.

        """
        try:
            async with aclosing(outcomes):
                await self._report(outcomes, invalid)
        finally:
            self._outcomes.close()

    def _iter_requests(self) -> Iterator[Params]:
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
                    self._tally.show_message("finishing jobs in flight; press Ctrl-C again to stop at once")
                # Process managers may send SIGTERM several times, and SIGKILL when the time is up.
                elif number == signal.SIGINT:
                    self._tally.show_message("stopped at once; submitted jobs continue")
                    self._tally.report_code(ExitCode.UNCERTAIN)
                    scope.cancel()
                    return

    async def _report(
        self, outcomes: AsyncIterator[Outcome[AsyncResult]], invalid: Sequence[InvalidLine]
    ) -> None:
        async for outcome in outcomes:
            line = self._lines[outcome.index]
            if is_unchanged(outcome, self._finished.get(outcome.index)):
                self._tally.add_earlier(outcome)
            else:
                self._tally.add(outcome, f"line {line.number}")
            self._write({"line": line.number, **line.notes, **outcome_row(outcome)})
        for invalid_line in invalid:
            self._write(_invalid_row(invalid_line))

    def _write(self, row: Mapping[str, Any]) -> None:
        """Write a row. After a failure, jobs in flight are finished and no more are submitted."""
        if self._as_json:
            print_json(row, indent=None)
        if self._is_file_broken:
            return
        try:
            self._outcomes.add(row)
        except StorageError as error:
            self._is_file_broken = self._is_stopping = True
            self._tally.report_error(error)


def _invalid_row(line: InvalidLine) -> dict[str, Any]:
    return {
        "line": line.number,
        **line.notes,
        "model": None,
        "state": "INVALID",
        "request_id": None,
        "files": [],
        "output": None,
        "cost": None,
        "error": "; ".join(line.problems),
    }


def _stop_signals() -> list[signal.Signals]:
    """Return the signals that stop a batch, except those that the parent process ignores."""
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers: list[signal.Signals] = [getattr(signal, name) for name in names]
    return [signal.SIGINT, *(number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN)]
