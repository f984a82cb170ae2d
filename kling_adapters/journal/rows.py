"""Entries as rows of the SQLite file: encoding, checked decoding, and selection."""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import asdict
from types import NoneType
from typing import Any, Final, TypeAlias

from kling_adapters.journal.entries import SUBMITTING, UNCERTAIN, Columns, HistorySearch, JournalEntry
from kling_adapters.journal.schema import read_columns
from kling_adapters.result import StoredFile

log = logging.getLogger("kling_adapters")

Row: TypeAlias = dict[str, Any]

OWNER_DIED: Final = "the process ended before the gateway had answered"
"""The reason of a submit whose process is dead."""
# Every column of an entry, and the types that it may hold.
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
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
    "unchecked": (str, NoneType),
    "looked": (str, NoneType),
}

_MAX_DURATIONS: Final = 50


def encode_value(value: str | float | None) -> str | float | bytes | None:
    """Return a value for the file, with text that is not valid Unicode, such as a file name, as bytes."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
    return value


def decode_value(value: Any) -> Any:
    """Reverse `encode_value`."""
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


def encode_columns(columns: Columns) -> Row:
    """Return columns for the file, without the temporary links that open files without credentials."""
    row: Row = {**columns}
    if "result" in columns:
        row["result"] = json.dumps(columns["result"])
    if "files" in columns:
        row["files"] = json.dumps([{**asdict(file), "link": None} for file in columns["files"]])
    return {name: encode_value(value) for name, value in row.items()}


CHANGED: Final = "max(ifnull(updated, 0), 0) >= ?"
"""Condition of entries that changed since a time; 0 selects all of them, whatever a damaged one has there."""


def select_rows(connection: sqlite3.Connection, condition: str = "1", *values: Any) -> list[Row]:
    """Return the rows of the entries that meet a condition, with the owner of each, the oldest first."""
    # A file that can only be read, of an earlier version, lacks the newest columns.
    columns = read_columns(connection)
    names = [name if name in columns else f"NULL AS {name}" for name in (*_TYPES, "owner")]
    query = f"SELECT {', '.join(names)} FROM jobs WHERE {condition} ORDER BY id"  # noqa: S608  names of our own
    return [dict(zip((*_TYPES, "owner"), row, strict=True)) for row in connection.execute(query, values)]


def select_durations(connection: sqlite3.Connection, gateway: str, model: str) -> list[float]:
    """Return the durations of the last COMPLETED jobs of a model, the oldest first; nothing that is not a number."""
    if "duration" not in read_columns(connection):
        return []
    rows = connection.execute(
        "SELECT duration FROM jobs WHERE model = ? AND gateway = ? AND state = 'COMPLETED'"
        " AND typeof(duration) = 'real' ORDER BY id DESC LIMIT ?",
        (encode_value(model), gateway, _MAX_DURATIONS),
    )
    return [row[0] for row in rows][::-1]


def update_rows(connection: sqlite3.Connection, columns: Columns, condition: str, *values: object) -> None:
    """Change columns of the entries that meet a condition."""
    row = encode_columns(columns)
    names = ", ".join(f"{name} = ?" for name in row)
    connection.execute(
        f"UPDATE jobs SET {names}, updated = ? WHERE {condition}",  # noqa: S608  names of our own
        (*row.values(), time.time(), *values),
    )


def mark_uncertain(row: Row) -> Row:
    """Return the row of a submit whose process is dead."""
    return {**row, "state": UNCERTAIN, "reason": OWNER_DIED} if row["state"] == SUBMITTING else row


def decode_row(row: Row) -> JournalEntry | None:
    """Return the entry in a row; None, with a warning in the log, for a damaged one."""
    try:
        return _decode(row)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        log.warning("entry %s of the journal is damaged and left out: %s", row["id"], error)
        return None


def _decode(row: Row) -> JournalEntry:
    values: Row = {name: decode_value(row[name]) for name in _TYPES}
    for name, types in _TYPES.items():
        if not isinstance(values[name], types):
            raise TypeError(f"{name} cannot be of type {type(values[name]).__name__}")
    for name in ("params", "result"):
        values[name] = None if values[name] is None else json.loads(values[name])
        if not isinstance(values[name], dict) and not (name == "result" and values[name] is None):
            raise TypeError(f"{name} is not a JSON object")
    if values["cost"] is not None and not math.isfinite(values["cost"]):
        log.warning("the cost of entry %s of the journal is not a number and counts as unknown", values["id"])
        values["cost"] = None
    files = json.loads(values["files"] or "[]")
    if not all(isinstance(file["url"], str) for file in files):
        raise TypeError("the URL of a file is not a text")
    unchecked = json.loads(values["unchecked"] or "[]")
    if not all(isinstance(name, str) for name in unchecked):
        raise TypeError("the name of a parameter is not a text")
    values["unchecked"] = tuple(unchecked)
    values["looked"] = _decode_search(values["looked"])
    values["files"] = tuple(StoredFile(**file) for file in files)
    return JournalEntry(**values)


def encode_search(look: HistorySearch) -> str:
    """Return a search of the history for the file."""
    return json.dumps(asdict(look))


def _decode_search(text: str | None) -> HistorySearch | None:
    """Return a search of the history; None for a damaged one, which must not hide its submit."""
    try:
        look = HistorySearch(**json.loads(text or "null"))
    except (ValueError, TypeError, RecursionError):
        return None
    types = (look.time, int | float), (look.rows, int), (look.problem, str | None)
    return look if all(isinstance(member, kind) for member, kind in types) else None
