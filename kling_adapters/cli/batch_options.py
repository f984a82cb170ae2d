"""The command line of `kling batch`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """The command line of `kling batch`."""

    file: Path
    model: str | None
    save_to: str | None
    concurrency: int
    max_cost: float | None
    allow_unknown_cost: float | None
    dry_run: bool
    resume: bool
    skip_invalid: bool
    name: str | None
    engine: str | None
    address: str | None
    allow_files: Path | None
    base_url: str | None
    journal: str | None
    rate_limit: float | None
    sandbox: bool
    as_json: bool

    @property
    def refuses_unknown_prices(self) -> bool:
        """True if no line of unknown price is submitted; jobs of an earlier run may still show it."""
        return self.max_cost is not None and self.allow_unknown_cost is None and not self.resume


def batch_name(file: Path) -> str:
    """Return the path of a file as text that the journal can store, even if it is not UTF-8."""
    return os.fsencode(file.resolve()).decode("utf-8", "backslashreplace")
