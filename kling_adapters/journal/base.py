"""The interface of a journal to flows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, Unpack

from kling_adapters.journal.entries import Columns, HistorySearch, JournalEntry
from kling_adapters.journal.lockfile import LockFile
from kling_adapters.journal.paces import Paces


class BaseJournal(Protocol):
    """A record of every submit: in a file for `Journal`, without effect for `NullJournal`.

    Attributes:
        may_block: Whether its methods may block.
        paces: The paces of keys that processes share; None if they share none.

    """

    may_block: bool

    @property
    def paces(self) -> Paces | None:
        """See the class."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Put all writes of the block in one transaction, which is on disk after it, or none of them if it raises."""
        ...

    def check_available(self) -> None:
        """Raise ConfigError if there is no record of earlier jobs."""
        ...

    def intend(
        self,
        gateway: str,
        model: str,
        params: Mapping[str, Any],
        key: str,
        save_to: str | None = None,
        tag: str | None = None,
        unchecked: tuple[str, ...] = (),
    ) -> int:
        """Record a submit before it is sent. Return the number of the entry, 0 without a journal."""
        ...

    def update(self, entry: int, **columns: Unpack[Columns]) -> None:
        """Change columns of the entry with this number."""
        ...

    def update_job(self, gateway: str, request_id: str, /, **columns: Unpack[Columns]) -> None:
        """Change columns of every entry of a job, but replace neither COMPLETED nor FAILED, except by COMPLETED."""
        ...

    def record_destination(self, gateway: str, request_id: str, save_to: str) -> None:
        """Record the destination of the files of a job, before they are stored there."""
        ...

    def find(self, gateway: str, request_id: str) -> JournalEntry | None:
        """Return the last entry of a job; None if there is none."""
        ...

    def find_unanswered(self, gateway: str, model: str | None = None) -> list[JournalEntry]:
        """Return the submits whose job is unknown, in flight or uncertain, the oldest first; None for all models."""
        ...

    def claim(self, entry: int, request_id: str) -> bool:
        """Make an uncertain submit that of a job, in state QUEUED.

        Returns:
            False if the submit is not uncertain any more, or another entry of its gateway has the job.

        """
        ...

    def dismiss(self, entry: int, reason: str) -> bool:
        """Record that an uncertain submit started no job; return False if it is not uncertain any more."""
        ...

    def record_search(self, entry: int, look: HistorySearch) -> None:
        """Record a search for the job of an uncertain submit."""
        ...

    def durations(self, gateway: str, model: str) -> Sequence[float]:
        """Return the seconds from submit to end of the last jobs of a model, the oldest first."""
        ...

    def find_upload(self, gateway: str, sha256: str, lifetime: float) -> str | None:
        """Return the URL of a file that was uploaded in the last `lifetime` seconds; None if there is none."""
        ...

    def record_upload(self, gateway: str, sha256: str, url: str) -> None:
        """Record the URL of an uploaded file."""
        ...

    def lock_batch(self, digest: str) -> LockFile | None:
        """Return the lock of the batch whose name has this digest; None while another client holds it."""
        ...

    def entries(self, changed_since: float = 0.0) -> list[JournalEntry]:
        """Return the entries that changed since a time, in seconds since 1970, the oldest first."""
        ...

    def close(self) -> None:
        """Close the journal."""
        ...
