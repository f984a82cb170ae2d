"""The journal in a file: every submit before it is sent, and the outcome of its job.

One SQLite file, in WAL mode, which several processes share. It has the parameters and results of jobs, and a
fingerprint of the API key. Only its owner can read its files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from os import PathLike
from typing import Any, Final, Unpack

from kling_adapters.errors import StorageError
from kling_adapters.journal.claims import (
    claim_job,
    dismiss_submit,
    record_search,
    resolve_submit,
    select_unanswered,
)
from kling_adapters.journal.database import Database
from kling_adapters.journal.entries import SUBMITTING, Columns, HistorySearch, JournalEntry
from kling_adapters.journal.intents import insert_intent, refuse_intent
from kling_adapters.journal.location import absolute_path
from kling_adapters.journal.lockfile import LockFile
from kling_adapters.journal.opening import LOCK_TIMEOUT, PROGRESS_TIMEOUT
from kling_adapters.journal.owners import Owner
from kling_adapters.journal.paces import Paces
from kling_adapters.journal.rows import (
    CHANGED,
    Row,
    decode_row,
    encode_value,
    mark_uncertain,
    select_durations,
    select_rows,
    update_rows,
)
from kling_adapters.journal.upload_rows import insert_upload, select_upload

log = logging.getLogger("kling_adapters")

_NOTHING_SENT: Final = "Nothing was sent."
_JOB: Final = "gateway = ? AND request_id = ?"


class Journal:
    """The journal in the file `path`, which is created by the first entry. Any thread can use it.

    Parameters and results are stored unencrypted until KLING_JOURNAL_DAYS after the end of the job, or until `forget`.
    Methods raise StorageError when the file cannot be read or written.
    """

    may_block = True

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = absolute_path(path)
        self._database = Database(self.path)
        self._owner = Owner(self.path)
        self.paces = Paces(self._database)

    def check_available(self) -> None:
        """Do nothing: this journal records every job."""

    def transaction(self) -> AbstractContextManager[None]:
        """Put all writes of the block in one transaction, which is on disk after it, or none of them if it raises."""
        return self._database.transaction()

    def intend(
        self,
        gateway: str,
        model: str,
        params: Mapping[str, Any],
        key: str,
        save_to: str | None = None,
        tag: str | None = None,
        unchecked: tuple[str, ...] = (),
    ) -> int:
        """Record a submit on disk, before it is sent. Return the number of the entry."""
        owner, entry = "", 0
        # While the lock is held, no other thread can have an entry of this number and owner.
        with self._database.lock:
            try:
                with self._database.write(_NOTHING_SENT) as connection:
                    owner = self._owner.acquire()
                    entry = insert_intent(
                        connection, owner, gateway, model, params, key, save_to, tag, unchecked
                    )
            except (KeyboardInterrupt, SystemExit) as error:
                # During the commit, the intent may be on disk, but the caller never learns its number.
                if entry:
                    with self._database.write(_NOTHING_SENT) as connection:
                        refuse_intent(connection, owner, entry, error)
                raise
        return entry

    def lock_batch(self, digest: str) -> LockFile | None:
        """Return the lock of the batch whose name has this digest; None while another client holds it."""
        with self._database.write(_NOTHING_SENT):
            return self._owner.lock_batch(digest)

    def update(self, entry: int, **columns: Unpack[Columns]) -> None:
        """Change columns of the entry with this number."""
        with self._database.write() as connection:
            update_rows(connection, columns, "id = ?", entry)

    def update_job(self, gateway: str, request_id: str, /, **columns: Unpack[Columns]) -> None:
        """Change columns of every entry of a job, but replace neither COMPLETED nor FAILED, except by COMPLETED.

        The gateway deletes the record of a job after an hour but keeps its files for days: EXPIRED must not hide them.
        """
        condition = _JOB
        if columns.get("state", "COMPLETED") != "COMPLETED":
            condition += " AND state NOT IN ('COMPLETED', 'FAILED')"
        timeout = PROGRESS_TIMEOUT if columns.keys() == {"state"} else LOCK_TIMEOUT
        # After an hour only the journal knows how a job ended; the gateway would tell all else again.
        is_flushed = columns.get("state") in ("COMPLETED", "FAILED")
        with self._database.write(timeout=timeout, is_flushed=is_flushed) as connection:
            update_rows(connection, columns, condition, gateway, encode_value(request_id))

    def record_destination(self, gateway: str, request_id: str, save_to: str) -> None:
        """Record the destination of the files of a job, before they are stored there."""
        place = encode_value(save_to)
        with self._database.write() as connection:
            connection.execute(
                "UPDATE jobs SET files = CASE WHEN save_to = ? THEN files END, save_to = ?, updated = ?"
                " WHERE gateway = ? AND request_id = ?",
                (place, place, time.time(), gateway, encode_value(request_id)),
            )

    def find_upload(self, gateway: str, sha256: str, lifetime: float) -> str | None:
        """Return the URL of a file that was uploaded in the last `lifetime` seconds; None if there is none."""
        if not self._database.exists():
            return None
        with self._database.write(timeout=PROGRESS_TIMEOUT, is_flushed=False) as connection:
            return select_upload(connection, gateway, sha256, lifetime)

    def record_upload(self, gateway: str, sha256: str, url: str) -> None:
        """Record the URL of an uploaded file."""
        with self._database.write(timeout=PROGRESS_TIMEOUT, is_flushed=False) as connection:
            insert_upload(connection, gateway, sha256, url)

    def resolve(self, entry: int, request_id: str | None) -> None:
        """Record the finding of the user about an uncertain submit.

        Args:
            entry: Number of the entry.
            request_id: Request id of the job that the submit started; None if it started none.

        Raises:
            ConfigError: The entry is not an uncertain one, or another entry has this request id.

        """
        with self._database.write() as connection:
            resolve_submit(connection, str(self._database), entry, request_id)

    def find_unanswered(self, gateway: str, model: str | None = None) -> list[JournalEntry]:
        """Return the submits whose job is unknown, in flight or uncertain, the oldest first; None for all models."""
        if not self._database.exists():
            return []
        with self._database.write(is_flushed=False) as connection:
            self._owner.mark_dead(connection)
            rows = select_unanswered(connection, gateway, model)
        return [entry for row in rows if (entry := decode_row(row)) is not None]

    def claim(self, entry: int, request_id: str) -> bool:
        """Make an uncertain submit that of a job. Return False if it is settled, or another submit has the job."""
        with self._database.write() as connection:
            return claim_job(connection, entry, request_id)

    def dismiss(self, entry: int, reason: str) -> bool:
        """Record that an uncertain submit started no job; return False if it is not uncertain any more."""
        with self._database.write() as connection:
            return dismiss_submit(connection, entry, reason)

    def record_search(self, entry: int, look: HistorySearch) -> None:
        """Record a search for the job of an uncertain submit."""
        with self._database.write(timeout=PROGRESS_TIMEOUT, is_flushed=False) as connection:
            record_search(connection, entry, look)

    def forget(self, entries: Iterable[int]) -> int:
        """Delete entries from the file, overwrite their content, and return the count of the deleted ones.

        A job that has not ended continues and may be billed, but `resume` no longer finds it. A submit in flight is not
        deleted, and a number that the journal does not have is ignored.
        """
        if not self._database.exists():
            return 0
        with self._database.write() as connection:
            self._owner.mark_dead(connection)
            count = sum(
                connection.execute(
                    "DELETE FROM jobs WHERE id = ? AND state != ?", (entry, SUBMITTING)
                ).rowcount
                for entry in set(entries)
            )
        self._database.truncate_log()
        return count

    def entries(self, changed_since: float = 0.0) -> list[JournalEntry]:
        """Return the entries that changed since a time, the oldest first. A submit whose process is gone is uncertain.

        The file may be read-only. A damaged entry is left out, with a warning in the log.
        """
        if not self._database.exists():
            return []
        try:
            with self._database.write(_NOTHING_SENT) as connection:
                self._owner.mark_dead(connection)
                self._owner.remove_stale_files()
                rows = select_rows(connection, CHANGED, changed_since)
        except StorageError as error:
            rows = self._read_rows(error, changed_since)
        return [entry for row in rows if (entry := decode_row(row)) is not None]

    def find(self, gateway: str, request_id: str) -> JournalEntry | None:
        """Return the last entry of a job; None if there is none."""
        if not self._database.exists():
            return None
        with self._database.read() as connection:
            rows = select_rows(connection, _JOB, gateway, encode_value(request_id))
        return decode_row(rows[-1]) if rows else None

    def durations(self, gateway: str, model: str) -> list[float]:
        """Return the seconds from submit to end of the last 50 jobs of a model, as recorded, the oldest first."""
        if not self._database.exists():
            return []
        with self._database.read() as connection:
            return select_durations(connection, gateway, model)

    def close(self) -> None:
        """Close the file, and remove the lock file of this process."""
        with self._database.lock:
            self._database.close()
            self._owner.release()

    def _read_rows(self, failure: StorageError, changed_since: float) -> list[Row]:
        """Return the rows of a read-only file. Raises `failure` if it cannot be read."""
        try:
            with self._database.read() as connection:
                dead = self._owner.find_dead(connection)
                rows = select_rows(connection, CHANGED, changed_since)
        except StorageError:
            raise failure from None
        log.warning("the journal %s can only be read: %s", self._database, failure.__cause__)
        return [mark_uncertain(row) if row["owner"] in dead else row for row in rows]
