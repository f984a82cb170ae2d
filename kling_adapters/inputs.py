"""Media on this machine, given where a model takes a URL: what is wrong with it, what it is, and its bytes.

Local media is a `Path`, `bytes`, or a file opened in binary mode, which is read from where it stands and put back there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeGuard, cast

from kling_adapters.forks import ForkSafeLock, reset_in_children

Local: TypeAlias = Path | bytes | IO[bytes]

HEAD_BYTES = 512
_CHUNK = 1024**2

_MAGIC = (
    ("image/avif", 4, b"ftypavif"),
    ("image/heic", 4, b"ftyphei"),
    ("audio/mp4", 4, b"ftypM4A"),
    ("video/quicktime", 4, b"ftypqt"),
    ("video/mp4", 4, b"ftyp"),
    ("video/webm", 0, b"\x1aE\xdf\xa3"),
    ("video/x-msvideo", 8, b"AVI "),
    ("image/png", 0, b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", 0, b"\xff\xd8\xff"),
    ("image/webp", 8, b"WEBP"),
    ("image/gif", 0, b"GIF8"),
    ("audio/wav", 8, b"WAVE"),
    ("audio/flac", 0, b"fLaC"),
    ("audio/ogg", 0, b"OggS"),
    ("audio/mpeg", 0, b"ID3"),
    ("audio/mpeg", 0, b"\xff\xfb"),
    ("audio/mpeg", 0, b"\xff\xf3"),
    ("audio/mpeg", 0, b"\xff\xf2"),
)


class Unusable(Exception):
    """Why something cannot be used as media, in words that follow its name."""


def sniff(head: bytes) -> str:
    """The content type that the first bytes of a file show, or "" if they show none that is known."""
    for content_type, offset, magic in _MAGIC:
        if head.startswith(magic, offset):
            return content_type
    return ""


def is_local(value: Any) -> TypeGuard[Local]:
    """Whether a value is a file, or stands for one."""
    return isinstance(value, Path | bytes | io.IOBase) or hasattr(value, "read")


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
        head: Any = file.read(HEAD_BYTES)
    if not isinstance(head, bytes):
        raise Unusable("a file opened as text: open it in mode 'rb'")
    if not head:
        raise Unusable("empty")
    if not sniff(head):
        raise Unusable("no image, video or audio of a known type")


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
            start = file.tell()
            return file.seek(0, io.SEEK_END) - start
    except Unusable:
        return None


def digest(media: Local) -> str:
    """Return the hex sha256 of its bytes, in constant memory. Raises Unusable."""
    found = hashlib.sha256()
    with _opened(media) as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def data_url(media: Local, sha256: str) -> str:
    """Return all of it as a data: URL. Raises Unusable, also if it is not what had this digest any more."""
    with _opened(media) as file:
        content = file.read()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise Unusable("being changed")
    return f"data:{sniff(content[:HEAD_BYTES])};base64,{base64.b64encode(content).decode()}"


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
    return (
        f"{len(media)} bytes" if isinstance(media, bytes) else f"the file {getattr(media, 'name', media)!r}"
    )


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


@contextmanager
def _opened(media: Local) -> Generator[IO[bytes]]:
    """Open it, or put a file back where it stood. Whatever fails is Unusable."""
    try:
        if isinstance(media, bytes):
            yield io.BytesIO(media)
        elif isinstance(media, Path):
            # A pipe would be waited for, and a device has no end.
            if media.exists() and not media.is_file():
                raise Unusable("a folder" if media.is_dir() else "no plain file")
            with media.open("rb") as file:
                yield file
        else:
            start = media.tell()
            try:
                yield media
            finally:
                media.seek(start)
    except FileNotFoundError:
        raise Unusable("not there") from None
    except (OSError, ValueError, AttributeError) as error:
        raise Unusable(f"not readable: {error}") from error
