"""docs/threat-model.md: every defence names a module and a test, and both exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
PATHS = re.findall(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|yml))`", PAGE)
BOUNDARIES = [part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE) if "| attacker |" in part]


@pytest.mark.parametrize("path", sorted(set(PATHS)))
def test_named_file_exists(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("part", BOUNDARIES, ids=lambda part: part.partition("\n")[0])
def test_boundary_says_what_holds_and_what_does_not(part: str) -> None:
    rows = [line for line in part.splitlines() if line.startswith("| ")][1:]
    assert rows
    assert all(re.search(r"`(kling_adapters|codegen|plugins|docs|\.github)/[^`]+`", row) for row in rows)
    assert all(re.search(r"`tests/[\w/]+/test_\w+\.py`", row) for row in rows)
    assert "\nWhat does not hold: " in part


def test_every_boundary_is_described() -> None:
    assert len(BOUNDARIES) == 11
