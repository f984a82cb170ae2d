"""Deletion of old entries."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from typing import Final

from kling_adapters.errors import ConfigError
from kling_adapters.journal.entries import EXPIRED, REFUSED

DAYS: Final = "KLING_JOURNAL_DAYS"
"""Environment variable: days for which an ended job stays in the journal; by default 90."""
_UNSTORED_DAYS: Final = 30.0
"""Minimum days for a job whose output is not stored yet. The gateway keeps outputs for 7."""


def delete_old(connection: sqlite3.Connection) -> None:
    """Delete the entries that ended longer ago than KLING_JOURNAL_DAYS. Raises ConfigError for a bad number.

    An uncertain submit stays until the user resolves it.
    """
    days, now = _read_days(), time.time()
    oldest, oldest_unstored = (now - limit * 86400 for limit in (days, max(days, _UNSTORED_DAYS)))
    connection.execute(
        "DELETE FROM jobs WHERE updated < ? AND (state IN (?, ?, 'FAILED') OR state = 'COMPLETED'"
        " AND (save_to IS NULL OR files IS NOT NULL OR updated < ?))",
        (oldest, REFUSED, EXPIRED, oldest_unstored),
    )


def _read_days() -> float:
    text = os.environ.get(DAYS, "90")
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not days >= 0:
        raise ConfigError(f"{DAYS} is {text!r}; expected a number of days, 0 or more. Nothing was sent")
    return days
