"""Reading of local media: a `Path`, bytes, or a file opened in binary mode."""

from __future__ import annotations

import hashlib
import inspect
import io
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeGuard
from weakref import WeakKeyDictionary

from kling_adapters.forks import ForkSafeLock

LocalMedia: TypeAlias = Path | bytes | bytearray | memoryview | IO[bytes]

CHUNK_BYTES = 3 * 256 * 1024
"""Bytes read at a time: a multiple of three, so that each chunk is whole groups of base64."""


class MediaError(Exception):
    """A value cannot be used as media. The message follows "it is" in a sentence."""


def is_local(value: Any) -> TypeGuard[LocalMedia]:
    """Return whether a value is local media."""
    # Most values are none of it, and looking for an attribute that they lack takes long.
    if isinstance(value, (str, int, float)):
        return False
    return isinstance(value, Path | bytes | bytearray | memoryview | io.IOBase) or hasattr(value, "read")


@contextmanager
def open_media(media: LocalMedia) -> Generator[MediaReader]:
    """Open local media for reading. Raises MediaError for every failure."""
    try:
        if isinstance(media, bytes | bytearray | memoryview):
            yield MediaReader(io.BytesIO(media))
        elif isinstance(media, Path):
            with open(media, "rb", opener=_open_plain_file) as file:
                yield MediaReader(file)
        elif inspect.iscoroutinefunction(media.read):
            raise MediaError("an asynchronous file: read it first, with `await file.read()`")
        else:
            yield MediaReader(media)
    except FileNotFoundError:
        raise MediaError("missing") from None
    except IsADirectoryError:
        raise MediaError("a folder") from None
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise MediaError(f"not readable: {error}") from error


def _open_plain_file(path: str, flags: int) -> int:
    """Open a plain file. Opening a pipe would block, and reading a device might never end."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        os.close(descriptor)
        raise IsADirectoryError(path) if is_folder else MediaError("not a plain file")
    return descriptor


class MediaReader:
    """Reads a file from a position of its own, so that requests and threads can share one open file.

    Each read holds the lock of the file and restores its position. The end is fixed when the reader is
    created: a growing file must not be read forever.

    Attributes:
        size: Bytes from the position of the file to its end.

    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = _find_lock(file)
        with self._lock:
            self._start = self._position = file.tell()
            try:
                end: Any = file.seek(0, io.SEEK_END)
                # Some wrappers return None from seek().
                self._end: int = end if isinstance(end, int) else file.tell()
            finally:
                file.seek(self._start)
        self.size = max(0, self._end - self._start)

    def read(self, max_bytes: int) -> bytes:
        """Return the next bytes, b"" at the end. Raises MediaError if the file yields anything but bytes."""
        with self._lock:
            start = self._file.tell()
            try:
                self._file.seek(self._position)
                content: Any = self._file.read(min(max_bytes, self._end - self._position))
            finally:
                self._file.seek(start)
        if not isinstance(content, bytes):
            raise MediaError("a file opened as text: open it in mode 'rb'")
        self._position += len(content)
        return content

    def rewind(self) -> None:
        """Return to the start."""
        self._position = self._start

    def digest(self) -> str:
        """Return the hex sha256 of all bytes."""
        self.rewind()
        sha256 = hashlib.sha256()
        while chunk := self.read(CHUNK_BYTES):
            sha256.update(chunk)
        return sha256.hexdigest()


_locks: WeakKeyDictionary[Any, ForkSafeLock] = WeakKeyDictionary()
_locks_lock = ForkSafeLock()


def _find_lock(file: Any) -> ForkSafeLock:
    """Return the lock that all readers of an open file share."""
    with _locks_lock:
        try:
            return _locks.setdefault(file, ForkSafeLock())
        except TypeError:  # the file has no hash or does not support weak references
            return _locks.setdefault(MediaReader, ForkSafeLock())
