"""The file of what could not be delivered: one JSON object a line, shared by several processes."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from collections.abc import Container, Iterable
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock
from platformdirs import user_state_path

from kling_adapters import ConfigError
from kling_webhook.message import Message

# No links, which could lead to the file of somebody else, and no waiting for the other end of a pipe; Windows has neither.
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class DeadLetters:
    """The file at `path`, else where KLING_WEBHOOK_DEAD_LETTERS says, else in the state folder of the platform."""

    def __init__(self, path: str | Path | None = None) -> None:
        default = user_state_path("kling-adapters", appauthor=False) / "webhook-dead-letters.jsonl"
        self.path = Path(path or os.environ.get("KLING_WEBHOOK_DEAD_LETTERS") or default).expanduser()
        self._lock = FileLock(f"{self.path}.lock")  # not the file itself, since that is replaced

    def append(self, messages: Iterable[Message], reason: str) -> None:
        """Add messages. Raises OSError if that is not possible."""
        letters = [{"id": each.id, "reason": reason, "payload": each.payload} for each in messages]
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock:
            before = self._content()
            torn = b"\n" if before and not before.endswith(b"\n") else b""  # a process died while it wrote
            with _open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as file:
                self.path.chmod(0o600)  # of a file that is older
                file.write(torn + b"".join(json.dumps(letter).encode() + b"\n" for letter in letters))

    def read(self) -> dict[bytes, Message | None]:
        """Return the lines of the file, in order, each with its message; None for one that cannot be read.

        Raises ConfigError if the file cannot be read.
        """
        try:
            return {line: _parse(line) for line in self._content().splitlines()}
        except OSError as error:
            raise ConfigError(
                f"cannot read the dead-letter file {self.path}: {error}. Nothing was sent"
            ) from error

    def remove(self, lines: Container[bytes]) -> None:
        """Take lines out; whatever else is in the file by now stays. Raises OSError if that is not possible."""
        new = self.path.with_name(f"{self.path.name}.{secrets.token_hex(8)}.new")
        with self._lock:
            kept = [line + b"\n" for line in self._content().splitlines() if line not in lines]
            with _open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                file.write(b"".join(kept))
            new.replace(self.path)  # nobody ever sees half of it

    def _content(self) -> bytes:
        try:
            with _open(self.path, os.O_RDONLY) as file:
                return file.read()
        except FileNotFoundError:
            return b""


def _open(path: Path, flags: int) -> BinaryIO:
    """Open a plain file, readable by its owner alone from the moment it exists. Raises OSError for a link or a pipe."""
    try:
        descriptor = os.open(path, flags | _SAFELY, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(error.errno, "it is a link, which is not followed", str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a plain file", str(path))
    return os.fdopen(descriptor, "rb" if flags == os.O_RDONLY else "wb")


def _parse(line: bytes) -> Message | None:
    try:
        found = json.loads(line)
        message = Message(found["id"], found["payload"])
        str(message)
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return message
