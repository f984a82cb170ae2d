"""Storage in folders of this machine: `renders/` or `file:///srv/renders/`."""

from __future__ import annotations

import os
import stat
import sys
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

PROBE_BYTES = 64 * 1024
"""Size of the file that `check` writes."""
MIN_FREE_BYTES = 8 * 1024**2
"""Free space that `check` requires. It is smaller than most videos, so that few paid outputs are refused."""


class Folder:
    """A Storage in a folder, which is created if it does not exist."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self) -> None:
        """Check that files can be written.

        Raises:
            StorageError: The path names a file, the folder cannot be written to, or the disk is full.

        """
        # Plugin discovery imports this module, and these are slow to import.
        import shutil
        import tempfile

        with self._convert_errors():
            if is_file_name(self._path.name) and not self._path.is_dir():
                raise StorageError(
                    f"{self._path} names a file; expected a folder. The file in it is named after its job"
                )
            self._path.mkdir(parents=True, exist_ok=True)
            # A write also detects quotas and limits, which the free space does not show.
            with tempfile.TemporaryFile(dir=self._path) as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
            # Some file systems report 0 for unknown.
            if 0 < (free := shutil.disk_usage(self._path).free) < MIN_FREE_BYTES:
                raise StorageError(
                    f"the disk of {str(self._path)!r} is full: {free >> 20} MiB are free; "
                    f"expected {MIN_FREE_BYTES >> 20} MiB. Free some space, or choose another folder"
                )

    def open(self, name: str, content_type: str) -> Writer:
        """Start a file in the folder. The extension of its name shows the media type."""
        with self._convert_errors():
            self._path.mkdir(parents=True, exist_ok=True)
            return FileWriter(self._path / name)

    @contextmanager
    def _convert_errors(self) -> Generator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise StorageError(
                f"cannot write to the folder {str(self._path)!r}: "
                f"{str(error).encode(errors='replace').decode()}"
            ) from error


class FileWriter:
    """Writer of a part file beside the target, which replaces the target when it is complete and on disk.

    It removes part files of dead processes; those of running processes are locked.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        # Raises for a path without a URL before the output is fetched.
        self._uri = target.absolute().as_uri()
        for part in target.parent.glob(f".{escape(target.name)}.*.part"):
            with suppress(OSError), open(part, "rb", opener=_open_plain) as file:
                _lock(file)
                part.unlink()
        while True:
            self._part = target.with_name(f".{target.name}.{os.urandom(8).hex()}.part")
            self._file = self._part.open("xb")
            # Another process that saw the part before it was locked is removing it now; wait for that.
            with suppress(OSError):
                _lock(self._file, wait=True)
            if self._part.exists():
                break
            self._file.close()

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        self._file.write(chunk)

    def commit(self, sha256: str) -> Location:
        """Rename the part file to the target."""
        self._file.flush()
        os.fsync(self._file.fileno())
        # Windows cannot rename an open file; elsewhere the lock lasts until the rename.
        if sys.platform == "win32":
            self._file.close()
        self._part.replace(self._target)
        self._file.close()
        return Location(self._uri)

    def abort(self) -> None:
        """Remove the part file."""
        # On a full disk, closing fails because of the buffered bytes.
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)


def _open_plain(path: str, flags: int) -> int:
    """Open a plain file, without waiting for a pipe or following a link of that name."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a plain file")
    return descriptor


def _lock(file: IO[bytes], *, wait: bool = False) -> None:
    """Lock a file until it is closed. Raises OSError if it is locked already and `wait` is False."""
    if sys.platform == "win32":
        raise OSError("Windows cannot remove open files, so part files are neither locked nor removed")
    fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


@hookimpl(trylast=True)
def kling_storage(url: str) -> Storage | None:
    """Provide storage for paths and file: URLs."""
    scheme = urlsplit(url).scheme
    if scheme == "file":
        return Folder(_parse_file_url(url))
    # A scheme of one letter is a Windows drive. Other URLs must not become folders by mistake.
    if len(scheme) <= 1:
        try:
            return Folder(Path(url).expanduser())
        except RuntimeError as error:
            raise ConfigError(f"{url!r} is not a folder: {error}") from error
    return None


def _parse_file_url(url: str) -> Path:
    """Return the path of a file: URL. Raises ConfigError if it does not name a folder of this machine."""
    text = url.partition(":")[2]
    # Not urlsplit: # and ? are ordinary characters of a path.
    host, slash, tail = text[2:].partition("/") if text.startswith("//") else ("", "", text)
    path = slash + tail
    if host.lower() not in ("", "localhost"):
        raise ConfigError(
            f"{url!r} names the machine {host!r}; expected a folder of this machine. To store in it, write "
            f"{f'file:///{host}{path}'!r}, or {f'{host}{path}'!r} for one in the current folder. "
            "Nothing was sent"
        )
    if not path:
        raise ConfigError(f"{url!r} does not name a folder; write 'file:///srv/renders/'. Nothing was sent")
    if sys.platform == "win32":
        from urllib.request import url2pathname

        return Path(url2pathname(path))
    return Path(os.fsdecode(unquote_to_bytes(path)))
