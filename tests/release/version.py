"""Versions in the manifests, the requirements between the distributions, and the changelog."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection
from pathlib import Path

from packaging.version import Version

from tests.release.distributions import VERSION_FILE, read_distributions, tracked_files

UNRELEASED = "## [Unreleased]\n"
RANGE = r"(?P<range>>=[\d.]+,<[\d.]+)"
SUFFIXES = {".toml", ".jinja", ".md"}


def compatible_range(version: str) -> str:
    """Return the versions that work with one: the same minor version before 1.0, the same major version after it."""
    release = Version(version)
    limit = f"0.{release.minor + 1}" if release.major == 0 else f"{release.major + 1}"
    return f">={release.major}.{release.minor},<{limit}"


def own_requirements(text: str, names: Collection[str]) -> list[str]:
    """Return the requirements in a text that name one of the distributions and a range of versions."""
    return [match.group() for match in re.finditer(_requirement_pattern(names), text)]


def requirement_files(root: Path) -> list[Path]:
    """Return the manifests, templates and pages that may require one of our distributions."""
    names = [name for name in tracked_files(root) if not name.startswith(("tests/", "CHANGELOG"))]
    return [root / name for name in names if Path(name).suffix in SUFFIXES]


def write_version(root: Path, version: str) -> None:
    """Write a version into every manifest, and its range into every requirement between the distributions."""
    distributions = read_distributions(root)
    names = {distribution.name for distribution in distributions}
    pattern = _requirement_pattern(names)
    for path in requirement_files(root):
        text = path.read_text("utf-8")
        path.write_text(re.sub(pattern, rf"\g<name>{compatible_range(version)}", text), "utf-8")
    for distribution in distributions:
        path = root / distribution.manifest
        text = path.read_text("utf-8")
        path.write_text(
            re.sub(r'^version = ".*"$', f'version = "{version}"', text, count=1, flags=re.MULTILINE), "utf-8"
        )
    (root / VERSION_FILE).write_text(f'__version__ = "{version}"\n', "utf-8")


def release_changelog(text: str, version: str, date: dt.date) -> str:
    """Return a changelog whose unreleased changes belong to a version.

    Raises:
        ValueError: Nothing is unreleased, or the version is already there.
    """
    if f"## [{version}]" in text:
        raise ValueError(f"CHANGELOG.md already has a section [{version}]; choose another version.")
    if not unreleased_changes(text):
        raise ValueError("CHANGELOG.md has nothing under [Unreleased]; a release needs at least one change.")
    return text.replace(UNRELEASED, f"{UNRELEASED}\n## [{version}] - {date.isoformat()}\n", 1)


def unreleased_changes(text: str) -> str:
    """Return the text under [Unreleased]."""
    _, _, rest = text.partition(UNRELEASED)
    return re.split(r"^## \[", rest, maxsplit=1, flags=re.MULTILINE)[0].strip()


def _requirement_pattern(names: Collection[str]) -> str:
    return rf"\b(?P<name>{'|'.join(sorted(names, key=len, reverse=True))}){RANGE}"
