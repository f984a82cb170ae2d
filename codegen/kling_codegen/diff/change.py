"""One change between two trees of specs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from pydantic import MISSING

from kling_codegen.messages import shorten

Level: TypeAlias = Literal["breaking", "warning", "additive", "documentation"]
LEVELS: Final[Mapping[Level, tuple[str, str]]] = {
    "breaking": ("major", "minor"),
    # Behaviour changes without a failure, so it must not be released as a patch.
    "warning": ("minor", "minor"),
    "additive": ("minor", "patch"),
    "documentation": ("patch", "patch"),
}
"""By weight: the part of the version that each raises, and the part it raises while the version is 0.x."""

UNCHANGED = "calls and results stay the same"


@dataclass(frozen=True)
class Change:
    """One difference. `path` is empty if it is not in a parameter; MISSING stands for an absent value."""

    level: Level
    path: str
    aspect: str
    before: Any
    after: Any
    effect: str
    model: str = ""

    def __str__(self) -> str:
        return f"{self.level}: {self.model}{self.path and ' '}{self.path}: {self.text} ({self.effect})"

    @property
    def text(self) -> str:
        """The aspect that changed, with both values."""
        return f"{self.aspect} {shorten(format_side(self.before))} -> {shorten(format_side(self.after))}"


def limit_change(path: str, aspect: str, before: Any, after: Any, affected: str, *, narrower: bool) -> Change:
    """Return a change of the accepted values: a narrower limit breaks callers, a wider one is additive."""
    level: Level = "breaking" if narrower else "additive"
    effect = f"{affected} are {'refused' if narrower else 'accepted'}"
    return Change(level, path, aspect, before, after, effect)


def sort_changes(changes: Iterable[Change]) -> list[Change]:
    """Return changes in the order of a report, the weightiest first."""
    weights = list(LEVELS)
    return sorted(
        changes, key=lambda change: (weights.index(change.level), change.model, change.path, change.text)
    )


def version_parts(changes: Iterable[Change]) -> tuple[str, str]:
    """Return the part of the version to raise, and the part while the version is 0.x."""
    levels = {change.level for change in changes}
    return next((parts for level, parts in LEVELS.items() if level in levels), ("none", "none"))


def format_side(value: Any) -> str:
    """Return one side of a change as text."""
    if value is MISSING:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {format_side(part)}" for key, part in cast("dict[str, Any]", value).items())
    if isinstance(value, list) and value:
        return ", ".join(format_side(item) for item in cast("list[object]", value))
    # A text that could be read as something else is in quotes.
    if isinstance(value, str) and value.isidentifier() and value not in {"none", "null", "true", "false"}:
        return value
    return json.dumps(value, ensure_ascii=False)
