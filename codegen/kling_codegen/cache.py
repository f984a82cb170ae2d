"""Cache of values by a hash of their inputs, in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

import platformdirs

# In seconds. Entries that are unused for longer belong to specs that no longer exist.
LIFETIME = 30 * 24 * 3600.0
# The distributions that the output depends on.
TOOLS = ("datamodel-code-generator", "jinja2", "pydantic", "pydantic-core", "pyyaml", "ruff")
# The names of entries, and of unfinished ones.
_ENTRY = re.compile(r"[0-9a-f]{64}(\.\w+)?")


def user_folder() -> Path | None:
    """Return the folder of this tool in the user's cache folder; None without a home folder."""
    try:
        folder = platformdirs.user_cache_path("kling-codegen", appauthor=False)
    except (OSError, RuntimeError):
        return None
    # Without a home folder, the path is relative.
    return folder if folder.is_absolute() else None


class Cache:
    """Bytes by key, one file each; without a usable folder, nothing is stored.

    A key is a hash of all inputs of a value, so values never become stale, and all projects share the folder. A
    damaged entry is ignored. The folder must belong to the user, because entries become generated code.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder if folder is not None and _is_private(folder) else None

    def get(self, key: str) -> bytes | None:
        """Return the value of this key; None if its entry is missing or damaged."""
        if self._folder is None:
            return None
        path = self._folder / key
        try:
            digest, _, value = path.read_bytes().partition(b"\n")
        except OSError:
            return None
        if digest != _digest(value):
            return None
        with suppress(OSError):
            os.utime(path)
        return value

    def put(self, key: str, value: bytes) -> None:
        """Store a value; a concurrent reader sees all of it or nothing."""
        if self._folder is None:
            return
        with suppress(OSError):
            # mkstemp follows no link and opens no existing file.
            descriptor, temporary = tempfile.mkstemp(dir=self._folder, prefix=f"{key}.")
            with os.fdopen(descriptor, "wb") as file:
                file.write(_digest(value) + b"\n" + value)
            Path(temporary).replace(self._folder / key)

    def tidy(self) -> None:
        """Remove the entries that have not been used for a month."""
        if self._folder is None:
            return
        with suppress(OSError):
            for path in self._folder.iterdir():
                is_old = path.lstat().st_mtime < time.time() - LIFETIME
                if is_old and _ENTRY.fullmatch(path.name):
                    path.unlink()


def _is_private(folder: Path) -> bool:
    """Make the folder if needed; return whether it is a real folder that only this user can write."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        return False
    return os.name != "posix" or (status.st_uid == os.getuid() and not status.st_mode & 0o022)


def make_key(*parts: bytes) -> str:
    """Return the cache key for inputs of this version of the compiler."""
    digest = hashlib.sha256(_compiler_digest())
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()


@cache
def _compiler_digest() -> bytes:
    """Return a digest of the compiler: its code, its templates and its tools."""
    digest = hashlib.sha256(repr([sys.version_info[:2], *map(version, TOOLS)]).encode())
    folder = Path(__file__).parent
    for path in sorted(path for path in folder.rglob("*") if path.suffix in {".py", ".jinja"}):
        digest.update(f"\n{path.relative_to(folder).as_posix()}\n".encode() + path.read_bytes())
    return digest.digest()


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).hexdigest().encode()
