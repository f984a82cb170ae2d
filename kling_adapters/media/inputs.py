"""Local media where a model takes a URL: checks, size, digest, and its positions in a request body."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from kling_adapters.media.reader import LocalMedia, MediaError, is_local, open_media
from kling_adapters.media.types import HEAD_BYTES, fits_parameter, sniff
from kling_adapters.result import ArtifactKind


def check_media(value: Any, kind: ArtifactKind | None = None) -> None:
    """Read the first bytes. Raises MediaError for a file that is unreadable, empty, unknown or not of the kind."""
    if not is_local(value):
        raise MediaError("not an http or https URL")
    with open_media(value) as file:
        content_type = read_content_type(file.read(HEAD_BYTES))
    if kind is not None and not fits_parameter(content_type, kind):
        raise MediaError(f"{_name_type(content_type)}, not {_ARTICLES[kind]}")


_ARTICLES: Mapping[str, str] = {"image": "an image", "video": "a video", "audio": "sound"}


def _name_type(content_type: str) -> str:
    kind, _, subtype = content_type.partition("/")
    return f"{_ARTICLES[kind]} ({subtype})"


def read_content_type(head: bytes) -> str:
    """Return the content type that the first bytes of a file show. Raises MediaError for unknown ones."""
    if not head:
        raise MediaError("empty")
    if not (content_type := sniff(head)):
        raise MediaError("not an image, video or audio file of a known type")
    return content_type


def measure_media(value: Any) -> int | None:
    """Return the size of local media in bytes, without reading it; None for a URL or an unreadable file."""
    if isinstance(value, str):
        # Four characters of base64 are three bytes, minus the padding.
        text = value.partition(";base64,")[2] if value.startswith("data:") else ""
        return len(text) * 3 // 4 - text.count("=", -2) if text else None
    if not is_local(value):
        return None
    try:
        with open_media(value) as file:
            return file.size
    except MediaError:
        return None


def digest_media(media: LocalMedia) -> str:
    """Return the hex sha256 of local media, in constant memory. Raises MediaError as `check_media` does."""
    with open_media(media) as file:
        read_content_type(file.read(HEAD_BYTES))
        return file.digest()


def describe_media(media: LocalMedia) -> str:
    """Return a name for local media in a message."""
    if isinstance(media, Path):
        return str(media)
    if isinstance(media, bytes | bytearray | memoryview):
        return f"{type(media).__name__} of length {memoryview(media).nbytes}"
    return f"the file {getattr(media, 'name', media)!r}"


def iter_media(body: Any) -> Iterator[LocalMedia]:
    """Yield the local media in a request body, at any depth."""
    if is_local(body):
        yield body
    elif isinstance(body, dict):
        for member in cast("dict[str, Any]", body).values():
            yield from iter_media(member)
    elif isinstance(body, list):
        for item in cast("Sequence[Any]", body):
            yield from iter_media(item)


def replace_media(body: Any, find_url: Callable[[LocalMedia], str]) -> Any:
    """Return a request body with URLs for local media; `find_url` is called in the order of `iter_media`."""
    if is_local(body):
        return find_url(body)
    if isinstance(body, dict):
        members = cast("dict[str, Any]", body).items()
        return {name: replace_media(member, find_url) for name, member in members}
    if isinstance(body, list):
        return [replace_media(item, find_url) for item in cast("Sequence[Any]", body)]
    return body
