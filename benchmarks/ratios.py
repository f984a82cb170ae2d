"""Ratios: what every benchmark measures, each against a peer or a floor in the same run."""

from __future__ import annotations

import sys
from dataclasses import dataclass

PLAIN, CONTINUED = "httpx", "httpx2"


@dataclass(frozen=True)
class Ratio:
    """One row of the table of benchmarks.

    Attributes:
        name: What was measured, against what.
        value: The measured figure divided by that of the peer.
        bar: The value to reach.
        is_upper_limit: Whether the value should be at most the bar; otherwise at least.
        detail: The two figures of this machine, with their units.
        transport: The HTTP library under the client, "httpx" or "httpx2"; empty where none is used.

    """

    name: str
    value: float
    bar: float
    is_upper_limit: bool
    detail: str
    transport: str = ""

    @property
    def is_reached(self) -> bool:
        """True if the value is as good as the bar."""
        return self.value <= self.bar if self.is_upper_limit else self.value >= self.bar


def hide_httpx2() -> None:
    """Make this process run on plain httpx, even if httpx2 is installed; call it before kling_adapters is imported."""
    sys.modules["httpx2"] = None  # type: ignore[assignment]
