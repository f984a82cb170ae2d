"""Media on this machine, given where a model takes a URL: what is wrong with it, what it is, and its bytes.

Local media is a `Path`, `bytes`, or a file opened in binary mode, which is read from where it stands and put back there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import inspect
import io
import os
import re
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeGuard, cast
from weakref import WeakKeyDictionary

from kling_adapters.forks import ForkSafeLock, reset_in_children
from kling_adapters.media.types import HEAD_BYTES, sniff

Local: TypeAlias = Path | bytes | bytearray | memoryview | IO[bytes]

_CHUNK = 3 * 256 * 1024  # whole groups of base64


class Unusable(Exception):
    """Why something cannot be used as media, in words that follow its name."""


def is_local(value: Any) -> TypeGuard[Local]:
    """Whether a value is a file, or stands for one."""
    return isinstance(value, Path | bytes | bytearray | memoryview | io.IOBase) or hasattr(value, "read")


def from_data_url(url: str) -> bytes:
    """Return what a data: URL holds. Raises Unusable if it is not base64."""
    head, comma, text = url.partition(",")
    try:
        if not comma or not head.endswith(";base64"):
            raise Unusable("a data: URL must go on with a type, ;base64 and a comma")
        return base64.b64decode(re.sub(r"\s", "", text), validate=True)
    except (binascii.Error, ValueError):
        raise Unusable("a data: URL whose base64 is damaged") from None


def check(media: Any) -> None:
    """Look at the first bytes. Raises Unusable if it cannot be read, is empty, or is no image, video or audio."""
    if not is_local(media):
        raise Unusable("not an http or https URL")
    with _opened(media) as file:
        _content_type(file.read(HEAD_BYTES))


def size(value: Any) -> int | None:
    """Return how many bytes local media has, without reading it; None for a URL, and for what cannot be read anyway."""
    if isinstance(value, str):
        # Four characters are three bytes, but for those that fill up the end.
        text = value.partition(";base64,")[2] if value.startswith("data:") else ""
        return len(text) * 3 // 4 - text.count("=", -2) if text else None
    if not is_local(value):
        return None
    try:
        with _opened(value) as file:
            return file.size
    except Unusable:
        return None


def digest(media: Local) -> str:
    """Return the hex sha256 of its bytes, in constant memory. Raises Unusable, also if they are no media any more."""
    with _opened(media) as file:
        _content_type(file.read(HEAD_BYTES))
        return file.digest()


@dataclass(frozen=True)
class DataUrl:
    """A data: URL of local media that is read while it is sent, so that it never stands in memory as a whole.

    Attributes:
        media: The local media.
        sha256: The hex digest of the bytes that were checked.
        prefix: The text before the base64.
        size: The length of the whole URL in bytes.

    """

    media: Local
    sha256: str
    prefix: bytes
    size: int

    def __iter__(self) -> Iterator[bytes]:
        """Yield the URL in pieces. Raises Unusable, before the last one, unless the bytes have the digest.

        The bytes are compared before the first piece, too, and read from the same open file: of another file that has
        taken its place nothing is sent.
        """
        with _opened(self.media) as file:
            if file.digest() != self.sha256:
                raise Unusable("being changed")
            yield self.prefix
            file.rewind()
            sent = hashlib.sha256()
            while chunk := file.read(_CHUNK):
                sent.update(chunk)
                yield base64.b64encode(chunk)
            if sent.hexdigest() != self.sha256:
                raise Unusable("being changed")


def data_url(media: Local, sha256: str) -> DataUrl:
    """Return local media whose bytes have this digest as a data: URL. Raises Unusable."""
    with _opened(media) as file:
        if file.digest() != sha256:
            raise Unusable("being changed")
        file.rewind()
        prefix = f"data:{_content_type(file.read(HEAD_BYTES))};base64,".encode()
        return DataUrl(media, sha256, prefix, len(prefix) + (file.size + 2) // 3 * 4)


def _content_type(head: bytes) -> str:
    if not head:
        raise Unusable("empty")
    if not (content_type := sniff(head)):
        raise Unusable("no image, video or audio of a known type")
    return content_type


def found(value: Any) -> Iterator[Local]:
    """Yield the local media in a body, at any depth."""
    if is_local(value):
        yield value
    elif isinstance(value, dict):
        for member in cast("dict[str, Any]", value).values():
            yield from found(member)
    elif isinstance(value, list):
        for item in cast("Sequence[Any]", value):
            yield from found(item)


def replaced(value: Any, by: Callable[[Local], str]) -> Any:
    """Return a body with a URL for all local media in it; `by` is asked in the order of `found`."""
    if is_local(value):
        return by(value)
    if isinstance(value, dict):
        return {name: replaced(member, by) for name, member in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [replaced(item, by) for item in cast("Sequence[Any]", value)]
    return value


def named(media: Local) -> str:
    """Return what to call it in a message."""
    if isinstance(media, Path):
        return str(media)
    if isinstance(media, bytes | bytearray | memoryview):
        return f"{memoryview(media).nbytes} bytes"
    return f"the file {getattr(media, 'name', media)!r}"


class Uploads:
    """Where the files are that a client has uploaded, by digest. Can be used from any thread."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._urls: dict[str, tuple[str, float]] = {}
        self._under_way: set[str] = set()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Forget the uploads that are under way in the parent: they never end here."""
        self._under_way = set()

    def begin(self, sha256: str) -> bool:
        """Whether nobody else is uploading this file; then it is the caller's until `end`."""
        with self._lock:
            is_free = sha256 not in self._under_way
            self._under_way.add(sha256)
        return is_free

    def end(self, sha256: str) -> None:
        """Let others have it."""
        with self._lock:
            self._under_way.discard(sha256)

    def find(self, sha256: str, since: float) -> str | None:
        """Return where it is, if it was uploaded after the time `since`."""
        url, uploaded = self._urls.get(sha256, (None, 0.0))
        return url if uploaded > since else None

    def keep(self, sha256: str, url: str, now: float) -> None:
        """Remember where it is."""
        self._urls[sha256] = url, now


