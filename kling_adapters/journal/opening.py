"""Opening of the SQLite file of the journal: its folders, permissions and modes, for writing or for reading only."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from kling_adapters.journal.pruning import delete_old
from kling_adapters.journal.schema import check_version, create_tables

log = logging.getLogger("kling_adapters")

LOCK_TIMEOUT: Final = 30.0
"""Seconds to wait for another process that holds a lock of SQLite on the file."""
PROGRESS_TIMEOUT: Final = 1.0
"""Seconds to wait for it, for an update that the client can do without or the gateway can report again."""
_LONGEST_BUSY_WAIT: Final = 0.1
"""Seconds that SQLite itself waits for a lock, during which Python does not handle a signal."""
_NOT_WRITABLE: Final = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
}


def create_file(path: Path) -> None:
    """Create the file if it is missing, and withdraw the access of other users. Raises OSError."""
    _make_folders(path.parent)
    with suppress(FileExistsError):
        # POSIX drops all locks of a process on a file when it closes any descriptor of it, those of other journals too.
        # So only SQLite opens a file that exists.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    _check_plain(path)
    for suffix in ("", "-wal", "-shm"):
        # SQLite gives the files that it makes the permissions of the first.
        file = Path(f"{path}{suffix}")
        with suppress(OSError):
            if stat.S_IMODE(file.stat().st_mode) & 0o077:
                file.chmod(0o600)


def open_to_write(path: Path, timeout: float) -> sqlite3.Connection:
    """Open an existing file, create its tables, and delete old entries. Raises sqlite3.Error or NewerSchema.

    Args:
        path: Path of the file.
        timeout: Seconds to wait for another process that holds a lock of SQLite on it.

    """
    connection = _connect(str(path), _LONGEST_BUSY_WAIT)
    try:
        _retry_while_locked(connection, "PRAGMA journal_mode = WAL", timeout)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        begin(connection, timeout)
        create_tables(connection)
        delete_old(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open an existing file for reading, even if it cannot be written. Raises sqlite3.Error or NewerSchema."""
    _check_plain(path)
    try:
        return _open_read_only(path, "mode=ro")
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF not in _NOT_WRITABLE:
            raise
    # The shared-memory file of writers can be neither opened nor created, so there are no writers.
    with suppress(sqlite3.Error):
        return _open_read_only(path, "mode=rw", locking="EXCLUSIVE")
    if Path(f"{path}-wal").exists():
        log.warning("the newest entries of the journal %s cannot be read", path)
    return _open_read_only(path, "mode=ro&immutable=1")


def begin(connection: sqlite3.Connection, timeout: float) -> None:
    """Begin a transaction, after at most `timeout` seconds of waiting for other processes. Raises sqlite3.Error."""
    _retry_while_locked(connection, "BEGIN IMMEDIATE", timeout)


def _open_read_only(path: Path, options: str, locking: str = "NORMAL") -> sqlite3.Connection:
    connection = _connect(f"file:{quote(os.fsencode(path))}?{options}", LOCK_TIMEOUT, uri=True)
    try:
        # EXCLUSIVE replaces the shared-memory file, which cannot be created here.
        connection.execute(f"PRAGMA locking_mode = {locking}")
        check_version(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(database: str, timeout: float, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        database, timeout=timeout, isolation_level=None, check_same_thread=False, uri=uri
    )
    # One damaged text must not make the other rows unreadable.
    connection.text_factory = _decode
    return connection


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _retry_while_locked(connection: sqlite3.Connection, statement: str, timeout: float) -> None:
    """Execute a statement, again while another connection holds a lock, for at most `timeout` seconds.

    SQLite itself waits only for a moment: Python handles Ctrl-C between two statements, and SQLite does not wait at all
    when two connections switch to a write-ahead log.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _check_plain(path: Path) -> None:
    """Raise OSError for a pipe or a device: SQLite would wait for it, and ignore Ctrl-C and SIGTERM."""
    if not path.is_file():
        raise OSError("it is not a plain file")


def _make_folders(folder: Path) -> None:
    """Make a folder and its parents, accessible only by their owner, independent of the umask."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
