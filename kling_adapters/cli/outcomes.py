"""Outcomes of jobs as JSON objects, and their file beside a batch file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from kling_adapters.cli.wording import describe_error
from kling_adapters.errors import JobFailed, StorageError

if TYPE_CHECKING:
    from kling_adapters.client.result import AsyncResult, Result
    from kling_adapters.protocol.tasks import Outcome


def outcome_state(outcome: Outcome[Result] | Outcome[AsyncResult]) -> str:
    """Return the state of a job for a reader: COMPLETED, FAILED, NOT STORED, UNCERTAIN, ..."""
    if outcome.error is None:
        return "COMPLETED"
    if isinstance(outcome.error, JobFailed):
        return "FAILED"
    if outcome.result is not None:
        return "NOT STORED"
    states = {"SubmitUncertain": "UNCERTAIN", "JobExpired": "EXPIRED", "WaitTimeout": "UNFINISHED"}
    return states.get(type(outcome.error).__name__, "REFUSED" if outcome.request_id is None else "UNFINISHED")


def outcome_row(outcome: Outcome[Result] | Outcome[AsyncResult]) -> dict[str, Any]:
    """Return the outcome of a job as a JSON object."""
    result, error = outcome.result, outcome.error
    return {
        "model": outcome.model,
        "state": outcome_state(outcome),
        "request_id": outcome.request_id,
        "files": [asdict(file) for file in result.saved] if result else [],
        "output": result.output if result else None,
        "cost": result.metrics.cost if result else None,
        "error": None if error is None else f"{type(error).__name__}: {describe_error(error)}",
    }


class OutcomesFile:
    """The file of outcomes beside a batch file, readable by its owner alone.

    The outcomes of an earlier run stay until the first outcome of this one. A link is replaced, not followed.
    """

    def __init__(self, batch_file: Path) -> None:
        self.path = batch_file.with_name(f"{batch_file.name}.outcomes.jsonl")
        self._file: IO[str] | None = None

    def check(self) -> None:
        """Raise StorageError if the file could not be written, before anything is sent."""
        reason = "it is a folder" if self.path.is_dir() else None
        if reason is None and not os.access(self.path.parent, os.W_OK | os.X_OK):
            reason = "its folder cannot be written to"
        if reason is not None:
            raise StorageError(f"{self.path} cannot be written: {reason}. Nothing was sent")

    def read_request_ids(self) -> set[str]:
        """Return the jobs that an earlier run reported; lines that cannot be read are skipped."""
        try:
            content = self.path.read_bytes() if self.path.is_file() else b""
        except OSError:
            content = b""
        request_ids: set[str] = set()
        for line in content.splitlines():
            with suppress(ValueError, RecursionError):
                row: Any = json.loads(line)
                if isinstance(row, dict):
                    request_id = cast("dict[str, Any]", row).get("request_id")
                    request_ids |= {request_id} if isinstance(request_id, str) else set()
        return request_ids

    def add(self, row: Mapping[str, Any]) -> None:
        """Write one outcome. Raises StorageError."""
        # A signed link opens the file without credentials.
        row = {**row, "files": [{**file, "link": None} for file in row["files"]]}
        try:
            if self._file is None:
                self._file = self._replace()
            # ASCII: an output may contain a lone surrogate, which UTF-8 cannot encode.
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
        except OSError as error:
            raise StorageError(f"{self.path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _replace(self) -> IO[str]:
        """Replace the file by a new one and return it."""
        descriptor, temporary = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            Path(temporary).replace(self.path)
        except OSError:
            os.close(descriptor)
            Path(temporary).unlink(missing_ok=True)
            raise
        return os.fdopen(descriptor, "w", encoding="ascii")
