"""Download of one file, whose length and type are checked before it is published. A driver provides the bytes."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

from kling_adapters.errors import StorageError
from kling_adapters.hook_objects import JobContext, JobStorage, Storage, Writer
from kling_adapters.media.types import HEAD_BYTES
from kling_adapters.protocol.content import detect_content, read_codings
from kling_adapters.result import Artifact, StoredFile

MAX_BYTES = 4 * 1024**3
MAX_SECONDS = 6 * 3600.0
"""Seconds for one file, over all of its responses."""
MAX_RESPONSES = 200
"""Responses for one file."""
MIN_RATE = 1024
"""Bytes per second of one response, on average after the first minute: a slower one could last for days."""
SLOW_START = 60.0


class TooSlow(Exception):
    """The response is too slow; another one may be faster."""


class Download:
    """Writer of one file, from one or more responses, to a storage.

    The file is opened when its first bytes show its type. `begin`, `write` and `commit` may run in worker threads, one
    after the other; `abort` may be called at any time.

    Args:
        artifact: The file as the gateway describes it.
        make_name: Returns the file name for an extension.
        storage: The storage.
        job: The job of the file, for a JobStorage.
        max_bytes: The largest accepted size in bytes.

    Attributes:
        received: The number of bytes so far.
        expected: The size in bytes that the server announced; None if it did not.

    """

    def __init__(
        self,
        artifact: Artifact,
        make_name: Callable[[str], str],
        storage: Storage,
        job: JobContext | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._artifact = artifact
        self._job = job
        self._max_bytes = min(MAX_BYTES, max_bytes)
        self._began = time.monotonic()
        self._responses = 0
        self._make_name = make_name
        self._storage = storage
        self._lock = threading.Lock()
        self._aborted = False
        self._writer: Writer | None = None
        self._restart()

    def _restart(self) -> None:
        with self._storing():
            self._drop()
        self._etag = ""
        self.received = 0
        self.expected: int | None = None
        self._head = b""
        self._digest = hashlib.sha256()

    def headers(self) -> dict[str, str]:
        """Return the request headers for the missing bytes, uncompressed so that lengths can be compared."""
        headers = {"accept-encoding": "identity"}
        if self.received:
            headers["range"] = f"bytes={self.received}-"
            if self._etag and not self._etag.startswith("W/"):
                headers["if-range"] = self._etag
        return headers

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Check the status and headers of a response. Return False if its body is not the file."""
        etag = headers.get("etag", "")
        if status == 200:
            # The server ignored the range, or the file has changed: start again.
            length = headers.get("content-length", "")
            self._restart()
            self.expected = int(length) if re.fullmatch("[0-9]{1,15}", length) else None
        elif not (status == 206 and self._continues(headers.get("content-range", ""), etag)):
            if status in (206, 416):
                # Another file, or an unknown part: the received bytes are useless.
                self._restart()
            return False
        self._etag = etag
        self._announced_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        self._codings = read_codings(headers.get("content-encoding", ""))
        self._responses += 1
        self._response_began, self._response_bytes = time.monotonic(), 0
        if self._responses > MAX_RESPONSES:
            raise StorageError(f"the output came in more than {MAX_RESPONSES} pieces")
        sizes = self._announced_sizes()
        if any(size > self._max_bytes for size in sizes):
            raise StorageError(f"the output is larger than {self._max_bytes} bytes")
        self._limit = min([self._max_bytes, *sizes])
        return True

    def _continues(self, content_range: str, etag: str) -> bool:
        """Return whether a response continues the received bytes."""
        match = re.fullmatch(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})", content_range)
        if match is None or (self._etag and etag and etag != self._etag):
            return False
        start, last, total = map(int, match.groups())
        if start != self.received or not start <= last < total or self.expected not in (None, total):
            return False
        self.expected = total
        return True

    def take(self, content: bytes) -> None:
        """Receive the whole file at once."""
        self.begin(200, {})
        self.write(content)

    def write(self, chunk: bytes) -> None:
        """Receive the next bytes. Raises TooSlow if another response should replace this one."""
        self.received += len(chunk)
        if self.received > self._limit:
            raise StorageError("the output has more bytes than were announced")
        self._check_pace(len(chunk))
        self._digest.update(chunk)
        with self._storing():
            if self._writer is not None:
                self._writer.write(chunk)
            else:
                self._head += chunk
                if len(self._head) >= HEAD_BYTES:
                    self._open()

    def _check_pace(self, count: int) -> None:
        now = time.monotonic()
        if now - self._began > MAX_SECONDS:
            raise StorageError(f"the output took longer than {MAX_SECONDS:.0f} s")
        self._response_bytes += count
        seconds = now - self._response_began
        if seconds > SLOW_START and self._response_bytes < MIN_RATE * seconds:
            raise TooSlow(f"{self._response_bytes} bytes came in {seconds:.0f} s")

    def is_complete(self) -> bool:
        """Return whether the size is the one that the server and the gateway announced."""
        return self.received > 0 and all(size == self.received for size in self._announced_sizes())

    def _announced_sizes(self) -> list[int]:
        return [size for size in (self.expected, self._artifact.size) if size is not None]

    def commit(self) -> StoredFile:
        """Publish the file."""
        with self._storing():
            digest = self._digest.hexdigest()
            location = (self._writer or self._open()).commit(digest)
            self._writer = None
        return StoredFile(location.url, self.received, digest, self._content_type, location.link)

    def abort(self) -> None:
        """Discard the partial file without waiting for a thread that is writing it; that thread then stops."""
        self._aborted = True
        if self._lock.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._lock.release()
        elif (writer := self._writer) is not None:
            writer.abort()

    def _drop(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abort()

    @contextmanager
    def _storing(self) -> Generator[None]:
        """Raise any failure of a storage as StorageError, and discard the file if `abort` was called meanwhile."""
        try:
            with self._lock:
                self._check_kept()
                yield
        except StorageError:
            raise
        except Exception as error:
            raise StorageError(f"the output could not be stored: {error}") from error
        finally:
            if self._aborted:
                self.abort()

    def _check_kept(self) -> None:
        # The thread of a cancelled task may begin after `abort`.
        if self._aborted:
            raise StorageError("the download was discarded")

    def _open(self) -> Writer:
        self._content_type, extension = detect_content(
            self._artifact, self._head, self._announced_type, self._codings
        )
        name = self._make_name(extension)
        if self._job is not None and isinstance(self._storage, JobStorage):
            writer = self._storage.open_for(self._job, name, self._content_type)
        else:
            writer = self._storage.open(name, self._content_type)
        self._writer = writer
        writer.write(self._head)
        return writer
