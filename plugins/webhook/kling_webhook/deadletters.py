"""The file of what could not be delivered: one JSON object a line, shared by several processes."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterable
from pathlib import Path

from filelock import FileLock
from platformdirs import user_state_path

from kling_webhook.message import Message


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
            self.path.touch()
            self.path.chmod(0o600)
            with self.path.open("ab") as file:
                file.write(torn + b"".join(json.dumps(letter).encode() + b"\n" for letter in letters))

    def read(self) -> dict[bytes, Message | None]:
        """Return the lines of the file, in order, each with its message; None for one that cannot be read."""
        return {line: _parse(line) for line in self._content().splitlines()}

    def remove(self, lines: Container[bytes]) -> None:
        """Take lines out; whatever else is in the file by now stays. Raises OSError if that is not possible."""
        new = self.path.with_name(f"{self.path.name}.new")
        with self._lock:
            kept = [line + b"\n" for line in self._content().splitlines() if line not in lines]
            new.touch(0o600)
            new.write_bytes(b"".join(kept))
            new.replace(self.path)  # nobody ever sees half of it

    def _content(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""


def _parse(line: bytes) -> Message | None:
    try:
        found = json.loads(line)
        message = Message(found["id"], found["payload"])
        str(message)
    except (ValueError, LookupError, TypeError):
        return None
    return message