class _Reader:
    """Reads a file at a position of its own, so that several requests and threads can share one open file.

    Each step is taken under the lock of the file, and ends where the file stood before. No more is read than there was
    when it was opened: a file that grows must not be read for ever.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = _find_lock(file)
        with self._lock:
            self._start = self._position = file.tell()
            try:
                end: Any = file.seek(0, io.SEEK_END)
                # Some wrappers do not say where they went.
                self._end: int = end if isinstance(end, int) else file.tell()
            finally:
                file.seek(self._start)
        self.size = max(0, self._end - self._start)

    def read(self, most: int) -> bytes:
        """Return the next bytes, b"" at the end. Raises Unusable if they are text, or promised for later."""
        with self._lock:
            start = self._file.tell()
            try:
                self._file.seek(self._position)
                content: Any = self._file.read(min(most, self._end - self._position))
            finally:
                self._file.seek(start)
        if not isinstance(content, bytes):
            raise Unusable("a file opened as text: open it in mode 'rb'")
        self._position += len(content)
        return content

    def rewind(self) -> None:
        """Start again."""
        self._position = self._start

    def digest(self) -> str:
        """Return the hex sha256 of the whole."""
        self.rewind()
        sha256 = hashlib.sha256()
        while chunk := self.read(_CHUNK):
            sha256.update(chunk)
        return sha256.hexdigest()


_locks: WeakKeyDictionary[Any, ForkSafeLock] = WeakKeyDictionary()
_locks_lock = ForkSafeLock()


def _find_lock(file: Any) -> ForkSafeLock:
    """Return the one lock of an open file."""
    with _locks_lock:
        try:
            return _locks.setdefault(file, ForkSafeLock())
        except TypeError:  # it has no hash, or takes no weak reference
            return _locks.setdefault(_Reader, ForkSafeLock())


@contextmanager
def _opened(media: Local) -> Generator[_Reader]:
    """Open local media for reading. Whatever fails is Unusable."""
    try:
        if isinstance(media, bytes | bytearray | memoryview):
            yield _Reader(io.BytesIO(media))
        elif isinstance(media, Path):
            with open(media, "rb", opener=_open_at_once) as file:
                yield _Reader(file)
        elif inspect.iscoroutinefunction(media.read):
            raise Unusable("read with await, so read it first: await file.read()")
        else:
            yield _Reader(media)
    except FileNotFoundError:
        raise Unusable("not there") from None
    except IsADirectoryError:
        raise Unusable("a folder") from None
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise Unusable(f"not readable: {error}") from error


def _open_at_once(path: str, flags: int) -> int:
    """Open a plain file. A pipe would be waited for, and a device has no end."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        os.close(descriptor)
        raise IsADirectoryError(path) if is_folder else Unusable("no plain file")
    return descriptor
