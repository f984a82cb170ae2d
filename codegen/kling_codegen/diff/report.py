"""The printed forms of changes."""

from __future__ import annotations

import json
from typing import Final

from pydantic import MISSING

from kling_codegen import docs
from kling_codegen.diff.change import LEVELS, Change, version_parts


def format_text(changes: list[Change], old: str, new: str) -> str:
    """Return one line per change, then the part of the version to raise."""
    part, early = version_parts(changes)
    lines = [str(change) for change in changes] or [f"{old} and {new} say the same"]
    return "\n".join([*lines, f"version: {part} (while it is 0.x: {early})"])


def format_markdown(changes: list[Change], old: str, new: str) -> str:
    """Return a table for each level, as a comment on a pull request."""
    return "\n".join([f"### Specs: {_code(old)} to {_code(new)}", "", *format_tables(changes)])


def format_tables(changes: list[Change]) -> list[str]:
    """Return the lines of Markdown with the part of the version to raise, and a table for each level."""
    part, early = version_parts(changes)
    lines = [f"Version: **{part}** (while it is 0.x: **{early}**)"]
    for level in LEVELS:
        rows = [
            f"| {change.model} | {_code(change.path)} | {_code(change.text)} | {docs.prose(change.effect)} |"
            for change in changes
            if change.level == level
        ]
        if rows:
            lines += ["", f"#### {level.capitalize()}: {len(rows)}", ""]
            lines += ["| model | where | change | effect |", "|---|---|---|---|", *rows]
    return lines


def format_json(changes: list[Change], old: str, new: str) -> str:
    """Return the changes as one JSON object; an absent side of a change is left out."""
    part, early = version_parts(changes)
    plain = [
        {name: value for name, value in vars(change).items() if value is not MISSING} for change in changes
    ]
    report = {"old": old, "new": new, "version": part, "version_0x": early, "changes": plain}
    return json.dumps(report, indent=2)


def _code(text: str) -> str:
    # As code, @Element1 mentions no user and <<<voice_1>>> is not lost.
    return docs.code(text) if text else ""


FORMATS: Final = {"text": format_text, "markdown": format_markdown, "json": format_json}
