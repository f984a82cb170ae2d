"""Settling of uncertain submits in the SQLite file of the journal. Its lock decides which process has a job."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

from kling_adapters.errors import ConfigError
from kling_adapters.journal.entries import REFUSED, SUBMITTING, UNCERTAIN, HistorySearch
from kling_adapters.journal.rows import Row, encode_search, encode_value, select_rows

_IS_TAKEN: Final = (
    "SELECT 1 FROM jobs WHERE request_id = ? AND gateway = (SELECT gateway FROM jobs WHERE id = ?)"
)


def select_unanswered(connection: sqlite3.Connection, gateway: str, model: str | None) -> list[Row]:
    """Return the rows of the submits whose job is unknown, in flight or uncertain; None for all models."""
    condition, values = "gateway = ? AND state IN (?, ?)", (gateway, SUBMITTING, UNCERTAIN)
    if model is None:
        return select_rows(connection, condition, *values)
    return select_rows(connection, f"{condition} AND model = ?", *values, encode_value(model))


def claim_job(connection: sqlite3.Connection, entry: int, request_id: str) -> bool:
    """Make an uncertain submit that of a job, unless another submit to its gateway has the job."""
    job = encode_value(request_id)
    return not _is_taken(connection, entry, request_id) and _settle(connection, entry, job, "QUEUED", None)


def resolve_submit(connection: sqlite3.Connection, journal: str, entry: int, request_id: str | None) -> None:
    """Record the job of an uncertain submit, or None that it started none. Raises ConfigError if it cannot be so.

    Args:
        connection: The connection to the journal.
        journal: Its path, for messages.
        entry: Number of the entry.
        request_id: Request id of the job.

    """
    if request_id and _is_taken(connection, entry, request_id):
        raise ConfigError(f"job {request_id} is already in the journal, under another number")
    state, reason = ("QUEUED", None) if request_id else (REFUSED, "the user found no job")
    if not _settle(connection, entry, encode_value(request_id), state, reason):
        raise ConfigError(
            f"there is no uncertain submit {entry} in the journal {journal}; "
            "`kling jobs --uncertain` lists the uncertain submits"
        )


def dismiss_submit(connection: sqlite3.Connection, entry: int, reason: str) -> bool:
    """Record that an uncertain submit started no job."""
    return _settle(connection, entry, None, REFUSED, reason)


def record_search(connection: sqlite3.Connection, entry: int, look: HistorySearch) -> None:
    """Record a search for the job of an uncertain submit, without a change of the submit itself."""
    connection.execute(
        "UPDATE jobs SET looked = ? WHERE id = ? AND state = ?", (encode_search(look), entry, UNCERTAIN)
    )


def _is_taken(connection: sqlite3.Connection, entry: int, request_id: str) -> bool:
    return connection.execute(_IS_TAKEN, (encode_value(request_id), entry)).fetchone() is not None


def _settle(connection: sqlite3.Connection, entry: int, *columns: object) -> bool:
    """Set request id, state and reason of an uncertain submit; return False if it is not uncertain."""
    cursor = connection.execute(
        "UPDATE jobs SET request_id = ?, state = ?, reason = ?, updated = ? WHERE id = ? AND state = ?",
        (*columns, time.time(), entry, UNCERTAIN),
    )
    return cursor.rowcount == 1
