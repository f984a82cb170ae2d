"""One model in the files that all models of a package share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One model in the index, the typed calls and the table of models; the last three are names in Python."""

    slug: str
    title: str
    returns: str
    latency: float | None
    retirement: str
    usual: str
    needs: str
    page: str
    module: str
    model: str
    input: str
