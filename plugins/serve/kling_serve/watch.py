"""The journals as they were read last, and a signal for everything that waits for a change."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kling_adapters import JournalEntry, StorageError
from kling_serve.connections import Connection, Connections
from kling_serve.job import Job, make_job

_INTERVAL: Final = 0.2
"""Seconds between two looks at the files of the journals, which other processes write, too."""
_OVERLAP: Final = 10.0
"""Seconds by which readings overlap: a write may be on disk later than the time in it."""
_COMPLETE_INTERVAL: Final = 60.0
"""Seconds after which a changed journal is read completely."""


@dataclass
class _Reading:
    """The last reading of a journal.

    Attributes:
        stamp: The sizes and times of its files before the last reading.
        newest: The latest change of an entry, in seconds since 1970.
        complete: The time at which all entries were read.

    """

    stamp: tuple[object, ...] = ()
    newest: float = 0.0
    complete: float = -math.inf


class Watch:
    """The jobs of all connections, by id, in the order of their submits.

    Args:
        connections: The connections.

    Attributes:
        jobs: The jobs.
        version: Number of the last change.

    """

    def __init__(self, connections: Connections) -> None:
        self.jobs: dict[str, Job] = {}
        self.version = 0
        self._connections = connections
        self._epoch = secrets.token_hex(4)
        self._readings: defaultdict[str, _Reading] = defaultdict(_Reading)
        self._changed = asyncio.Condition()
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Read the journals whenever their files change, until cancelled."""
        while True:
            with suppress(StorageError):  # the next look reads it
                await self.refresh()
            await asyncio.sleep(_INTERVAL)

    async def refresh(self) -> None:
        """Read the journals whose files have changed. Raises StorageError."""
        async with self._lock:
            version = self.version
            for connection in self._connections:
                await self._read(connection, self._readings[connection.name])
        if self.version != version:
            async with self._changed:
                self._changed.notify_all()

    async def _read(self, connection: Connection, reading: _Reading) -> None:
        """Read what has changed in a journal; all of it now and then, because entries can be deleted."""
        stamp, now = _stamp(connection.client.journal_path), time.monotonic()
        if stamp == reading.stamp:
            return
        is_complete = now - reading.complete > _COMPLETE_INTERVAL
        since = 0.0 if is_complete else max(reading.newest - _OVERLAP, 0.0)
        entries = await connection.client.entries(changed_since=since)
        if is_complete:
            self._forget(connection, {entry.id for entry in entries})
            reading.complete = now
        self._update(connection, entries)
        reading.stamp = stamp
        reading.newest = max((entry.updated for entry in entries), default=reading.newest)

    def _forget(self, connection: Connection, numbers: set[int]) -> None:
        self.jobs = {
            job.id: job
            for job in self.jobs.values()
            if job.connection is not connection or job.entry.id in numbers
        }

    def _update(self, connection: Connection, entries: Iterable[JournalEntry]) -> None:
        """Take over the entries that have changed."""
        version, is_new = self.version + 1, False
        for entry in entries:
            job = make_job(connection, entry, version)
            earlier = self.jobs.get(job.id)
            if earlier is None or earlier.entry != entry:
                is_new = is_new or earlier is None
                self.jobs[job.id] = job
                self.version = version
        if is_new:
            self.jobs = dict(sorted(self.jobs.items(), key=lambda item: item[1].entry.created))

    def list_changed(self, since: int) -> list[Job]:
        """Return the jobs that have changed after a version, the oldest first."""
        return [job for job in self.jobs.values() if job.version > since]

    @property
    def cursor(self) -> str:
        """The present version, as pages have it; those of an earlier process differ from all of this one."""
        return f"{self._epoch}-{self.version}"

    def read_cursor(self, text: str) -> int:
        """Return the version of a cursor; -1, which is older than every job, for that of an earlier process."""
        epoch, _, version = text.partition("-")
        is_ours = epoch == self._epoch and version.isascii() and version.isdigit() and len(version) < 16
        return int(version) if is_ours else -1

    async def wait(self, since: int, timeout: float) -> bool:
        """Wait until the version is larger than `since`; return False after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: self.version > since)
        except TimeoutError:
            return False
        return True


def _stamp(journal: Path | None) -> tuple[object, ...]:
    """Return a value that differs after each write to a journal: sizes and times of its file and its log."""
    stamps: list[object] = []
    for path in () if journal is None else (journal, journal.with_name(f"{journal.name}-wal")):
        with suppress(OSError):
            status = path.stat()
            stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(stamps)
