"""How the jobs of a batch ended: as rows of a file beside it, and as counts on standard error."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self, cast

from kling_adapters._text import format_sum
from kling_adapters.cli.output import (
    count_noun,
    escape_controls,
    print_message,
    print_progress,
)
from kling_adapters.errors import JobFailed, KlingError, StorageError

if TYPE_CHECKING:
    from rich.progress import Progress

    from kling_adapters.client.job import AsyncResult, Result
    from kling_adapters.protocol.tasks import Outcome


def outcome_row(outcome: Outcome[Result] | Outcome[AsyncResult]) -> dict[str, Any]:
    """Return how a job ended, for a program to read."""
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


class OutcomesFile:
    """The file of outcomes beside a batch file, readable by its owner alone.

    What an earlier run wrote stays until the first outcome of this one. A link is replaced, not followed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def check(self) -> None:
        """Raise StorageError if the file could not be written, before anything is sent."""
        reason = "it is a folder" if self.path.is_dir() else None
        if reason is None and not os.access(self.path.parent, os.W_OK | os.X_OK):
            reason = "its folder cannot be written to"
        if reason is not None:
            raise StorageError(f"{self.path} cannot be written: {reason}. Nothing was sent")

    def read_request_ids(self) -> set[str]:
        """Return the jobs that an earlier run reported; lines that cannot be read are passed over."""
        try:
            content = self.path.read_bytes() if self.path.is_file() else b""
        except OSError:
            content = b""
        request_ids: set[str] = set()
        for line in content.splitlines():
            with suppress(ValueError, RecursionError):
                row: Any = json.loads(line)
                if isinstance(row, dict):
                    request_id = cast("dict[str, Any]", row).get("request_id")
                    request_ids |= {request_id} if isinstance(request_id, str) else set()
        return request_ids

    def add(self, line: int, outcome: Outcome[AsyncResult]) -> None:
        """Write how the job of a line ended. Raises StorageError."""
        row: dict[str, Any] = {"line": line, **outcome_row(outcome)}
        # A signed link opens the file to anybody.
        row["files"] = [{**file, "link": None} for file in row["files"]]
        try:
            if self._file is None:
                self._file = self._replace()
            # ASCII: an output may hold half a character, which is no text in UTF-8.
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
        except OSError as error:
            raise StorageError(f"{self.path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _replace(self) -> IO[str]:
        """Put a new file in the place of the old one and return it."""
        descriptor, temporary = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            Path(temporary).replace(self.path)
        except OSError:
            os.close(descriptor)
            Path(temporary).unlink(missing_ok=True)
            raise
        return os.fdopen(descriptor, "w", encoding="ascii")


class Tally:
    """Counts outcomes and shows them on standard error: a bar on a terminal, a line each elsewhere.

    `total`: how many there are to be, None if it is not known. `can_resume`: the journal knows the batch.
    """

    def __init__(self, total: int | None, *, can_resume: bool = True) -> None:
        self._total = total
        self._can_resume = can_resume
        self._states: Counter[str] = Counter()
        self._cost = 0.0
        self._code = 0
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
            self.say("jobs that were submitted go on; run this again within the hour")
            sys.exit(4)

    def add(self, outcome: Outcome[Result] | Outcome[AsyncResult], place: str) -> None:
        """Count an outcome; `place` says which it is where the gateway gave no request id."""
        self._states[_state(outcome)] += 1
        if outcome.result is not None:
            self._cost += outcome.result.metrics.cost or 0.0
        if outcome.error is not None:
            self.report_error(outcome.error, f"{outcome.model} {outcome.request_id or place}: ")
        if self._bar is not None:
            self._bar.update(
                self._bar.task_ids[0], description=self._summary(), completed=self._states.total()
            )
        else:
            print_progress(f"{self._count()}: {self._summary()}")

    def report_error(self, error: Exception, place: str = "") -> None:
        """Show an error, which decides on the exit code."""
        from kling_adapters.cli import INTERNAL_ERROR, exit_code

        if isinstance(error, KlingError):
            self._code = max(self._code, exit_code(error))
            self.say(f"{place}{error}")
        else:
            self._code = INTERNAL_ERROR
            self.say(f"{place}internal error: {type(error).__name__}: {error}")

    def say(self, text: str) -> None:
        """Tell the user something while it runs."""
        if self._bar is not None:
            self._bar.console.print(escape_controls(text), markup=False, highlight=False, emoji=False)
        else:
            print_message(text)

    def finish(self) -> None:
        """End the command with what was counted, unless all is well."""
        left = max(0, (self._total or 0) - self._states.total())
        if self._bar is not None:
            print_progress(f"{self._count()}: {self._summary()}")
        if left:
            have = "has" if left == 1 else "have"
            advice = "--resume goes on" if self._can_resume else "without a journal, --resume cannot go on"
            print_message(
                f"{count_noun(left, 'line')} {have} not ended or "
                f"{'was' if left == 1 else 'were'} not submitted; {advice}"
            )
            self._code = max(self._code, 4)
        if self._code:
            sys.exit(self._code)

    def _count(self) -> str:
        done = self._states.total()
        return str(done) if self._total is None else f"{done}/{self._total}"

    def _summary(self) -> str:
        counts = [f"{count} {state.lower()}" for state, count in sorted(self._states.items())]
        return f"{', '.join(counts)}; {format_sum(self._cost)} credits"


def _state(outcome: Outcome[Result] | Outcome[AsyncResult]) -> str:
    if outcome.error is None:
        return "COMPLETED"
    if isinstance(outcome.error, JobFailed):
        return "FAILED"
    names = {"SubmitUncertain": "UNCERTAIN", "JobExpired": "EXPIRED", "WaitTimeout": "UNFINISHED"}
    if outcome.result is not None:
        return "NOT STORED"
    return names.get(type(outcome.error).__name__, "REFUSED" if outcome.request_id is None else "UNFINISHED")
