"""The journals as they were read last, and a signal for everything that waits for a change."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from kling_adapters import JournalEntry, StorageError
from kling_serve.connections import Connection, Connections
from kling_serve.job import Job, make_job

_INTERVAL: Final = 0.2
"""Seconds between two looks at the files of the journals, which other processes write, too."""


class Watch:
    """The jobs of all connections, by id, the newest last.

    Args:
        connections: The connections.
        outputs: The folder of stored files.

    Attributes:
        jobs: The jobs.
        version: Number of the last change.

    """

    def __init__(self, connections: Connections, outputs: Path) -> None:
        self.jobs: dict[str, Job] = {}
        self.version = 0
        self._connections, self._outputs = connections, outputs
        self._epoch = secrets.token_hex(4)
        self._stamps: dict[str, tuple[object, ...]] = {}
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
            for connection in self._connections:
                stamp = _stamp(connection.client.journal_path)
                if stamp != self._stamps.get(connection.name):
                    self._update(connection, await connection.client.entries())
                    self._stamps[connection.name] = _stamp(connection.client.journal_path)
        async with self._changed:
            self._changed.notify_all()

    def _update(self, connection: Connection, entries: Iterable[JournalEntry]) -> None:
        version = self.version + 1
        before = {job.id: job for job in self.jobs.values() if job.connection is connection}
        jobs: dict[str, Job] = {}
        for entry in entries:
            job = make_job(connection, entry, self._outputs, version)
            earlier = before.get(job.id)
            # A repeated submit of one handle does not exist: the first entry counts.
            jobs.setdefault(job.id, earlier if earlier is not None and earlier.entry == entry else job)
        if any(job.version == version for job in jobs.values()) or jobs.keys() != before.keys():
            self.version = version
        elsewhere = {job.id: job for job in self.jobs.values() if job.connection is not connection}
        self.jobs = dict(sorted((elsewhere | jobs).items(), key=lambda item: item[1].entry.created))

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
