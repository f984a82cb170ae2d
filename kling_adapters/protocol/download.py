"""The checks a downloaded file passes before it appears: length, type, digest. The bytes come from a driver."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from kling_adapters.errors import StorageError
from kling_adapters.hookspecs import JobContext, JobStorage, Storage, Writer
from kling_adapters.media.types import HEAD_BYTES, find_extension, fits_kind, is_error_page, sniff
from kling_adapters.result import Artifact, StoredFile

log = logging.getLogger("kling_adapters")

MAX_BYTES = 4 * 1024**3
MAX_SECONDS = 6 * 3600.0
"""Seconds that the download of one file may take, over all of its responses."""
MAX_RESPONSES = 200
"""Responses that one file may be spread over."""
MIN_RATE = 1024
"""Bytes that must come in a second, on average and after the first minute, lest a connection that drips last for days."""
SLOW_START = 60.0

# Without a coding, whatever the word: what object stores keep of the upload that made the file.
_NO_CODING = {"", "identity", "none", "aws-chunked", "utf-8", "binary"}


class TooSlow(Exception):
    """The connection brings hardly anything; another one may bring more."""


class Download:
    """Takes the bytes of one artifact, over as many responses as it needs, and hands them to a storage.

    The file is opened when its first bytes have shown what it is. `received` counts the bytes taken so far.
    `begin`, `write` and `commit` may run in worker threads, one after the other; `abort` may come at any moment.
    """

    def __init__(
        self,
        artifact: Artifact,
        stem: str,
        storage: Storage,
        job: JobContext | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._artifact = artifact
        self._job = job
        self._max_bytes = min(MAX_BYTES, max_bytes)
        self._began = time.monotonic()
        self._responses = 0
        self._stem = stem
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
        self._announced_type = self._coding = self._content_type = ""
        self._digest = hashlib.sha256()

    def headers(self) -> dict[str, str]:
        """The request headers that ask for what is still missing, uncompressed so that lengths can be compared."""
        headers = {"accept-encoding": "identity"}
        if self.received:
            headers["range"] = f"bytes={self.received}-"
            if self._etag and not self._etag.startswith("W/"):
                headers["if-range"] = self._etag
        return headers

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Look at the head of a response; False if its body is not the file."""
        etag = headers.get("etag", "")
        if status == 200:
            # The range was ignored, or the file has changed: from the start.
            length = headers.get("content-length", "")
            self._restart()
            self.expected = int(length) if re.fullmatch("[0-9]{1,15}", length) else None
        elif not (status == 206 and self._continues(headers.get("content-range", ""), etag)):
            if status in (206, 416):
                # Another file than the one begun, or nobody knows what: what is there is of no use any more.
                self._restart()
            return False
        self._etag = etag
        self._announced_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        codings = {word.strip().lower() for word in headers.get("content-encoding", "").split(",")}
        self._coding = ", ".join(sorted(codings - _NO_CODING))
        self._responses += 1
        self._response_began, self._response_bytes = time.monotonic(), 0
        if self._responses > MAX_RESPONSES:
            raise StorageError(f"the output came in more than {MAX_RESPONSES} pieces", url=self._artifact.url)
        if max(self.expected or 0, self._artifact.size or 0) > self._max_bytes:
            raise StorageError(f"the output is larger than {self._max_bytes} bytes", url=self._artifact.url)
        return True

    def _continues(self, content_range: str, etag: str) -> bool:
        """Whether a response brings the rest of what has been begun."""
        found = re.fullmatch(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})", content_range)
        if found is None or (self._etag and etag and etag != self._etag):
            return False
        start, last, total = map(int, found.groups())
        if start != self.received or not start <= last < total or self.expected not in (None, total):
            return False
        self.expected = total
        return True

    def take(self, content: bytes) -> None:
        """Take the whole file at once."""
        self.begin(200, {"content-length": str(len(content))})
        self.write(content)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the file. Raises TooSlow when a response should be given up for another one."""
        self.received += len(chunk)
        most = self._max_bytes
        if self.received > min(most, self.expected or most, self._artifact.size or most):
            raise StorageError("the output has more bytes than were announced", url=self._artifact.url)
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
            raise StorageError(f"the output took longer than {MAX_SECONDS:.0f} s", url=self._artifact.url)
        self._response_bytes += count
        seconds = now - self._response_began
        if seconds > SLOW_START and self._response_bytes < MIN_RATE * seconds:
            raise TooSlow(f"{self._response_bytes} bytes came in {seconds:.0f} s")

    def is_whole(self) -> bool:
        """Whether as many bytes have come as were announced, by the answer and by the gateway."""
        told = (self.expected, self._artifact.size)
        return self.received > 0 and all(size in (None, self.received) for size in told)

    def commit(self) -> StoredFile:
        """Make the file appear."""
        with self._storing():
            digest = self._digest.hexdigest()
            location = (self._writer or self._open()).commit(digest)
            self._writer = None
        return StoredFile(location.url, self.received, digest, self._content_type, location.link)

    def abort(self) -> None:
        """Leave nothing behind. A thread that is still storing is told to stop, and does it; nobody waits for it."""
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
        """Say any failure of a storage in one way, whatever plugin it comes from; undo it if `abort` came meanwhile."""
        try:
            with self._lock:
                yield
        except StorageError:
            raise
        except Exception as error:
            raise StorageError(f"the output could not be stored: {error}", url=self._artifact.url) from error
        finally:
            if self._aborted:
                self.abort()

    def _open(self) -> Writer:
        self._content_type, extension = self._recognise()
        name = f"{self._stem}.{extension}"
        if self._job is not None and isinstance(self._storage, JobStorage):
            writer = self._storage.open_for(self._job, name, self._content_type)
        else:
            writer = self._storage.open(name, self._content_type)
        self._writer = writer
        writer.write(self._head)
        self._head = b""
        return writer

    def _recognise(self) -> tuple[str, str]:
        """Return the content type and the extension of the file. Raises StorageError if it is something else.

        What is not recognised has been paid for, and is stored as what it was announced to be.
        """
        kind, found, announced = self._artifact.kind, sniff(self._head), self._announced_type
        if not found and self._coding:
            raise StorageError(
                f"the output is packed as {self._coding}, which was not asked for and cannot be unpacked here",
                url=self._artifact.url,
            )
        is_open = kind in ("text", "file")
        if found:
            if not is_open and not fits_kind(found, kind):
                raise self._another_kind(found)
            return found, find_extension(found, kind)
        if is_open:
            return "application/octet-stream", "bin"
        if is_error_page(self._head, announced):
            raise self._another_kind(f"text that starts with {self._head[:12]!r}")
        content_type = announced if re.fullmatch(r"[a-z0-9.+-]+/[a-z0-9.+-]+", announced) else ""
        log.warning(
            "the output is not recognised as %s: it starts with %r and is stored as it came",
            kind,
            self._head[:12],
        )
        return content_type or "application/octet-stream", find_extension(content_type, kind)

    def _another_kind(self, what: str) -> StorageError:
        return StorageError(
            f"the output should be {self._artifact.kind}, but is {what}", url=self._artifact.url
        )


def safe_stem(*parts: str | None) -> str:
    """A file name without its extension, of letters, digits, dots, hyphens and underscores only.

    What had to be changed or cut gets a digest of what it was, so that two ids never share a name.
    """
    joined = "-".join(part for part in parts if part)
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", joined).lstrip("._-")[:120]
    if safe == joined and safe:
        return safe
    return f"{safe or 'output'}-{hashlib.sha256(joined.encode('utf-8', 'replace')).hexdigest()[:12]}"
