"""The SQLite file of the journal: its place, schema and permissions, transactions, and what a fork means to it."""

from __future__ import annotations

import logging
import math
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from weakref import WeakSet

from kling_adapters.errors import ConfigError, StorageError
from kling_adapters.journal.location import JOURNAL

log = logging.getLogger("kling_adapters")

DAYS: Final = "KLING_JOURNAL_DAYS"
"""Environment variable: how many days a job that has ended stays in the journal; by default 90."""

_LOCK_SECONDS: Final = 30.0
"""Seconds to wait for another process that holds a lock of SQLite on the file."""
_MIGRATIONS = (
    """
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY,
        gateway TEXT NOT NULL,
        model TEXT NOT NULL,
        params TEXT NOT NULL,
        key TEXT NOT NULL,
        save_to TEXT,
        tag TEXT,
        owner TEXT NOT NULL,
        request_id TEXT,
        state TEXT NOT NULL,
        reason TEXT,
        result TEXT,
        cost REAL,
        files TEXT,
        created REAL NOT NULL,
        updated REAL NOT NULL
    );
    CREATE INDEX jobs_state ON jobs (state);
    CREATE INDEX jobs_tag ON jobs (tag);
    CREATE INDEX jobs_request_id ON jobs (request_id);
    """,
    """
    CREATE TABLE uploads (
        gateway TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        url TEXT NOT NULL,
        created REAL NOT NULL,
        PRIMARY KEY (gateway, sha256)
    )
    """,
)
_NOT_WRITABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}
# The states of jobs that may be dropped after KLING_JOURNAL_DAYS. An uncertain submit stays until the user resolves it.
_DROPPED = ("REFUSED", "EXPIRED", "COMPLETED", "FAILED")


