"""The progress of one job on standard error, as a plugin of the client."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console, RenderableType
from rich.progress_bar import ProgressBar

from kling_adapters.cli.output import escape_controls, print_message, print_progress
from kling_adapters.events import Completed, Event, StateChanged, Stored, Submitted
from kling_adapters.hookspecs import hookimpl
from kling_adapters.schema.catalog import Catalog


class _Expected(progress.ProgressColumn):
    """A bar that fills over the usual time of the model, and is full only when the job is done."""

    def render(self, task: progress.Task) -> RenderableType:
        elapsed = task.elapsed or 0.0
        if task.finished:
            return ProgressBar(total=1, completed=1, width=40)
        if task.total is None:
            return ProgressBar(total=None, pulse=True, width=40, animation_time=elapsed)
        return ProgressBar(total=task.total, completed=min(elapsed, 0.97 * task.total), width=40)


class Progress:
    """Progress as a bar on a terminal, else as lines, or nothing if `quiet`; after Ctrl-C, advice."""

    catalog: Catalog | None = None

    def __init__(self, *, quiet: bool, has_journal: bool) -> None:
        self._quiet = quiet
        self._has_journal = has_journal
        self._request_id: str | None = None
        self._task: progress.TaskID | None = None
        console = Console(stderr=True)
        self._bar: progress.Progress | None = None
        if console.is_terminal and not quiet:
            columns = (
                progress.TextColumn("{task.description}", markup=False),
                _Expected(),
                progress.TimeElapsedColumn(),
            )
            self._bar = progress.Progress(*columns, console=console)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if not isinstance(error, KeyboardInterrupt):
            return
        if self._request_id is None:
            advice = "`kling reconcile` looks for its job, and `kling jobs --uncertain` lists it"
            if not self._has_journal:
                advice = "no journal has recorded it: look for its job in the requests of your account"
            print_message(f"interrupted; if a submit was in flight, {advice}")
        else:
            print_message(
                f"job {self._request_id} continues and will be billed when it completes. Within the hour:\n"
                f"  kling wait {self._request_id} --save-to DIR"
            )
        sys.exit(4)

    @hookimpl
    def kling_event(self, event: Event) -> None:
        """Show the state of the job."""
        match event:
            case Submitted():
                self._request_id = event.request_id
                self._show(event, "submitted")
            case StateChanged():
                self._request_id = event.request_id
                self._show(event, event.state.lower())
            case Completed():
                self._show(event, "completed", done=True)
            case Stored():
                self._show(event, "stored", done=True)
            case _:
                pass

    def _show(self, event: Event, state: str, *, done: bool = False) -> None:
        if self._bar is None:
            if not self._quiet:
                print_progress(f"{event.model or 'job'} {event.request_id}: {state}")
            return
        if self._task is None:
            entry = self.catalog.get(event.model or "") if self.catalog else None
            self._task = self._bar.add_task("", total=entry.latency if entry else None)
        self._bar.update(self._task, description=escape_controls(f"{event.model or 'job'} {state}"))
        if done:
            self._bar.update(self._task, total=1, completed=1)
