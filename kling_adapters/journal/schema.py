"""The tables of the journal, and the version of their schema."""

from __future__ import annotations

import sqlite3
from typing import Final

VERSION: Final = 1
_MODEL_INDEX: Final = "CREATE INDEX IF NOT EXISTS jobs_model ON jobs (model)"
_TABLES: Final = (
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
        updated REAL NOT NULL,
        unchecked TEXT,
        duration REAL,
        looked TEXT
    )
    """,
    "CREATE INDEX jobs_state ON jobs (state)",
    "CREATE INDEX jobs_request_id ON jobs (request_id)",
    _MODEL_INDEX,
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
_PACES: Final = """
    CREATE TABLE IF NOT EXISTS paces (
        gateway TEXT NOT NULL,
        key TEXT NOT NULL,
        pace TEXT NOT NULL,
        updated REAL NOT NULL,
        PRIMARY KEY (gateway, key)
    )
    """


class NewerSchema(Exception):
    """The file was written by a newer version of this package; the text says so."""


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables in a new file, and what is new in an older one, within the transaction that is open."""
    connection.execute(_PACES)
    if check_version(connection) == 0:
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        return
    columns = read_columns(connection)
    # Earlier versions of the package ignore them, so the version of the schema stays.
    if "unchecked" not in columns:
        connection.execute("ALTER TABLE jobs ADD COLUMN unchecked TEXT")
    if "duration" not in columns:
        connection.execute("ALTER TABLE jobs ADD COLUMN duration REAL")
        connection.execute(_MODEL_INDEX)
    if "looked" not in columns:
        connection.execute("ALTER TABLE jobs ADD COLUMN looked TEXT")


def read_columns(connection: sqlite3.Connection) -> set[str]:
    """Return the names of the columns of the jobs in this file."""
    return {row[1] for row in connection.execute("PRAGMA table_info(jobs)")}


def check_version(connection: sqlite3.Connection) -> int:
    """Return the version of the schema, 0 for a new file. Raises NewerSchema if this package does not know it."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise NewerSchema(
            f"was written by a newer version of kling-adapters: its schema is {version}, expected {VERSION}"
        )
    return version
