"""Files of this machine as media, from folders that were allowed."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from kling_adapters import ConfigError

MAX_BYTES: Final = 64 * 1024**2


class MediaRefused(ConfigError):
    """A path is not a file in an allowed folder. Nothing was sent."""


def read_media(text: str, schema: Mapping[str, Any], folders: Sequence[Path]) -> str | bytes:
    """Return what a text stands for: the content of a file; a URL, a data URL, and what is not media, as it is.

    The message is the same for a missing file and for one elsewhere.

    Args:
        text: The text.
        schema: The JSON Schema of the parameter.
        folders: The allowed folders.

    Raises:
        MediaRefused: The text is not the path of a file in an allowed folder, or the file is too large.

    """
    if "media" not in schema.get("x-kling", {}) or text.startswith(("http://", "https://", "data:")):
        return text
    try:
        path = Path(unquote(urlsplit(text).path) if text.startswith("file://") else text)
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
