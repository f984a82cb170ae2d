"""Files of this machine as media, from folders that were allowed."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

from kling_adapters import KlingError
from kling_serve.api.bodies import decode_data_url

MAX_BYTES: Final = 64 * 1024**2
_REMOTE: Final = ("http://", "https://")


class MediaRefused(KlingError):
    """A path is not a file in an allowed folder. Nothing was sent."""


def read_media(value: Any, schema: Mapping[str, Any], folders: Sequence[Path]) -> Any:
    """Return parameters with the content of each file that a media parameter names.

    Args:
        value: The parameters.
        schema: Their JSON Schema.
        folders: The allowed folders.

    Raises:
        MediaRefused: A path is not a file in an allowed folder, or the file is too large.

    """
    if isinstance(value, dict):
        properties: Mapping[str, Any] = schema.get("properties", {})
        members = cast("dict[str, Any]", value).items()
        return {name: read_media(member, properties.get(name, {}), folders) for name, member in members}
    if isinstance(value, list):
        items = cast("Sequence[Any]", value)
        return [read_media(item, schema.get("items", {}), folders) for item in items]
    if not isinstance(value, str) or "media" not in schema.get("x-kling", {}) or value.startswith(_REMOTE):
        return value
    return decode_data_url(value) if value.startswith("data:") else _read_file(value, folders)


def _read_file(text: str, folders: Sequence[Path]) -> bytes:
    """Return the content of a file. The message is the same for a missing file and for one elsewhere."""
    path = Path(unquote(urlsplit(text).path) if text.startswith("file://") else text)
    try:
        if path.is_absolute() and (content := _read_inside(path, folders)) is not None:
            return content
    except (OSError, ValueError, RuntimeError):
        pass
    names = ", ".join(map(str, folders)) or "none; start the server with --allow-folder"
    raise MediaRefused(
        f"{text[:200]!r} is not a URL, nor the absolute path of a file of up to {MAX_BYTES >> 20} MiB in an allowed "
        f"folder ({names}). Nothing was sent"
    )


def _read_inside(path: Path, folders: Sequence[Path]) -> bytes | None:
    """Return the content of a regular file in an allowed folder, links resolved; None for any other."""
    if not _is_inside(path, folders):
        return None
    # A pipe would block, and a link may have been put in place since it was resolved.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            return None
        if not _is_inside(path, folders) or not os.path.samestat(status, path.resolve(strict=True).stat()):
            return None
        return file.read(MAX_BYTES)


def _is_inside(path: Path, folders: Sequence[Path]) -> bool:
    target = path.resolve(strict=True)
    return any(target.is_relative_to(folder.resolve()) for folder in folders)
