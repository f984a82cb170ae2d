"""Writer that spools a file before its upload."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from kling_adapters import StorageError
from kling_adapters.hookspecs import Location

PART_BYTES = 5 * 1024**2
"""Part size of multipart uploads (the minimum of S3), and maximum size of a single-request upload."""

PutObject: TypeAlias = Callable[[Iterator[bytes], int, str], Location]
"""Uploads parts of a file, with its size in bytes and its SHA-256; an exception of the parts cancels it."""


class Upload:
    """Writer that spools to an unnamed file: the metadata of the object needs the digest of the whole file.

    Args:
        put: Uploads the complete file.

    Raises:
        StorageError: The temporary file cannot be created.

    """

    def __init__(self, put: PutObject) -> None:
        self._put = put
        with _convert_file_errors():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed by commit or abort
        self._lock = threading.Lock()
        self._aborted = False

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        with self._exclusive_access(), _convert_file_errors():
            self._file.write(chunk)

    def commit(self, sha256: str) -> Location:
        """Upload the file and return its location."""
        with self._exclusive_access(), self._file:
            size = self._file.tell()
            self._file.seek(0)
            return self._put(self._read_parts(), size, sha256)

    def abort(self) -> None:
        """Delete the spooled file.

        An upload in another thread stops before its next part and deletes the file itself.
        """
        self._aborted = True
        if self._lock.acquire(blocking=False):
            try:
                self._file.close()
            finally:
                self._lock.release()

    def _read_parts(self) -> Iterator[bytes]:
        """Yield the file in parts. An exception raised here makes obstore cancel the upload."""
        while True:
            part = self._file.read(PART_BYTES)
            if self._aborted:
                raise StorageError("the upload was stopped; nothing was stored")
            if not part:
                return
            yield part

    @contextmanager
    def _exclusive_access(self) -> Generator[None]:
        try:
            with self._lock:
                yield
        finally:
            # An abort during this call could not close the file.
            if self._aborted:
                self.abort()


def check_spooling() -> None:
    """Check that temporary files can be created. Raises StorageError."""
    with _convert_file_errors():
        tempfile.TemporaryFile().close()


@contextmanager
def _convert_file_errors() -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write the temporary file of an upload: {error}. Set TMPDIR to a folder with room for "
            "the whole file"
        ) from error
