"""The journal of a client without a journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn, Unpack

from kling_adapters.errors import ConfigError
from kling_adapters.journal.entries import Columns, HistorySearch, JournalEntry
from kling_adapters.journal.location import JOURNAL


class NullJournal:
    """A journal that records nothing and finds nothing; see BaseJournal for its methods."""

    may_block = False
    paces = None

    def transaction(self) -> AbstractContextManager[None]:
        """Do nothing: there are no writes."""
        return nullcontext()

    def check_available(self) -> NoReturn:
        """Raise ConfigError: there is no record of earlier jobs."""
        raise ConfigError(
            "this client has no journal; earlier jobs are unknown. Name a file as its journal, for instance with "
            f"{JOURNAL}. Nothing was sent"
        )

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
        """Record nothing; return 0."""
        return 0

    def update(self, entry: int, **columns: Unpack[Columns]) -> None:
        """Record nothing."""

    def update_job(self, gateway: str, request_id: str, /, **columns: Unpack[Columns]) -> None:
        """Record nothing."""

    def record_destination(self, gateway: str, request_id: str, save_to: str) -> None:
        """Record nothing."""

    def find(self, gateway: str, request_id: str) -> JournalEntry | None:
        """Find nothing."""
        return None

    def find_unanswered(self, gateway: str, model: str | None = None) -> list[JournalEntry]:
        """Return no entries."""
        return []

    def claim(self, entry: int, request_id: str) -> bool:
        """Claim nothing."""
        return False

    def dismiss(self, entry: int, reason: str) -> bool:
        """Dismiss nothing."""
        return False

    def record_search(self, entry: int, look: HistorySearch) -> None:
        """Record nothing."""

    def durations(self, gateway: str, model: str) -> Sequence[float]:
        """Return no durations."""
        return ()

    def find_upload(self, gateway: str, sha256: str, lifetime: float) -> str | None:
        """Find nothing."""
        return None

    def record_upload(self, gateway: str, sha256: str, url: str) -> None:
        """Record nothing."""

    def lock_batch(self, digest: str) -> NoReturn:
        """Raise ConfigError: a named batch cannot run without a journal."""
        self.check_available()

    def entries(self, changed_since: float = 0.0) -> list[JournalEntry]:
        """Return no entries."""
        return []

    def close(self) -> None:
        """Do nothing."""
