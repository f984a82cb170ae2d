"""Dead-letter file of undelivered webhooks: one JSON object per line, shared by several processes."""

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
from kling_webhook import settings
from kling_webhook.message import Message

# Do not follow links, which could lead to another user's file; do not wait for the peer of a pipe. Windows has neither.
_SAFE_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class DeadLetters:
    """A dead-letter file.

    Args:
        path: The path of the file. None reads KLING_WEBHOOK_DEAD_LETTERS; without it, the file is in the state folder
            of the platform.

    """

    def __init__(self, path: str | Path | None = None) -> None:
        default = user_state_path("kling-adapters", appauthor=False) / "webhook-dead-letters.jsonl"
        self.path = Path(path or os.environ.get(settings.DEAD_LETTERS) or default).expanduser()
        self._lock = FileLock(f"{self.path}.lock")  # a separate file, because the file itself is replaced

    def append(self, messages: Iterable[Message], reason: str) -> None:
        """Append messages.

        Args:
            messages: The undelivered messages.
            reason: The reason of the failure.

        Raises:
            OSError: The file cannot be written.

        """
        letters = [{"id": message.id, "reason": reason, "payload": message.payload} for message in messages]
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock:
            content = self._read_content()
            # A process that died during a write leaves an incomplete line.
            separator = b"\n" if content and not content.endswith(b"\n") else b""
            with _open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as file:
                self.path.chmod(0o600)  # corrects an existing file
                file.write(separator + b"".join(json.dumps(letter).encode() + b"\n" for letter in letters))

    def read(self) -> dict[bytes, Message | None]:
        """Read the file.

        Returns:
            The lines in order, with their message; None for an unreadable line.

        Raises:
            ConfigError: The file cannot be read.

        """
        try:
            return {line: _parse(line) for line in self._read_content().splitlines()}
        except OSError as error:
            raise ConfigError(
                f"cannot read the dead-letter file {self.path}: {error}. Nothing was sent."
            ) from error

    def remove(self, lines: Container[bytes]) -> None:
        """Remove lines; keep all others, including lines added since `read`.

        Args:
            lines: The lines to remove.

        Raises:
            OSError: The file cannot be written.

        """
        new = self.path.with_name(f"{self.path.name}.{secrets.token_hex(8)}.new")
        with self._lock:
            remaining = [line + b"\n" for line in self._read_content().splitlines() if line not in lines]
            with _open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                file.write(b"".join(remaining))
            new.replace(self.path)  # atomic for readers

    def _read_content(self) -> bytes:
        try:
            with _open(self.path, os.O_RDONLY) as file:
                return file.read()
        except FileNotFoundError:
            return b""


def _open(path: Path, flags: int) -> BinaryIO:
    """Open a regular file, created with owner-only permissions. Raises OSError for a link or a pipe."""
    try:
        descriptor = os.open(path, flags | _SAFE_FLAGS, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(error.errno, "it is a link; expected a regular file", str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(descriptor, "rb" if flags == os.O_RDONLY else "wb")


def _parse(line: bytes) -> Message | None:
    try:
        letter = json.loads(line)
        message = Message(letter["id"], letter["payload"])
        str(message)  # raises if the payload is incomplete
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return message
