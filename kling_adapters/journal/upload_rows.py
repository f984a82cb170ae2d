"""The table of uploaded files in the SQLite file of the journal."""

from __future__ import annotations

import sqlite3
import time

from kling_adapters.journal.rows import decode_value, encode_value


def select_upload(connection: sqlite3.Connection, gateway: str, sha256: str, lifetime: float) -> str | None:
    """Return the URL of a file that was uploaded in the last `lifetime` seconds, and delete older ones."""
    connection.execute("DELETE FROM uploads WHERE created < ?", (time.time() - lifetime,))
    query = "SELECT url FROM uploads WHERE gateway = ? AND sha256 = ?"
    row = connection.execute(query, (gateway, sha256)).fetchone()
    return decode_value(row[0]) if row else None


def insert_upload(connection: sqlite3.Connection, gateway: str, sha256: str, url: str) -> None:
    """Record the URL of an uploaded file."""
    values = (gateway, sha256, encode_value(url), time.time())
    connection.execute("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?)", values)
