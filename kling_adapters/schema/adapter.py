"""The adapter of a model, as a generated module declares it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kling_adapters.schema.rules import Rule

Returns = Literal["video", "image", "audio", "text"]


@dataclass(frozen=True)
class Adapter:
    """One model: its slug, what it returns, its usual latency in seconds (None where the page gives none), its rules."""

    slug: str
    title: str
    returns: Returns
    latency: float | None = None
    rules: Sequence[Rule] = ()
