"""What must outlive the process: every submit before it is sent, and what became of it.

One SQLite file, in WAL mode, which several processes share. It holds what was sent and what the gateway answered, and of
a key only a fingerprint. Files of it are readable by their owner alone.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from glob import escape
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import Any, Final, Unpack

from kling_adapters.errors import ConfigError, StorageError
from kling_adapters.forks import reset_in_children
from kling_adapters.journal.database import JournalFile, from_column, to_column
from kling_adapters.journal.entries import (
    REFUSED,
    SUBMITTING,
    UNCERTAIN,
    Columns,
    JournalEntry,
    fingerprint,
)
from kling_adapters.journal.location import absolute_path
from kling_adapters.journal.lockfile import LockFile, remove_if_free
from kling_adapters.result import StoredFile

log = logging.getLogger("kling_adapters")

# Every column of an entry, and what it may hold.
_COLUMNS: Final[Mapping[str, tuple[type, ...]]] = {
    "id": (int,),
    "gateway": (str,),
    "model": (str,),
    "params": (str,),
    "key": (str,),
    "save_to": (str, NoneType),
    "tag": (str, NoneType),
    "request_id": (str, NoneType),
    "state": (str,),
    "reason": (str, NoneType),
    "result": (str, NoneType),
    "cost": (float, NoneType),
    "files": (str, NoneType),
    "created": (float,),
    "updated": (float,),
}
_NOTHING_SENT = "Nothing was sent."
_DIED = "the process ended before the gateway had answered"


class Journal:
    """The journal in the file `path`, which is made when something is first written. Can be used from any thread.

    What is sent and what comes back is kept in clear, until KLING_JOURNAL_DAYS after its end, or until `forget`.
    Methods raise StorageError when it cannot be read or written.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = absolute_path(path)
        self._file = JournalFile(self.path)
        self._start_owner()
        reset_in_children(self)

    def _start_owner(self) -> None:
        # Each process has an owner of its own: whoever can take the lock knows that the process is gone.
        self._owner = uuid.uuid4().hex
        self._alive: LockFile | None = None

    def reset_after_fork(self) -> None:
        """See forks.Forkable."""
        self._start_owner()

    def check_available(self) -> None:
        """Do nothing: this journal records every job."""

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
        with self._file.writing(_NOTHING_SENT) as connection:
            if self._alive is None:
                alive = LockFile(self._owner_path(self._owner))
                if not alive.acquire():
                    raise OSError("the lock file of this process is held by another")
                self._alive = alive
            values = (gateway, model, json.dumps(params), fingerprint(key), save_to, tag)
            cursor = connection.execute(
                "INSERT INTO jobs (gateway, model, params, key, save_to, tag, owner, state, created, updated)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*map(to_column, values), self._owner, SUBMITTING, now, now),
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def lock_batch(self, digest: str) -> LockFile | None:
        """Return the lock of the batch whose name has this digest; None while another process, or client, holds it."""
        lock = LockFile(self.path.with_name(f"{self.path.name}-{digest}.batch"))
        # Within a transaction, so that nobody who looks for files without an owner holds it for a moment.
        with self._file.writing(_NOTHING_SENT):
            return lock if lock.acquire() else None

    def update(self, entry: int, **columns: Unpack[Columns]) -> None:
        """Change columns of the entry with this number."""
        self._update(columns, "id = ?", entry)

    def update_job(self, gateway: str, request_id: str, /, **columns: Unpack[Columns]) -> None:
        """Change columns of every entry of a job, but replace neither COMPLETED nor FAILED, except by COMPLETED.

        The gateway forgets a job after an hour, but its files can be fetched for days: EXPIRED must not hide them.
        """
        condition = "gateway = ? AND request_id = ?"
        if columns.get("state", "COMPLETED") != "COMPLETED":
            condition += " AND state NOT IN ('COMPLETED', 'FAILED')"
        self._update(columns, condition, gateway, to_column(request_id))

    def record_destination(self, gateway: str, request_id: str, save_to: str) -> None:
        """Record where the files of a job are about to be stored; files elsewhere no longer count."""
        place = to_column(save_to)
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE jobs SET files = CASE WHEN save_to = ? THEN files END, save_to = ?, updated = ?"
                " WHERE gateway = ? AND request_id = ?",
                (place, place, time.time(), gateway, to_column(request_id)),
            )

    def find_upload(self, gateway: str, sha256: str, lifetime: float) -> str | None:
        """Return where a file is that was uploaded in the last `lifetime` seconds."""
        if not self._file.exists():
            return None
        with self._file.writing() as connection:
            connection.execute("DELETE FROM uploads WHERE created < ?", (time.time() - lifetime,))
            row = connection.execute(
                "SELECT url FROM uploads WHERE gateway = ? AND sha256 = ?", (gateway, sha256)
            ).fetchone()
        return from_column(row[0]) if row else None

    def record_upload(self, gateway: str, sha256: str, url: str) -> None:
        """Write down where an uploaded file is."""
        with self._file.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?)",
                (gateway, sha256, to_column(url), time.time()),
            )

    def resolve(self, entry: int, request_id: str | None) -> None:
        """Write down what the user found out of an uncertain submit: the id of its job, or that there is none.

        Raises ConfigError if the entry is not an uncertain one, or another has this id.
        """
        state, reason = ("QUEUED", None) if request_id else (REFUSED, "the user found no job")
        with self._file.writing() as connection:
            known = connection.execute(
                "SELECT 1 FROM jobs WHERE request_id = ?", (to_column(request_id),)
            ).fetchone()
            if known is not None:
                raise ConfigError(f"job {request_id} is in the journal already, of another submit")
            cursor = connection.execute(
                "UPDATE jobs SET request_id = ?, state = ?, reason = ?, updated = ? WHERE id = ? AND state = ?",
                (to_column(request_id), state, reason, time.time(), entry, UNCERTAIN),
            )
            if cursor.rowcount == 0:
                raise ConfigError(f"there is no uncertain submit {entry} in {self.path}")

    def forget(self, entries: Iterable[int]) -> int:
        """Remove submits from the file, and overwrite what it held of them.

        A job that has not ended goes on, is billed, and is not found by `resume` any more. A submit that a process waits
        for is not removed.

        Args:
            entries: Numbers of entries, `JournalEntry.id`. Numbers that the journal does not know are passed over.

        Returns:
            How many were removed.

        """
        if not self._file.exists():
            return 0
        with self._file.writing() as connection:
            self._mark_dead(connection)
            count = sum(
                connection.execute(
                    "DELETE FROM jobs WHERE id = ? AND state != ?", (entry, SUBMITTING)
                ).rowcount
                for entry in set(entries)
            )
        self._file.drop_traces()
        return count

    def entries(self) -> list[JournalEntry]:
        """Return every submit, the oldest first. Those of processes that died before the answer are uncertain.

        A journal that cannot be written to is read all the same. An entry that is damaged is left out, with a warning in
        the log.
        """
        if not self._file.exists():
            return []
        try:
            with self._file.writing() as connection:
                self._mark_dead(connection)
                self._remove_lock_files()
                rows = _select(connection)
        except StorageError as error:
            try:
                with self._file.reading() as connection:
                    dead = self._dead_owners(connection)
                    rows = [
                        _as_uncertain(row) if row["owner"] in dead else row for row in _select(connection)
                    ]
            except StorageError:
                # The first says what is wrong.
                raise error from None
            log.warning("only reading: %s", error)
        return [entry for row in rows if (entry := self._read_entry(row)) is not None]

    def find(self, gateway: str, request_id: str) -> JournalEntry | None:
        """Return the submit of a job, if the journal knows the job; the last one if several have its id."""
        if not self._file.exists():
            return None
        with self._file.reading() as connection:
            rows = _select(connection, "gateway = ? AND request_id = ?", gateway, to_column(request_id))
        return self._read_entry(rows[-1]) if rows else None

    def close(self) -> None:
        """Close the file, and remove the lock file of this process."""
        with self._file.lock:
            self._file.close()
            if self._alive is not None:
                self._alive.release()
                self._alive = None

    def _update(self, columns: Columns, condition: str, *values: object) -> None:
        encoded = encode_columns(columns)
        names = ", ".join(f"{name} = ?" for name in encoded)
        with self._file.writing() as connection:
            connection.execute(
                f"UPDATE jobs SET {names}, updated = ? WHERE {condition}",  # noqa: S608  names of our own
                (*encoded.values(), time.time(), *values),
            )

    def _mark_dead(self, connection: sqlite3.Connection) -> None:
        """Mark as uncertain what a process had under way that is gone."""
        for owner in self._dead_owners(connection):
            connection.execute(
                "UPDATE jobs SET state = ?, reason = ?, updated = ? WHERE owner = ? AND state = ?",
                (UNCERTAIN, _DIED, time.time(), owner, SUBMITTING),
            )

    def _dead_owners(self, connection: sqlite3.Connection) -> set[str]:
        rows = connection.execute("SELECT DISTINCT owner FROM jobs WHERE state = ?", (SUBMITTING,)).fetchall()
        owners: set[str] = {str(owner) for (owner,) in rows if owner != self._owner}
        return {owner for owner in owners if remove_if_free(self._owner_path(owner))}

    def _remove_lock_files(self) -> None:
        """Remove the lock files, of processes and of batches, whose owner is gone."""
        prefix = f"{self.path.name}-"
        for pattern in ("*.alive", "*.batch"):
            for path in self.path.parent.glob(escape(prefix) + pattern):
                # A second hyphen: of a journal beside this one, whose transactions do not keep its processes away here.
                if "-" not in path.name.removeprefix(prefix):
                    with suppress(OSError):
                        remove_if_free(path)

    def _owner_path(self, owner: str) -> Path:
        return self.path.with_name(f"{self.path.name}-{owner}.alive")

    def _read_entry(self, row: Mapping[str, Any]) -> JournalEntry | None:
        try:
            return _entry(row)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            log.warning(
                "entry %s of the journal %s is damaged and left out: %s", row["id"], self._file, error
            )
            return None


