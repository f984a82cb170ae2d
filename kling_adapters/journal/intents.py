"""Intents of submits in the SQLite file of the journal, written before the gateway receives anything."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from kling_adapters._text import fingerprint_key
from kling_adapters.journal.entries import REFUSED, SUBMITTING
from kling_adapters.journal.rows import encode_value


def insert_intent(
    connection: sqlite3.Connection,
    owner: str,
    gateway: str,
    model: str,
    params: Mapping[str, Any],
    key: str,
    save_to: str | None,
    tag: str | None,
    unchecked: tuple[str, ...],
) -> int:
    """Insert a submit, and return the number of its entry. Arguments as for `Journal.intend`."""
    now = time.time()
    names = json.dumps(unchecked) if unchecked else None
    values = (gateway, model, json.dumps(params), fingerprint_key(key), save_to, tag, names)
    cursor = connection.execute(
        "INSERT INTO jobs (gateway, model, params, key, save_to, tag, unchecked, owner, state, created, updated)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*map(encode_value, values), owner, SUBMITTING, now, now),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def refuse_intent(connection: sqlite3.Connection, owner: str, entry: int, error: BaseException) -> None:
    """Record that an interrupted submit was not sent; do nothing if its intent was not written."""
    connection.execute(
        "UPDATE jobs SET state = ?, reason = ?, updated = ? WHERE id = ? AND owner = ? AND state = ?",
        (
            REFUSED,
            f"the submit was interrupted by {type(error).__name__}",
            time.time(),
            entry,
            owner,
            SUBMITTING,
        ),
    )
