"""The navigation of the site, read from docs/index.md, so that it is written once."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
INDEX = "docs/index.md"
_PART = re.compile(r"^## (.+)$", re.MULTILINE)
_ENTRY = re.compile(r"^- \[(?P<title>.+?)\]\((?P<target>[^)]+)\): (?P<text>.+(?:\n  .+)*)", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """A page in the navigation.

    Attributes:
        path: The path of the page, from the root of the repository.
        title: Its title in the navigation.
        text: One sentence about its content.

    """

    path: str
    title: str
    text: str


@dataclass(frozen=True)
class Part:
    """A part of the navigation."""

    title: str
    entries: tuple[Entry, ...]


def read_parts(text: str) -> list[Part]:
    """Return the parts of a text like that of docs/index.md: a heading, and a list of links with a sentence each."""
    pieces = _PART.split(text)[1:]
    return [
        Part(title, tuple(_read_entry(match) for match in _ENTRY.finditer(body)))
        for title, body in zip(pieces[::2], pieces[1::2], strict=True)
    ]


def _read_entry(match: re.Match[str]) -> Entry:
    path = posixpath.normpath(posixpath.join(posixpath.dirname(INDEX), match["target"]))
    return Entry(path, match["title"], " ".join(match["text"].split()))