def _select(connection: sqlite3.Connection, condition: str = "1", *values: Any) -> list[dict[str, Any]]:
    """Return the rows of the entries that meet a condition, with the owner of each, the oldest first."""
    names = (*_COLUMNS, "owner")
    query = f"SELECT {', '.join(names)} FROM jobs WHERE {condition} ORDER BY id"  # noqa: S608  names of our own
    return [dict(zip(names, row, strict=True)) for row in connection.execute(query, values)]


def encode_columns(columns: Columns) -> dict[str, str | float | bytes | None]:
    """Return columns as the file holds them; without links to files, which open them to anybody and do not last."""
    encoded: dict[str, Any] = dict(columns)
    if "result" in columns:
        encoded["result"] = json.dumps(columns["result"])
    if "files" in columns:
        encoded["files"] = json.dumps([{**asdict(file), "link": None} for file in columns["files"]])
    return {name: to_column(value) for name, value in encoded.items()}


def _as_uncertain(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "state": UNCERTAIN, "reason": _DIED} if row["state"] == SUBMITTING else row


def _entry(row: Mapping[str, Any]) -> JournalEntry:
    """Return the entry in a row. Raises ValueError or TypeError for what this package cannot have written."""
    values: dict[str, Any] = {name: from_column(row[name]) for name in _COLUMNS}
    for name, types in _COLUMNS.items():
        if not isinstance(values[name], types):
            raise TypeError(f"{name} cannot be of type {type(values[name]).__name__}")
    for name in ("params", "result"):
        values[name] = None if values[name] is None else json.loads(values[name])
        if not isinstance(values[name], dict) and not (name == "result" and values[name] is None):
            raise TypeError(f"{name} is not a JSON object")
    files = json.loads(values["files"] or "[]")
    if not all(isinstance(file["url"], str) for file in files):
        raise TypeError("the URL of a file is not a text")
    values["files"] = tuple(StoredFile(**file) for file in files)
    return JournalEntry(**values)
