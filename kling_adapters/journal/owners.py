"""Owners of submits: one for each process, with a lock file while the process is alive."""

from __future__ import annotations

import sqlite3
import time
import uuid
from contextlib import suppress
from glob import escape
from pathlib import Path

from kling_adapters.forks import reset_in_children
from kling_adapters.journal.entries import SUBMITTING, UNCERTAIN
from kling_adapters.journal.lockfile import LockFile, remove_if_free
from kling_adapters.journal.rows import OWNER_DIED


class Owner:
    """The owner of the submits of this process in the journal at `path`.

    If another process can lock its file, this process is dead. Every method but `release` must be called within a
    transaction of the journal.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Become another owner, without a lock file."""
        self._name = uuid.uuid4().hex
        self._lock: LockFile | None = None

    def acquire(self) -> str:
        """Return the name of the owner, whose lock file is created if there is none. Raises OSError."""
        if self._lock is None:
            lock = LockFile(self._lock_path(self._name))
            if not lock.acquire():
                raise OSError("another process holds the lock file of this process")
            self._lock = lock
        return self._name

    def release(self) -> None:
        """Remove the lock file."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def lock_batch(self, digest: str) -> LockFile | None:
        """Return the lock of the batch whose name has this digest; None while another client holds it."""
        lock = LockFile(self._path.with_name(f"{self._path.name}-{digest}.batch"))
        return lock if lock.acquire() else None

    def find_dead(self, connection: sqlite3.Connection) -> set[str]:
        """Return the owners of unanswered submits whose process is dead."""
        rows = connection.execute("SELECT DISTINCT owner FROM jobs WHERE state = ?", (SUBMITTING,)).fetchall()
        owners: set[str] = {str(owner) for (owner,) in rows if owner != self._name}
        return {owner for owner in owners if remove_if_free(self._lock_path(owner))}

    def mark_dead(self, connection: sqlite3.Connection) -> None:
        """Mark unanswered submits of dead processes as uncertain."""
        for owner in self.find_dead(connection):
            connection.execute(
                "UPDATE jobs SET state = ?, reason = ?, updated = ? WHERE owner = ? AND state = ?",
                (UNCERTAIN, OWNER_DIED, time.time(), owner, SUBMITTING),
            )

    def remove_stale_files(self) -> None:
        """Remove the lock files of dead processes and of their batches."""
        prefix = f"{self._path.name}-"
        for pattern in ("*.alive", "*.batch"):
            for path in self._path.parent.glob(escape(prefix) + pattern):
                # A second hyphen marks a file of another journal, which the transaction does not protect.
                if "-" not in path.name.removeprefix(prefix):
                    with suppress(OSError):
                        remove_if_free(path)

    def _lock_path(self, name: str) -> Path:
        return self._path.with_name(f"{self._path.name}-{name}.alive")
