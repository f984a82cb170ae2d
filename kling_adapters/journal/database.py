"""The connection to the SQLite file of the journal: transactions, threads, forks, and a file that was replaced."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from weakref import WeakSet

from kling_adapters.errors import StorageError
from kling_adapters.journal.location import JOURNAL
from kling_adapters.journal.opening import (
    LOCK_TIMEOUT,
    create_file,
    open_to_read,
    open_to_write,
    set_lock_timeout,
)

log = logging.getLogger("kling_adapters")


class Database:
    """The SQLite file at `path`, which is opened by the first transaction that writes. Any thread can use it.

    A fork waits until no transaction is under way and closes the connection; parent and child open it anew. SQLite
    believes that a child still has the locks of its parent, so that a child which opens a file that was open at the fork
    would work without any lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened: os.stat_result | None = None
        with _FORKS.gate:
            _FORKS.databases.add(self)

    def exists(self) -> bool:
        """Return whether the file exists. Raises StorageError if its folder cannot be read."""
        with self._report_failures():
            try:
                self.path.stat()
            except FileNotFoundError:
                return False
            return True

    @contextmanager
    def write(self, consequence: str = "", timeout: float = LOCK_TIMEOUT) -> Generator[sqlite3.Connection]:
        """Open a transaction; when the block ends its changes are on disk.

        Args:
            consequence: Sentence for the message of a failure: what it means for the user.
            timeout: Seconds to wait for another process that holds a lock on the file.

        Raises:
            StorageError: The file cannot be read or written.

        """
        with self._report_failures(consequence), self.lock:
            connection = self._connect(timeout)
            set_lock_timeout(connection, timeout)
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def read(self) -> Generator[sqlite3.Connection]:
        """Open the file for reading only, whether or not it can be written. Raises StorageError."""
        with self._report_failures(), self.lock, closing(open_to_read(self.path)) as connection:
            yield connection

    def truncate_log(self) -> None:
        """Empty the write-ahead log, which holds what the file held before. Raises StorageError."""
        with self._report_failures(), self.lock:
            self._connect(LOCK_TIMEOUT).execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file; the next transaction opens it again."""
        with self.lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __del__(self) -> None:
        # From Python 3.13 on, a connection that is not closed by name warns.
        if self._connection is not None:
            self._connection.close()

    def prepare_fork(self) -> None:
        """Wait for the transaction that is under way, and close the file."""
        self.lock.acquire()
        with suppress(sqlite3.Error):
            # A transaction of this very thread goes on in the parent.
            if self._connection is not None and not self._connection.in_transaction:
                self.close()

    def reset_after_fork(self) -> None:
        """Give the child a lock of its own, and no connection."""
        self.lock = threading.RLock()
        if self._connection is not None:
            # Even to close it would damage the file.
            _FORKS.leaked.append(self._connection)
            self._connection = None

    def __str__(self) -> str:
        return str(self.path).encode("utf-8", "replace").decode()

    @contextmanager
    def _report_failures(self, consequence: str = "") -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"the journal {self} cannot be used: {error}. {consequence}{' ' * bool(consequence)}"
                f"Set {JOURNAL} to a file in a folder that can be written to; "
                f"Kling(journal=None) or {JOURNAL}=none goes without a journal"
            ) from error

    def _connect(self, timeout: float) -> sqlite3.Connection:
        """Return the connection, to a new file if that at the path was removed or replaced since it was opened."""
        if self._connection is not None and not self._connection.in_transaction and not self._is_at_path():
            # SQLite would go on writing to the old file, which nothing can open any more.
            log.warning("the journal %s was removed or replaced; opening it again", self)
            self.close()
        if self._connection is None:
            create_file(self.path)
            # Before SQLite opens it: a file that is replaced in between is opened once more, not mistaken for the new one.
            self._opened = self.path.stat()
            self._connection = open_to_write(self.path, timeout)
        return self._connection

    def _is_at_path(self) -> bool:
        try:
            return self._opened is not None and os.path.samestat(self.path.stat(), self._opened)
        except FileNotFoundError:
            return False


class _Forks:
    """Holds every journal file of the process still while it forks."""

    def __init__(self) -> None:
        self.gate = threading.RLock()
        self.databases: WeakSet[Database] = WeakSet()
        self.leaked: list[sqlite3.Connection] = []
        self._locked: list[Database] = []

    def prepare(self) -> None:
        self.gate.acquire()
        self._locked = list(self.databases)
        for database in self._locked:
            database.prepare_fork()

    def resume_parent(self) -> None:
        for database in self._locked:
            database.lock.release()
        self._locked = []
        self.gate.release()

    def reset_child(self) -> None:
        self.gate = threading.RLock()
        self._locked = []
        for database in list(self.databases):
            database.reset_after_fork()


_FORKS = _Forks()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_FORKS.prepare, after_in_parent=_FORKS.resume_parent, after_in_child=_FORKS.reset_child
    )
