"""The progress of many jobs on standard error, and the exit code of their command."""

from __future__ import annotations

import sys
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Self

from kling_adapters._text import format_sum
from kling_adapters.cli.exit_codes import ExitCode, exit_code, most_severe
from kling_adapters.cli.outcomes import outcome_state
from kling_adapters.cli.output import count_noun, escape_controls, print_message, print_progress
from kling_adapters.cli.wording import describe_error
from kling_adapters.errors import KlingError

if TYPE_CHECKING:
    from rich.progress import Progress

    from kling_adapters.client.result import AsyncResult, Result
    from kling_adapters.protocol.tasks import Outcome


class Tally:
    """Count of outcomes, shown on standard error as a bar on a terminal, else as lines.

    Args:
        total: The number of jobs; None if it is unknown.
        interrupted: The message after Ctrl-C.
        can_resume: Whether --resume can continue the batch, which needs a journal.

    """

    def __init__(self, total: int | None, interrupted: str, *, can_resume: bool = True) -> None:
        self._total = total
        self._interrupted = interrupted
        self._can_resume = can_resume
        self._states: Counter[str] = Counter()
        self._earlier: Counter[str] = Counter()
        self._cost = 0.0
        self._codes = {ExitCode.DONE}
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        if console.is_terminal:
            description = TextColumn("{task.description}", markup=False)
            self._bar = Progress(description, MofNCompleteColumn(), TimeElapsedColumn(), console=console)
            self._bar.add_task("", total=self._total)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if isinstance(error, KeyboardInterrupt):
            self.show_message(self._interrupted)
            sys.exit(ExitCode.UNCERTAIN)

    def add(self, outcome: Outcome[Result] | Outcome[AsyncResult], label: str) -> None:
        """Count an outcome; `label` stands for a missing request id."""
        self._states[outcome_state(outcome)] += 1
        if outcome.result is not None:
            self._cost += outcome.result.metrics.cost or 0.0
        if outcome.error is not None:
            self.report_error(outcome.error, f"{outcome.model} {outcome.request_id or label}: ")
        if self._bar is None:
            print_progress(self._progress())
        self._update_bar()

    def add_earlier(self, outcome: Outcome[Result] | Outcome[AsyncResult]) -> None:
        """Count the outcome of a job that an earlier run has finished and reported."""
        self._earlier[outcome_state(outcome)] += 1
        if outcome.error is not None:
            self._codes.add(exit_code(outcome.error))
        self._update_bar()

    def report_error(self, error: Exception, prefix: str = "") -> None:
        """Show an error and count it for the exit code."""
        self._codes.add(exit_code(error))
        if isinstance(error, KlingError):
            self.show_message(f"{prefix}{describe_error(error)}")
        else:
            self.show_message(f"{prefix}internal error: {type(error).__name__}: {error}")

    def report_code(self, code: ExitCode) -> None:
        """Count a code for the exit code."""
        self._codes.add(code)

    def show_message(self, text: str) -> None:
        """Show a message while jobs run."""
        if self._bar is not None:
            self._bar.console.print(escape_controls(text), markup=False, highlight=False, emoji=False)
        else:
            print_message(text)

    def finish(self) -> None:
        """End the command with the most severe counted exit code, unless it is 0."""
        missing = max(0, (self._total or 0) - self._done)
        if self._earlier.total() and self._earlier.total() == self._total:
            print_progress(f"nothing to do: {_format_counts(self._earlier)}")
        elif self._bar is not None:
            print_progress(self._progress())
        if missing:
            self._codes.add(ExitCode.INCOMPLETE)
            advice = (
                "--resume continues" if self._can_resume else "without a journal, --resume cannot continue"
            )
            print_message(f"{count_noun(missing, 'line')} not submitted or not ended; {advice}")
        if code := most_severe(self._codes):
            sys.exit(code)

    @property
    def _done(self) -> int:
        return self._states.total() + self._earlier.total()

    def _update_bar(self) -> None:
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], description=self._summary(), completed=self._done)

    def _progress(self) -> str:
        summary = self._summary()
        return summary if self._total is None else f"{self._done}/{self._total}: {summary}"

    def _summary(self) -> str:
        counts = _format_counts(self._states)
        if self._earlier:
            counts = (
                f"{self._earlier.total()} earlier, {counts}" if counts else f"{self._earlier.total()} earlier"
            )
        return f"{counts}; {format_credits(self._cost)}"


def format_credits(amount: float) -> str:
    """Return an amount with its unit, such as "1 credit" or "2.5 credits"."""
    return f"{format_sum(amount)} {'credit' if amount == 1 else 'credits'}"


def _format_counts(states: Counter[str]) -> str:
    return ", ".join(f"{count} {state.lower()}" for state, count in sorted(states.items()))
