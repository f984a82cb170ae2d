"""What must outlive the process: every submit before it is sent, and what became of it.

One SQLite file, in WAL mode, which several processes share. It holds what was sent and what the gateway answered, and of
a key only a fingerprint. Files of it are readable by their owner alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from kling_adapters.errors import ConfigError, StorageError
from kling_adapters.result import ResultData, StoredFile

JOURNAL: Final = "KLING_JOURNAL"
"""Environment variable: the path of the journal, or "none" to do without; by default in the state folder of the user."""
DAYS: Final = "KLING_JOURNAL_DAYS"
"""Environment variable: how many days a job that has ended stays in the journal; by default 90."""

SUBMITTING: Final = "SUBMITTING"
"""The intent is on disk; the gateway has not answered yet."""
REFUSED: Final = "REFUSED"
"""The submit started nothing."""
UNCERTAIN: Final = "UNCERTAIN"
"""A job may be running, and billed, whose request id is not known."""
EXPIRED: Final = "EXPIRED"
"""The gateway no longer knows the job."""
ENDED: Final = (REFUSED, UNCERTAIN, EXPIRED, "COMPLETED", "FAILED")
"""The states in which the gateway has nothing more to tell."""

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
_COLUMNS = """id, gateway, model, params, key, save_to, tag, request_id, state, reason, result, cost, files,
created, updated"""
_OPENING = threading.Lock()


@dataclass(frozen=True)
class JournalEntry:
    """A submit, and what became of it.

    `state` is that of the job, as the gateway calls it, or SUBMITTING, REFUSED, UNCERTAIN or EXPIRED; `reason` says why it
    failed. `key`: a fingerprint. `tag`: what the caller knows it by. `result`: the gateway's answer. `cost` in credits. `created` and `updated`: seconds
    since 1970.
    """

    id: int
    gateway: str
    model: str
    params: Mapping[str, Any]
    key: str
    save_to: str | None
    tag: str | None
    request_id: str | None
    state: str
    reason: str | None
    result: Mapping[str, Any] | None
    cost: float | None
    files: tuple[StoredFile, ...]
    created: float
    updated: float

    @property
    def is_unfinished(self) -> bool:
        """Whether there is still something to ask for, or to store."""
        return self.state not in ENDED or (
            self.state == "COMPLETED" and self.save_to is not None and not self.files
        )


def fingerprint(key: str) -> str:
    """Return what a key can be recognised by, and not be found out from."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:12]


def default_path() -> Path | None:
    """Return where the environment says that the journal is; None for no journal."""
    told = os.environ.get(JOURNAL, "")
    if told.lower() == "none":
        return None
    return Path(told) if told else user_state_path("kling-adapters", appauthor=False) / "journal.sqlite3"


