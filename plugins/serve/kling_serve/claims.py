"""The claim of a handle: of several servers that share a journal, one submits."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from filelock import AsyncFileLock

from kling_adapters import KlingError, StorageError

MAX_KEY: Final = 255
"""Characters of an idempotency key."""
KEY_DIGITS: Final = 32
"""Digits of a handle that are those of its idempotency key."""
_FILE_DIGITS: Final = 3
"""Digits that name a lock file. Handles that share a file wait for each other, and the folder stays small."""


class KeyInvalid(KlingError):
    """An idempotency key is not a text of 1 to 255 characters. Nothing was sent."""


class KeyReused(KlingError):
    """An idempotency key came with another request before. Nothing was sent."""


def check_key(handle: str, handles: Iterable[str]) -> None:
    """Raise KeyReused if one of several handles has the same key as another one, but is that of another request."""
    key = handle[:KEY_DIGITS]
    if any(used.startswith(key) and used != handle for used in handles):
        raise KeyReused(
            "this idempotency key was used with another request before. Use a new key for a new job. Nothing was sent"
        )


@asynccontextmanager
async def claim(handle: str, journal: Path | None) -> AsyncGenerator[None]:
    """Wait until no other task or process submits a job with the key of a handle, and keep them waiting in the block.

    Within the block, the journal decides whether the key was used: it has each submit that another process sent.

    Args:
        handle: The handle.
        journal: The journal, beside which the lock files are.

    Raises:
        StorageError: The lock file cannot be written.

    """
    assert journal is not None  # every connection has one
    folder = journal.with_name(f"{journal.name}.keys")
    lock = AsyncFileLock(folder / handle[:_FILE_DIGITS])
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        await lock.acquire()
    except OSError as error:
        raise StorageError(
            f"the key of the job cannot be locked in {str(folder)!r}: {error.strerror}. Nothing was sent"
        ) from None
    try:
        yield
    finally:
        await lock.release()
