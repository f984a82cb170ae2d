"""A job as pages and interfaces show it: an entry of a journal with its place in the application."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from kling_adapters import JournalEntry, KlingError, Params
from kling_serve.connections import Connection

RUNNING_STATES: Final = frozenset({"SUBMITTING", "QUEUED", "PROCESSING"})
_FOLDER: Final = re.compile(r".*[/\\]outputs[/\\]([a-f0-9]{24}|[a-f0-9]{48})[/\\]?", re.DOTALL)


@dataclass(frozen=True)
class Job:
    """A job of a journal.

    Attributes:
        id: The id in addresses: the handle of a job that was submitted here, else connection and number.
        connection: The gateway that it runs on.
        entry: The entry of the journal.
        version: Number of the last change, which grows; see `Watch.list_changed`.

    """

    id: str
    connection: Connection
    entry: JournalEntry
    version: int = 0

    @property
    def is_abandoned(self) -> bool:
        """True if its gateway is not that of the connection, such as a sandbox that has ended."""
        return self.entry.gateway != self.connection.client.base_url

    @property
    def is_uncertain(self) -> bool:
        """True if it is unknown whether the gateway has the job, and it could be found in the request history."""
        return self.entry.state == "UNCERTAIN" and not self.is_abandoned

    @property
    def is_unfinished(self) -> bool:
        """True if the job can still change."""
        return self.entry.is_unfinished and not self.is_abandoned

    @property
    def is_open(self) -> bool:
        """True if the job can still change, here or in a process that uses its gateway."""
        return self.entry.is_unfinished and self.state != "LOST"

    @property
    def state(self) -> str:
        """The state of the entry; LOST for an unfinished job of a sandbox that has ended, STORING before its files."""
        is_open = self.entry.is_unfinished or self.entry.state == "UNCERTAIN"
        if is_open and self.is_abandoned and self.connection.is_free:
            return "LOST"
        if self.entry.state == "COMPLETED" and self.entry.is_unfinished:
            return "STORING"
        return self.entry.state

    @property
    def files(self) -> tuple[Path, ...]:
        """The stored files that are still on this machine; the user may remove some."""
        return tuple(path for path, _ in self._stored)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each of `files`: video, image, audio, or another start of its media type."""
        return tuple(kind for _, kind in self._stored)

    @property
    def _stored(self) -> list[tuple[Path, str]]:
        pairs = [
            (file.path, file.content_type.partition("/")[0])
            for file in self.entry.files
            if file.url.startswith("file:")
        ]
        return [(path, kind) for path, kind in pairs if path.is_file()]

    @property
    def is_deleted(self) -> bool:
        """True if a program has deleted the files, which hides the job from programs."""
        return self._deletion_mark.exists()

    @property
    def _deletion_mark(self) -> Path:
        return Path(self.entry.save_to or "") / ".deleted"

    def delete_files(self) -> None:
        """Delete the files, and hide the job from programs. Its entry stays in the journal."""
        self._deletion_mark.parent.mkdir(exist_ok=True)
        self._deletion_mark.touch()
        for path in self.files:
            path.unlink(missing_ok=True)

    @property
    def known_model(self) -> str | None:
        """The model, if the client knows it."""
        return self.entry.model if self.entry.model in self.connection.client.catalog else None

    @property
    def prompt(self) -> str:
        """The prompt; empty without one."""
        prompt = self.entry.params.get("prompt", "")
        return prompt if isinstance(prompt, str) else ""

    @property
    def duration(self) -> float | None:
        """Seconds that a COMPLETED job took, as its gateway reports them; None if it does not."""
        metrics: Any = (self.entry.result or {}).get("metrics") if self.entry.state == "COMPLETED" else None
        seconds = cast("dict[str, Any]", metrics).get("total_time") if isinstance(metrics, dict) else None
        if not isinstance(seconds, int | float) or not math.isfinite(seconds) or seconds <= 0:
            return None
        return float(seconds)


@dataclass(eq=False)
class Submission:
    """A submit that was accepted by this process.

    Attributes:
        id: The id of the job, its handle.
        connection: The gateway.
        params: The parameters.
        owner: Tag of the job in the journal.
        created: The time at which it was accepted, in seconds since 1970.
        error: The error that ended the submit; None while there is none.
        is_ended: Whether the submit has been answered, or has failed.

    """

    id: str
    connection: Connection
    params: Params
    owner: str
    created: float = field(default_factory=time.time)
    error: KlingError | None = None
    is_ended: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """The stored files, as a job has them: none yet."""
        return ()


def make_job(connection: Connection, entry: JournalEntry, version: int = 0) -> Job:
    """Return the job of an entry."""
    return Job(find_handle(entry) or f"{connection.name}-{entry.id}", connection, entry, version)


def find_handle(entry: JournalEntry) -> str | None:
    """Return the handle of a job that a server submitted: the folder of its files; None for any other job.

    The handle is in the destination, because the journal has it on disk before the submit is sent.
    """
    match = _FOLDER.fullmatch(entry.save_to or "")
    return match[1] if match else None
