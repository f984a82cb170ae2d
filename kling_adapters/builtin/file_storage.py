"""Folders of this machine: `renders/` or `file:///srv/renders/`."""

from __future__ import annotations

import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO
from urllib.parse import unquote_to_bytes, urlsplit

from kling_adapters.errors import ConfigError, StorageError
from kling_adapters.hookspecs import Location, Storage, Writer, hookimpl
from kling_adapters.media.types import is_file_name

if sys.platform != "win32":
    import fcntl

ROOM = 64 * 1024
"""Bytes that must fit into a folder: a disk with less is full. Few, so that no file that is paid for is turned away."""


class FileWriter:
    """Writes beside the target under another name, and renames when the file is whole and on disk.

    What a process that died has left of the same file is removed: the part of one that lives is locked.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        # Before the file is paid for in time and traffic: a path that has no URL is refused now.
        self._uri = target.absolute().as_uri()
        for part in target.parent.glob(f".{escape(target.name)}.*.part"):
            with suppress(OSError), open(part, "rb", opener=_open_plain) as file:
                _lock(file)
                part.unlink()
        while True:
            self._part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
            self._file = self._part.open("xb")
            # Whoever found it before it was locked removes it now, and is waited for.
            with suppress(OSError):
                _lock(self._file, wait=True)
            if self._part.exists():
                break
            self._file.close()

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        self._file.write(chunk)

    def commit(self, sha256: str) -> Location:
        """Rename to the target."""
        self._file.flush()
        os.fsync(self._file.fileno())
        # Windows renames nothing that is open; elsewhere the lock lasts as long as the part.
        if sys.platform == "win32":
            self._file.close()
        self._part.replace(self._target)
        self._file.close()
        return Location(self._uri)

    def abort(self) -> None:
        """Remove what was written."""
        # On a full disk, what is still buffered fails once more.
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)


def _open_plain(path: str, flags: int) -> int:
    """Open a file of ours. A pipe or a link under its name is neither waited for nor followed."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a plain file")
    return descriptor


def _lock(file: IO[bytes], *, wait: bool = False) -> None:
    """Lock a file until it is closed. Raises OSError if it cannot be, or is and is not to be waited for."""
    if sys.platform == "win32":
        raise OSError("a file that is open cannot be removed there, so none is locked, and none removed")
    fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


class Folder:
    """A folder, made when it is not there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self) -> None:
        """Raise StorageError if the folder cannot be made or written to, is full, or if the path looks like a file's."""
        with self._usable():
            if is_file_name(self._path.name) and not self._path.is_dir():
                raise StorageError(
                    f"{self._path} names a file; give the folder, the file is named after its job"
                )
            self._path.mkdir(parents=True, exist_ok=True)
            # Written, not asked for: quotas and limits count too, and some file systems do not know what is free.
            with tempfile.TemporaryFile(dir=self._path) as file:
                file.write(bytes(ROOM))
                file.flush()

    def open(self, name: str, content_type: str) -> Writer:
        """Start a file in the folder; its name carries the type."""
        with self._usable():
            self._path.mkdir(parents=True, exist_ok=True)
            return FileWriter(self._path / name)

    @contextmanager
    def _usable(self) -> Generator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise StorageError(
                f"cannot write to the folder {str(self._path)!r}: {str(error).encode(errors='replace').decode()}"
            ) from error


def _read_file_url(url: str) -> Path:
    """Return the path of a file: URL. Raises ConfigError for one that names no folder of this machine."""
    text = url.partition(":")[2]
    # A # or a ? can stand in a path, and is no part of a URL of a file.
    host, slash, rest = text[2:].partition("/") if text.startswith("//") else ("", "", text)
    path = slash + rest
    if host.lower() not in ("", "localhost"):
        raise ConfigError(
            f"{url!r} names the machine {host!r}, which files cannot be stored on; for a folder of this machine write "
            f"{f'file:///{host}{path}'!r}, or {f'{host}{path}'!r} for one below this folder. Nothing was sent"
        )
    if not path:
        raise ConfigError(f"{url!r} does not name a folder; write 'file:///srv/renders/'. Nothing was sent")
    if sys.platform == "win32":
        from urllib.request import url2pathname

        return Path(url2pathname(path))
    return Path(os.fsdecode(unquote_to_bytes(path)))


@hookimpl(trylast=True)
def kling_storage(url: str) -> Storage | None:
    """Answer for paths and file: URLs."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Folder(_read_file_url(url))
    # A one-letter scheme is a Windows drive. Anything else is no folder: what was paid for is not to be searched for.
    if len(parts.scheme) <= 1:
        try:
            return Folder(Path(url).expanduser())
        except RuntimeError as error:
            raise ConfigError(f"{url!r} is no folder: {error}") from error
    return None
