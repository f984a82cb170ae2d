"""Facts of a model that its catalog entry and its adapter have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OutputKind = Literal["video", "image", "audio", "text"]
"""Kind of output of a model."""


@dataclass(frozen=True)
class Retirement:
    """The retirement of a model: it takes no new jobs, and its earlier ones can be collected.

    Attributes:
        since: The day from which it takes no jobs, such as 2026-11-21.
        use: The slug of its successor; None if the spec has none.

    """

    since: str
    use: str | None = None
