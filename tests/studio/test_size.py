"""What the studio adds to an installation of kling-adapters."""

from __future__ import annotations

from benchmarks.studio import PACKAGES, list_packages


def test_studio_needs_ten_further_packages_at_most() -> None:
    further = list_packages("kling-serve") - list_packages("kling-adapters")
    assert "starlette" in further
    assert len(further) <= PACKAGES, further
