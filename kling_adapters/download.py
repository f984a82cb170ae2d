"""The checks a downloaded file passes before it appears: length, type, digest. Pure; the bytes come from a driver."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from kling_adapters.errors import StorageError
from kling_adapters.hookspecs import Storage, Writer
from kling_adapters.result import Artifact, Kind, StoredFile

MAX_BYTES = 4 * 1024**3
HEAD_BYTES = 512

_EXTENSIONS = {
    "video/mp4": "mp4",
    "video/webm": "webm",
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
}

_MAGIC = (
    ("video/mp4", 4, b"ftyp"),
    ("video/webm", 0, b"\x1aE\xdf\xa3"),
    ("image/png", 0, b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", 0, b"\xff\xd8\xff"),
    ("image/webp", 8, b"WEBP"),
    ("audio/wav", 8, b"WAVE"),
    ("audio/mpeg", 0, b"ID3"),
    ("audio/mpeg", 0, b"\xff\xfb"),
    ("audio/mpeg", 0, b"\xff\xf3"),
    ("audio/mpeg", 0, b"\xff\xf2"),
)


class Download:
    """Takes the bytes of one artifact, over as many responses as it needs, and hands them to a storage.

    The file is opened when its first bytes have shown what it is. `received` counts the bytes taken so far.
    """

    def __init__(self, artifact: Artifact, stem: str, storage: Storage) -> None:
        self._artifact = artifact
        self._stem = stem
        self._storage = storage
        self._writer: Writer | None = None
        self._head = b""
        self._content_type = ""
        self._etag = ""
        self._restart()

    def _restart(self) -> None:
        self.abort()
        self.received = 0
        self.expected: int | None = None
        self._head = b""
        self._digest = hashlib.sha256()

    def headers(self) -> dict[str, str]:
        """The request headers that ask for what is still missing, uncompressed so that lengths can be compared."""
        headers = {"accept-encoding": "identity"}
        if self.received:
            headers["range"] = f"bytes={self.received}-"
            if self._etag:
                headers["if-range"] = self._etag
        return headers

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Look at the head of a response; False if its body is not the file."""
        content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("content-range", ""))
        length = headers.get("content-length", "")
        if status == 206 and content_range and int(content_range[1]) == self.received:
            self.expected = int(content_range[2])
        elif status == 200:
            # The server ignored the range, or the file has changed: from the start.
            self._restart()
            self.expected = int(length) if length.isdigit() else None
        else:
            return False
        etag = headers.get("etag", "")
        self._etag = "" if etag.startswith("W/") else etag
        if max(self.expected or 0, self._artifact.size or 0) > MAX_BYTES:
            raise StorageError(f"the output is larger than {MAX_BYTES} bytes", url=self._artifact.url)
        return True

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the file."""
        self.received += len(chunk)
        if self.received > (MAX_BYTES if self.expected is None else self.expected):
            raise StorageError("the output has more bytes than were announced", url=self._artifact.url)
        self._digest.update(chunk)
        if self._writer is None:
            self._head += chunk
            if len(self._head) >= HEAD_BYTES:
                self._open()
        else:
            with self._storing():
                self._writer.write(chunk)

    def is_whole(self) -> bool:
        """Whether as many bytes have come as were announced."""
        return self.received > 0 and self.received == (
            self.received if self.expected is None else self.expected
        )

    def commit(self) -> StoredFile:
        """Make the file appear. Raises StorageError if its size is not the one the gateway told."""
        if self._artifact.size is not None and self._artifact.size != self.received:
            told = f"the gateway told {self._artifact.size} bytes, {self.received} came"
            raise StorageError(f"the output has the wrong size: {told}", url=self._artifact.url)
        writer = self._writer or self._open()
        with self._storing():
            url = writer.commit()
        self._writer = None
        return StoredFile(url, self.received, self._digest.hexdigest(), self._content_type)

    def abort(self) -> None:
        """Leave nothing behind."""
        if self._writer is not None:
            self._writer.abort()
            self._writer = None

    def _open(self) -> Writer:
        self._content_type = sniff(self._head)
        if not _fits(self._content_type, self._artifact.kind):
            found = self._content_type or f"bytes starting {self._head[:12]!r}"
            raise StorageError(
                f"the output should be {self._artifact.kind}, but is {found}", url=self._artifact.url
            )
        kind = self._content_type or "application/octet-stream"
        name = f"{self._stem}.{_EXTENSIONS.get(kind, 'bin')}"
        self._content_type = kind
        with self._storing():
            self._writer = self._storage.open(name, kind)
            self._writer.write(self._head)
        self._head = b""
        return self._writer

    @contextmanager
    def _storing(self) -> Generator[None]:
        """Say any failure of a storage in one way, whatever plugin it comes from."""
        try:
            yield
        except StorageError:
            raise
        except Exception as error:
            raise StorageError(f"the output could not be stored: {error}", url=self._artifact.url) from error


def sniff(head: bytes) -> str:
    """The content type that the first bytes of a file show, or "" if they show none that is known."""
    for content_type, offset, magic in _MAGIC:
        if head.startswith(magic, offset):
            return content_type
    return ""


def _fits(content_type: str, kind: Kind) -> bool:
    """Whether a file of this type can be such an artifact; of text and unknown kinds nothing is known."""
    return kind in ("text", "file") or content_type.startswith(kind)


def safe_stem(*parts: str | None) -> str:
    """A file name without its extension, of letters, digits, dots, hyphens and underscores only."""
    joined = "-".join(part for part in parts if part)
    return re.sub(r"[^A-Za-z0-9._-]+", "_", joined).lstrip("._-")[:150] or "output"
