"""The file of what could not be delivered: one JSON object a line, shared by several processes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import platformdirs

from kling_webhook.payload import Message

if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_LOCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)


DEAD_LETTERS = "KLING_WEBHOOK_DEAD_LETTERS"


class DeadLetters:
    """The file at `path`, else where KLING_WEBHOOK_DEAD_LETTERS says, else in the state folder of the platform."""

    def __init__(self, path: str | Path | None = None) -> None:
        given = path or os.environ.get(DEAD_LETTERS, "").strip()
        folder = platformdirs.user_state_path("kling-adapters", appauthor=False)
        self.path = Path(given).expanduser() if given else folder / "webhook-dead-letters.jsonl"

    def append(self, messages: Iterable[Message], reason: str) -> None:
        """Add messages, on disk before this returns. Raises OSError if that is not possible."""
        at = datetime.now(UTC).isoformat()
        lines = [
            json.dumps({"id": message.id, "given_up": at, "reason": reason, "payload": message.payload})
            + "\n"
            for message in messages
        ]
        with self._locked(), open(self.path, "ab+", opener=_private) as file:
            if file.tell() and _last_byte(file) != b"\n":
                lines.insert(0, "\n")  # a process died while it wrote
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[tuple[Message | None, str]]:
        """Return what is in the file, in order, with the reason; None for a line that cannot be read."""
        return [_parse(line) for line in self._read().splitlines()]

    def remove(self, ids: Iterable[str]) -> None:
        """Take messages out; whatever else is in the file by now stays. Raises OSError if that is not possible."""
        gone = set(ids)
        with self._locked():
            lines = self._read().splitlines(keepends=True)
            self._write(b"".join(line for line in lines if not _is_one_of(line, gone)))

    def _read(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    def _write(self, text: bytes) -> None:
        """Replace the file as a whole, so that nobody ever sees, or is left with, half of it."""
        new = self.path.with_name(f"{self.path.name}.new")
        with open(new, "wb", opener=_private) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Hold the lock of the file, which has a file of its own, since the file itself is replaced."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(lock)
            yield
        finally:
            os.close(lock)


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read()


def _private(path: str, flags: int) -> int:
    file = os.open(path, flags, 0o600)
    Path(path).chmod(0o600)  # it may have been there before
    return file


def _parse(line: bytes) -> tuple[Message | None, str]:
    try:
        found = json.loads(line)
        message = Message(found["id"], found["payload"])
        _ = message.type, message.job
        return message, found["reason"]
    except (ValueError, LookupError, TypeError):
        return None, "the line cannot be read"


def _is_one_of(line: bytes, ids: set[str]) -> bool:
    message, _ = _parse(line)
    return message is not None and message.id in ids
