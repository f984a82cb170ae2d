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
    begin,
    create_file,
    open_to_read,
    open_to_write,
)
from kling_adapters.journal.schema import NewerSchema

log = logging.getLogger("kling_adapters")


class Database:
    """The SQLite file at `path`, which is opened by the first transaction that writes. Any thread can use it.

    A fork waits for the transaction in progress and closes the connection; parent and child open it anew. SQLite
    assumes that a child still has the locks of its parent, so a child that opened the same file would work without
    locks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened: os.stat_result | None = None
        self._is_shared = False
        self._is_flushed = True
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
    def write(
        self, consequence: str = "", timeout: float = LOCK_TIMEOUT, *, is_flushed: bool = True
    ) -> Generator[sqlite3.Connection]:
        """Open a transaction, which survives the end of the process after the block; join that of `transaction`.

        Args:
            consequence: Sentence about the consequence for the user, for the message of a failure.
            timeout: Seconds to wait for another process that holds a lock on the file.
            is_flushed: Whether the block ends when the disk has the transaction, so that it survives a power failure,
                too; otherwise a later transaction takes it along.

        Raises:
            StorageError: The file cannot be read or written.

        """
        with self._report_failures(consequence), self.lock:
            if self._is_shared:
                yield self._begin(timeout)
                return
            with self._complete():
                yield self._begin(timeout, is_flushed=is_flushed)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Put every `write` of this thread within the block in one transaction, which is on disk after it.

        Raises:
            StorageError: The file cannot be written.

        """
        with self._report_failures(), self.lock, self._complete():
            self._is_shared = True
            try:
                yield
            finally:
                self._is_shared = False

    def _begin(self, timeout: float, *, is_flushed: bool = True) -> sqlite3.Connection:
        """Return the connection within a transaction, which may be open already."""
        connection = self._connect(timeout)
        if not connection.in_transaction:
            if self._is_flushed != is_flushed:
                connection.execute(f"PRAGMA synchronous = {'FULL' if is_flushed else 'NORMAL'}")
                self._is_flushed = is_flushed
            begin(connection, timeout)
        return connection

    @contextmanager
    def _complete(self) -> Generator[None]:
        """Commit the open transaction after the block, or undo it if the block raises."""
        try:
            yield
            self._end("COMMIT")
        except BaseException:
            self._end("ROLLBACK")
            raise

    def _end(self, statement: str) -> None:
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute(statement)

    @contextmanager
    def read(self) -> Generator[sqlite3.Connection]:
        """Open the file for reading only, even if it cannot be written. Raises StorageError."""
        with self._report_failures(), self.lock:
            if self._connection is not None and self._is_at_path():
                yield self._connection
                return
            with closing(open_to_read(self.path)) as connection:
                yield connection

    def truncate_log(self) -> None:
        """Empty the write-ahead log, which still holds deleted rows. Raises StorageError."""
        with self._report_failures(), self.lock:
            self._connect(LOCK_TIMEOUT).execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file; the next transaction opens it again."""
        with self.lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __del__(self) -> None:
        # From Python 3.13 on, an open connection warns when it is collected.
        if self._connection is not None:
            self._connection.close()

    def prepare_fork(self) -> None:
        """Wait for the transaction in progress, and close the file."""
        self.lock.acquire()
        with suppress(sqlite3.Error):
            # A transaction of this thread continues in the parent.
            if self._connection is not None and not self._connection.in_transaction:
                self.close()

    def reset_after_fork(self) -> None:
        """Give the child a lock of its own, and no connection."""
        self.lock = threading.RLock()
        self._is_shared = False
        if self._connection is not None:
            # Closing it would damage the file.
            _FORKS.leaked.append(self._connection)
            self._connection = None

    def __str__(self) -> str:
        return str(self.path).encode("utf-8", "replace").decode()

    @contextmanager
    def _report_failures(self, consequence: str = "") -> Generator[None]:
        consequence = f"{consequence} " if consequence else ""
        try:
            yield
        except NewerSchema as error:
            raise StorageError(
                f"the journal {self} {error}. {consequence}Upgrade kling-adapters, or name another file as the journal"
            ) from None
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"the journal {self} cannot be used: {error}. {consequence}"
                f"Set {JOURNAL} to a file in a folder that can be written to; "
                f"Kling(journal=None) or {JOURNAL}=none goes without a journal"
            ) from error

    def _connect(self, timeout: float) -> sqlite3.Connection:
        """Return the connection, to a new file if the opened one was removed or replaced."""
        if self._connection is not None and not self._connection.in_transaction and not self._is_at_path():
            # SQLite would keep writing to the old file, which no process can open.
            log.warning("the journal %s was removed or replaced; opening it again", self)
            self.close()
        if self._connection is None:
            create_file(self.path)
            # Read before SQLite opens the file, so that a replacement in between is noticed.
            self._opened = self.path.stat()
            self._connection, self._is_flushed = open_to_write(self.path, timeout), True
        return self._connection

    def _is_at_path(self) -> bool:
        try:
            return self._opened is not None and os.path.samestat(self.path.stat(), self._opened)
        except FileNotFoundError:
            return False


class _Forks:
    """Closes all journal files of the process before a fork."""

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
