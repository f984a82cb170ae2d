"""What people are told of an event: a title, and what it means for their money."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import quote

from kling_adapters import (
    Artifact,
    Completed,
    Event,
    Expired,
    Failed,
    StateChanged,
    Stored,
    StoredFile,
    SubmitFailed,
    Submitted,
)

NAMES: dict[type[Event], str] = {
    SubmitFailed: "submit_failed",
    Submitted: "submitted",
    StateChanged: "state_changed",
    Completed: "completed",
    Failed: "failed",
    Expired: "expired",
    Stored: "stored",
}
"""The events by the names they are chosen with."""


Kind: TypeAlias = Literal["info", "success", "warning", "failure"]


@dataclass(frozen=True)
class Text:
    """A message to people; `kind` gives it its colour or sign."""

    title: str
    body: str
    kind: Kind


def as_text(event: Event) -> Text:
    """Say what happened, what it means, and what to do."""
    what, lines, kind = _told(event)
    job = [] if event.request_id is None else [f"Request id: {_plain(event.request_id)}"]
    return Text(f"{_plain(event.model or 'job')}: {what}", "\n".join([*job, *lines]), kind)


MAX_WORDS = 1000
"""How many characters of the gateway's words people are told."""
# What chats take for mentions, links, quotes or emphasis, and what looks alike and means nothing. There is no escape
# that all of them know, and some show a backslash.
_LOOKS_ALIKE = str.maketrans(
    {
        "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
        ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
        "[": "\N{FULLWIDTH LEFT SQUARE BRACKET}",
        "]": "\N{FULLWIDTH RIGHT SQUARE BRACKET}",
        "`": "'",
        "*": "\N{ASTERISK OPERATOR}",
        "@": "@\N{ZERO WIDTH SPACE}",
    }
)


def _plain(words: str) -> str:
    """Return words of the gateway as one line that no chat takes for anything but text."""
    visible = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in words)
    line = re.sub(" +", " ", visible).strip()
    return (line if len(line) <= MAX_WORDS else f"{line[:MAX_WORDS]}…").translate(_LOOKS_ALIKE)


def _plain_url(url: str) -> str:
    """Return a URL of the gateway in characters that no chat takes for the end of it, or for markup."""
    return quote(url, safe="/:?#&=%+,;~!$'-._", errors="replace")


def _told(event: Event) -> tuple[str, list[str], Kind]:  # noqa: PLR0911  one for each event
    match event:
        case SubmitFailed(uncertain=True):
            return "a job may be running", ["It may be billed.", _plain(event.reason)], "warning"
        case SubmitFailed():
            return "the submit failed", ["No job was started.", _plain(event.reason)], "failure"
        case Submitted():
            return "submitted", ["It is billed when it completes."], "info"
        case StateChanged():
            return _plain(event.state.lower()), [], "info"
        case Completed():
            cost = event.result.metrics.cost
            paid = "Cost: not told" if cost is None else f"Cost: {cost:g} credits"
            return "completed", [paid, *_files("Output, for seven days", event.result.artifacts)], "success"
        case Failed():
            advice = "A failed job is not billed. Change the input and submit again."
            return "failed", [f"Reason: {_plain(event.reason)}", advice], "failure"
        case Expired():
            return (
                "expired",
                ["If it completed, it was billed; its outcome can no longer be learnt."],
                "warning",
            )
        case Stored():
            return "stored", _files("File", event.files), "success"


def _files(what: str, files: Iterable[Artifact | StoredFile]) -> list[str]:
    lines: list[str] = []
    for file in files:
        lines.append(f"{what}: {_plain_url(file.url) if isinstance(file, Artifact) else file.url}")
        if isinstance(file, StoredFile) and file.link:
            lines.append(f"Link: {file.link}")
    return lines