class JournalFile:
    """A connection to the SQLite file `path`, which is made at the first transaction that writes. For any thread.

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
            _FORKS.files.add(self)

    def exists(self) -> bool:
        """Return whether the file is there. Raises StorageError when it cannot be told."""
        with self._failing_clearly():
            try:
                self.path.stat()
            except FileNotFoundError:
                return False
            return True

    @contextmanager
    def writing(self, consequence: str = "") -> Generator[sqlite3.Connection]:
        """Open a transaction; when the block ends its changes are on disk.

        Args:
            consequence: What a failure means for the user, a sentence for the message.

        Raises:
            StorageError: The file cannot be read or written.

        """
        with self._failing_clearly(consequence), self.lock:
            connection = self._current_connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """Open the file for reading only, whether or not it can be written to. Raises StorageError."""
        with self._failing_clearly(), self.lock:
            connection = self._open_readable()
            with closing(connection):
                yield connection

    def drop_traces(self) -> None:
        """Empty the write-ahead log, which holds what the file held before. Raises StorageError."""
        with self._failing_clearly(), self.lock:
            self._current_connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")

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
    def _failing_clearly(self, consequence: str = "") -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"the journal {self} cannot be used: {error}. {consequence}{' ' * bool(consequence)}"
                f"Set {JOURNAL} to a file in a folder that can be written to; "
                f"Kling(journal=None) or {JOURNAL}=none goes without a journal"
            ) from error

    def _current_connection(self) -> sqlite3.Connection:
        """Return the connection, to a new file if that at the path was removed or replaced since it was opened."""
        if self._connection is not None and not self._connection.in_transaction and not self._is_at_path():
            # SQLite would go on writing to the old file, which nobody can open any more.
            log.warning("the journal %s was removed or replaced; it is opened anew", self)
            self.close()
        return self._connection or self._open()

    def _is_at_path(self) -> bool:
        try:
            return self._opened is not None and os.path.samestat(self.path.stat(), self._opened)
        except FileNotFoundError:
            return False

    def _open(self) -> sqlite3.Connection:
        _make_folders(self.path.parent)
        with suppress(FileExistsError):
            # POSIX drops the locks of a process on a file when it closes any descriptor of it, those of other journals
            # too. So nothing but SQLite opens a file that exists.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        self._check_plain()
        for suffix in ("", "-wal", "-shm"):
            # SQLite gives the files that it makes the permissions of the first.
            file = Path(f"{self.path}{suffix}")
            with suppress(OSError):
                if stat.S_IMODE(file.stat().st_mode) & 0o077:
                    file.chmod(0o600)
        # Before SQLite opens it: if it is replaced in between, it is opened once more, and not mistaken for the new one.
        self._opened = self.path.stat()
        connection = _connect(str(self.path))
        try:
            _use_write_ahead_log(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _check_plain(self) -> None:
        """Raise OSError for a pipe or a device: SQLite would wait for it, and neither Ctrl-C nor SIGTERM would end that."""
        if not self.path.is_file():
            raise OSError("it is not a plain file")

    def _open_readable(self) -> sqlite3.Connection:
        self._check_plain()
        try:
            return self._open_to_read("mode=ro")
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF not in _NOT_WRITABLE:
                raise
        # The file that SQLite shares with writers can neither be opened nor made, so there are no writers.
        with suppress(sqlite3.Error):
            return self._open_to_read("mode=rw", locking="EXCLUSIVE")
        if Path(f"{self.path}-wal").exists():
            log.warning("the newest entries of the journal %s cannot be read", self)
        return self._open_to_read("mode=ro&immutable=1")

    def _open_to_read(self, options: str, locking: str = "NORMAL") -> sqlite3.Connection:
        connection = _connect(f"file:{quote(os.fsencode(self.path))}?{options}", uri=True)
        try:
            # In memory of its own, without the file that is shared.
            connection.execute(f"PRAGMA locking_mode = {locking}")
            self._check_version(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_version(self, connection: sqlite3.Connection) -> int:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(_MIGRATIONS):
            raise StorageError(f"the journal {self} was written by a newer version of kling-adapters")
        return version

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        version = self._check_version(connection)
        for script in _MIGRATIONS[version:]:
            for statement in script.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
        oldest = time.time() - _days() * 86400
        connection.execute(
            f"DELETE FROM jobs WHERE state IN ({placeholders(_DROPPED)}) AND updated < ?",  # noqa: S608  only question marks
            (*_DROPPED, oldest),
        )
        connection.execute("COMMIT")


def placeholders(values: Sequence[object]) -> str:
    """Return a question mark for each value, for a list in SQL."""
    return ", ".join("?" * len(values))


def to_column(value: str | float | None) -> str | float | bytes | None:
    """Return a value as the file can hold it: text that is not Unicode, such as odd file names, as bytes."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
    return value


def from_column(value: Any) -> Any:
    """Return a value as `to_column` was given it."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch the file to a write-ahead log. SQLite does not wait when two connections do so at the same moment."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _connect(database: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        database, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False, uri=uri
    )
    # One damaged text must not keep the others from being read.
    connection.text_factory = _decode
    return connection


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _make_folders(folder: Path) -> None:
    """Make a folder and those above it, for their owner alone whatever the umask."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _days() -> float:
    text = os.environ.get(DAYS, "90")
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not days >= 0:
        raise ConfigError(f"{DAYS} is {text!r}; expected a number of days, 0 or more. Nothing was sent")
    return days


class _Forks:
    """Holds every journal file of the process still while it forks."""

    def __init__(self) -> None:
        self.gate = threading.RLock()
        self.files: WeakSet[JournalFile] = WeakSet()
        self.leaked: list[sqlite3.Connection] = []
        self._held: list[JournalFile] = []

    def prepare(self) -> None:
        self.gate.acquire()
        self._held = list(self.files)
        for file in self._held:
            file.prepare_fork()

    def resume_parent(self) -> None:
        for file in self._held:
            file.lock.release()
        self._held = []
        self.gate.release()

    def reset_child(self) -> None:
        self.gate = threading.RLock()
        self._held = []
        for file in list(self.files):
            file.reset_after_fork()


_FORKS = _Forks()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_FORKS.prepare, after_in_parent=_FORKS.resume_parent, after_in_child=_FORKS.reset_child
    )
