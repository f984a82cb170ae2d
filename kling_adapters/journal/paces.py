"""The paces of keys in the SQLite file of the journal, one for each gateway and fingerprint of a key."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from kling_adapters.journal.database import Database
from kling_adapters.journal.opening import PROGRESS_TIMEOUT

_LIFETIME: Final = 86400.0
"""Seconds for which a pace that no process uses stays in the file."""
_LONGEST: Final = 10_000
"""Characters of a pace; a longer text is not one."""
_SELECT: Final = "SELECT pace FROM paces WHERE gateway = ? AND key = ? AND length(pace) <= ?"


class Paces:
    """The table of paces. Methods raise StorageError when the file cannot be read or written."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, gateway: str, key: str) -> str | None:
        """Return the pace of the key with this fingerprint; None if there is none."""
        if not self._database.exists():
            return None
        with self._database.read() as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'paces'").fetchone():
                return None
            return _read_text(connection.execute(_SELECT, (gateway, key, _LONGEST)).fetchone())

    def exchange(self, gateway: str, key: str, update: Callable[[str | None], str]) -> None:
        """Replace a pace by what `update` makes of it, in one transaction; a power failure may undo it."""
        with self._database.write(timeout=PROGRESS_TIMEOUT, is_flushed=False) as connection:
            row = connection.execute(_SELECT, (gateway, key, _LONGEST)).fetchone()
            now = time.time()
            connection.execute(
                "INSERT OR REPLACE INTO paces VALUES (?, ?, ?, ?)",
                (gateway, key, update(_read_text(row)), now),
            )
            connection.execute("DELETE FROM paces WHERE updated < ?", (now - _LIFETIME,))


def _read_text(row: tuple[object] | None) -> str | None:
    return row[0] if row is not None and isinstance(row[0], str) else None