class Journal:
    """The journal in the file `path`, which is made when something is first written. Can be used from any thread.

    Methods raise StorageError when it cannot be read or written.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(fspath(path)).expanduser()
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        # Held while this process lives: whoever can take it knows that the process is gone.
        self._owner = uuid.uuid4().hex
        self._alive: FileLock | None = None

    def intend(
        self,
        gateway: str,
        model: str,
        params: Mapping[str, Any],
        key: str,
        save_to: str | None = None,
        tag: str | None = None,
    ) -> int:
        """Write down that a submit is about to be sent, on disk when this returns. Return the number of the entry."""
        now = time.time()
        with self._writing() as connection:
            if self._alive is None:
                self._alive = FileLock(self._owner_path(self._owner), thread_local=False)
                self._alive.acquire()
            cursor = connection.execute(
                "INSERT INTO jobs (gateway, model, params, key, save_to, tag, owner, state, created, updated)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(gateway, model, json.dumps(params), fingerprint(key), save_to, tag),
                    *(self._owner, SUBMITTING, now, now),
                ),
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def sent_with(self, entry: int, key: str) -> None:
        """Write down that the submit is sent once more, with this key."""
        self._set(entry, key=fingerprint(key))

    def accepted(self, entry: int, request_id: str) -> None:
        """Write down the id that the gateway gave."""
        self._set(entry, request_id=request_id, state="QUEUED")

    def answered(self, entry: int, result: ResultData) -> None:
        """Write down what a synchronous call gave."""
        # At once: there must be no moment in which it looks like a job that can be asked for.
        body, cost = json.dumps(result.body), result.metrics.cost
        self._set(entry, request_id=result.request_id, state="COMPLETED", result=body, cost=cost)

    def failed(self, entry: int, request_id: str, reason: str) -> None:
        """Write down that the job of a synchronous call FAILED."""
        self._set(entry, request_id=request_id, state="FAILED", reason=reason)

    def refused(self, entry: int, reason: str) -> None:
        """Write down that the submit started nothing."""
        self._set(entry, state=REFUSED, reason=reason)

    def uncertain(self, entry: int, reason: str) -> None:
        """Write down that nobody knows what became of the submit."""
        self._set(entry, state=UNCERTAIN, reason=reason)

    def saw(self, request_id: str, state: str, reason: str | None = None) -> None:
        """Write down the state of a job; one that is not in the journal stays out of it, one that has ended as it is.

        An hour later the gateway does not know it any more, but its files can still be fetched.
        """
        with self._writing() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, reason = ?, updated = ? WHERE request_id = ?"
                " AND state NOT IN ('COMPLETED', 'FAILED')",
                (state, reason, time.time(), request_id),
            )

    def completed(self, result: ResultData) -> None:
        """Write down what a job gave."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE jobs SET state = 'COMPLETED', result = ?, cost = ?, updated = ? WHERE request_id = ?",
                (json.dumps(result.body), result.metrics.cost, time.time(), result.request_id),
            )

    def stored(self, request_id: str, files: Iterable[StoredFile]) -> None:
        """Write down where the files of a job are; not their links, which open them to anybody and do not last."""
        told = [{**asdict(file), "link": None} for file in files]
        with self._writing() as connection:
            connection.execute(
                "UPDATE jobs SET files = ?, updated = ? WHERE request_id = ?",
                (json.dumps(told), time.time(), request_id),
            )

    def to_be_stored(self, entry: int, save_to: str) -> None:
        """Write down where the files of a job are to be stored."""
        self._set(entry, save_to=save_to)

    def upload_url(self, gateway: str, sha256: str, lifetime: float) -> str | None:
        """Return where a file is that was uploaded in the last `lifetime` seconds."""
        if not self.path.exists():
            return None
        with self._writing() as connection:
            connection.execute("DELETE FROM uploads WHERE created < ?", (time.time() - lifetime,))
            row = connection.execute(
                "SELECT url FROM uploads WHERE gateway = ? AND sha256 = ?", (gateway, sha256)
            ).fetchone()
        return row[0] if row else None

    def uploaded(self, gateway: str, sha256: str, url: str) -> None:
        """Write down where an uploaded file is."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?)", (gateway, sha256, url, time.time())
            )

    def resolve(self, entry: int, request_id: str | None) -> None:
        """Write down what the user found out of an uncertain submit: the id of its job, or that there is none.

        Raises ConfigError if the entry is not an uncertain one, or another has this id.
        """
        state, reason = ("QUEUED", None) if request_id else (REFUSED, "the user found no job")
        with self._writing() as connection:
            known = connection.execute("SELECT 1 FROM jobs WHERE request_id = ?", (request_id,)).fetchone()
            if known is not None:
                raise ConfigError(f"job {request_id} is in the journal already, of another submit")
            cursor = connection.execute(
                "UPDATE jobs SET request_id = ?, state = ?, reason = ?, updated = ? WHERE id = ? AND state = ?",
                (request_id, state, reason, time.time(), entry, UNCERTAIN),
            )
            if cursor.rowcount == 0:
                raise ConfigError(f"there is no uncertain submit {entry} in {self.path}")

    def entries(self) -> list[JournalEntry]:
        """Return every submit, the oldest first. Those of processes that died before the answer are uncertain."""
        if not self.path.exists():
            return []
        with self._writing() as connection:
            self._find_dead(connection)
            rows = connection.execute(f"SELECT {_COLUMNS} FROM jobs ORDER BY id").fetchall()  # noqa: S608
        return [_entry(row) for row in rows]

    def forget(self, entries: Iterable[int]) -> int:
        """Remove submits by the numbers of their entries.

        Args:
            entries: The numbers; those that are not in the journal are passed over.

        Returns:
            How many were removed.

        """
        if not self.path.exists():
            return 0
        with self._writing() as connection:
            rows = [(entry,) for entry in entries]
            return connection.executemany("DELETE FROM jobs WHERE id = ?", rows).rowcount

    def key_of(self, request_id: str) -> str | None:
        """Return the fingerprint of the key that a job was submitted with, if the journal knows the job."""
        if not self.path.exists():
            return None
        with self._writing() as connection:
            row = connection.execute("SELECT key FROM jobs WHERE request_id = ?", (request_id,)).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            if self._alive is not None:
                self._alive.release()
                self._owner_path(self._owner).unlink(missing_ok=True)
                self._alive = None

    def _set(self, entry: int, **values: str | float | None) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        with self._writing() as connection:
            connection.execute(
                f"UPDATE jobs SET {columns}, updated = ? WHERE id = ?",  # noqa: S608  names of our own
                (*values.values(), time.time(), entry),
            )

    def _find_dead(self, connection: sqlite3.Connection) -> None:
        """Mark as uncertain what a process had under way that is gone."""
        rows = connection.execute("SELECT DISTINCT owner FROM jobs WHERE state = ?", (SUBMITTING,)).fetchall()
        for (owner,) in rows:
            if owner != self._owner and self._is_dead(owner):
                connection.execute(
                    "UPDATE jobs SET state = ?, reason = ?, updated = ? WHERE owner = ? AND state = ?",
                    (
                        UNCERTAIN,
                        "the process ended before the gateway had answered",
                        time.time(),
                        owner,
                        SUBMITTING,
                    ),
                )

    def _is_dead(self, owner: str) -> bool:
        path = self._owner_path(owner)
        if not path.exists():
            return True
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        lock.release()
        path.unlink(missing_ok=True)
        return True

    def _owner_path(self, owner: str) -> Path:
        return self.path.with_name(f"{self.path.name}-{owner}.alive")

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """Open a transaction; at its end what was written is on disk."""
        try:
            with self._lock:
                connection = self._connection or self._open()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"the journal {self.path} cannot be used: {error}. Kling(journal=None) or {JOURNAL}=none goes without one"
            ) from error

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # To close a file is to give up every lock that this process has on it, those of other journals too: SQLite's
        # files may be opened by nothing else, or they are damaged. So only one that nobody has yet is made here.
        with _OPENING:
            with suppress(FileExistsError):
                # What is made beside it takes over its permissions.
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            connection.execute("ROLLBACK")
            raise StorageError(f"the journal {self.path} was written by a newer version of kling-adapters")
        for script in _MIGRATIONS[version:]:
            for statement in script.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
        oldest = time.time() - _days() * 86400
        ended = ", ".join(f"'{state}'" for state in ENDED if state != UNCERTAIN)
        connection.execute(f"DELETE FROM jobs WHERE state IN ({ended}) AND updated < ?", (oldest,))  # noqa: S608
        connection.execute("COMMIT")


def _days() -> float:
    told = os.environ.get(DAYS, "90")
    try:
        return float(told)
    except ValueError:
        raise ConfigError(f"{DAYS} is {told!r}, which is no number of days") from None


def _entry(row: Sequence[Any]) -> JournalEntry:
    known = dict(zip((name.strip() for name in _COLUMNS.split(",")), row, strict=True))
    for name in ("params", "result"):
        known[name] = json.loads(known[name]) if known[name] else None
    known["files"] = tuple(StoredFile(**file) for file in json.loads(known["files"] or "[]"))
    return JournalEntry(**known)
