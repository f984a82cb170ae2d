"""What was made from a content is kept by a hash of it, in a folder that can be deleted at any time."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

# Entries that were not used for so long belong to specs that are gone.
LIFETIME = 30 * 24 * 3600.0
# The distributions that have a say in what comes out.
TOOLS = ("datamodel-code-generator", "jinja2", "pydantic", "pydantic-core", "pyyaml", "ruff")


class Cache:
    """Bytes by key, one file each.

    A key is made of all that a value depends on, so a value never becomes wrong and several branches can share
    the folder. An entry that is damaged is as good as none, and so is a folder that cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str) -> bytes | None:
        """Return what was put under this key."""
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
        """Keep a value; whoever reads meanwhile sees all of it or nothing."""
        temporary = self._folder / f"{key}.{os.getpid()}"
        with suppress(OSError):
            if not self._folder.exists():
                self._folder.mkdir(parents=True)
                (self._folder / ".gitignore").write_text("*\n", encoding="utf-8")
            temporary.write_bytes(_digest(value) + b"\n" + value)
            temporary.replace(self._folder / key)

    def tidy(self) -> None:
        """Remove what has not been used for a month."""
        with suppress(OSError):
            for path in self._folder.iterdir():
                if path.name != ".gitignore" and path.stat().st_mtime < time.time() - LIFETIME:
                    path.unlink()


def key(*parts: bytes) -> str:
    """Return the key of what this version of the compiler makes of these contents."""
    made = hashlib.sha256(_compiler())
    for part in parts:
        made.update(len(part).to_bytes(8))
        made.update(part)
    return made.hexdigest()


@cache
def _compiler() -> bytes:
    """Return a digest of everything but the specs that decides about the output."""
    made = hashlib.sha256(repr([sys.version_info[:2], *map(version, TOOLS)]).encode())
    folder = Path(__file__).parent
    for path in sorted(path for path in folder.rglob("*") if path.suffix in {".py", ".jinja"}):
        made.update(f"\n{path.relative_to(folder).as_posix()}\n".encode() + path.read_bytes())
    return made.digest()


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).hexdigest().encode()
