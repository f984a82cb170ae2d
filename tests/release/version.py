"""Versions in the manifests, the requirements between the distributions, and the changelog."""

from __future__ import annotations

import re
from collections.abc import Collection

from packaging.version import Version


def compatible_range(version: str) -> str:
    """Return the versions that work with one: the same minor version before 1.0, the same major version after it."""
    release = Version(version)
    limit = f"0.{release.minor + 1}" if release.major == 0 else f"{release.major + 1}"
    return f">={release.major}.{release.minor},<{limit}"


def own_requirements(text: str, names: Collection[str]) -> list[str]:
    """Return the requirements in a text that name one of the distributions and a range of versions."""
    return [match.group() for match in _requirement_pattern(names).finditer(text)]


def _requirement_pattern(names: Collection[str]) -> re.Pattern[str]:
    return re.compile(rf"\b({'|'.join(sorted(names, key=len, reverse=True))})(>=[\d.]+,<[\d.]+)")
