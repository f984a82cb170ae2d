"""Text of notifications: a title, and the effect of the event on billing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import quote

from kling_adapters import Artifact, StoredFile, events

Kind: TypeAlias = Literal["info", "success", "warning", "failure"]


@dataclass(frozen=True)
class Text:
    """Text of a notification.

    Attributes:
        title: The model and the event.
        body: Lines of plain text.
        kind: The severity, which services show as a colour or a symbol.

    """

    title: str
    body: str
    kind: Kind


def as_text(event: events.Event) -> Text:
    """Return the text for an event: the event, its effect on billing, and advice.

    Args:
        event: The event of a job.

    Returns:
        The text of the notification.

    """
    headline, lines, kind = _describe_event(event)
    job = [] if event.request_id is None else [f"Request id: {_plain(event.request_id)}"]
    return Text(f"{_plain(event.model or 'job')}: {headline}", "\n".join([*job, *lines]), kind)


MAX_GATEWAY_CHARACTERS = 1000
"""Maximum length of a quoted gateway text, in characters."""
# Chat services read these characters as mentions, links, quotes or emphasis. No escape works in all services
# (some show the backslash), so characters that look alike replace them.
_LOOKALIKES = str.maketrans(
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


def _plain(text: str) -> str:
    """Return a gateway text as a single line without chat markup."""
    visible = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    line = re.sub(" +", " ", visible).strip()
    return (line if len(line) <= MAX_GATEWAY_CHARACTERS else f"{line[:MAX_GATEWAY_CHARACTERS]}…").translate(
        _LOOKALIKES
    )


def _plain_url(url: str) -> str:
    """Return a gateway URL, quoted so that no chat service reads a character as its end or as markup."""
    return quote(url, safe="/:?#&=%+,;~!$'-._", errors="replace")


def _describe_event(event: events.Event) -> tuple[str, list[str], Kind]:  # noqa: PLR0911  a return per event
    match event:
        case events.SubmitFailed(uncertain=True):
            return "a job may be running", ["It may be billed.", _plain(event.reason)], "warning"
        case events.SubmitFailed():
            return "the submit failed", ["No job was started.", _plain(event.reason)], "failure"
        case events.Submitted():
            return "submitted", ["It is billed when it completes."], "info"
        case events.StateChanged():
            return _plain(event.state.lower()), [], "info"
        case events.Completed():
            cost = event.result.metrics.cost
            cost_line = "Cost: unknown" if cost is None else f"Cost: {cost:g} credits"
            return (
                "completed",
                [cost_line, *_files("Output, for seven days", event.result.artifacts)],
                "success",
            )
        case events.Failed():
            advice = "A failed job is not billed. Change the input and submit again."
            return "failed", [f"Reason: {_plain(event.reason)}", advice], "failure"
        case events.Expired():
            return (
                "expired",
                ["If it completed, it was billed; the result can no longer be retrieved."],
                "warning",
            )
        case events.Stored():
            return "stored", _files("File", event.files), "success"


def _files(label: str, files: Iterable[Artifact | StoredFile]) -> list[str]:
    lines: list[str] = []
    for file in files:
        lines.append(f"{label}: {_plain_url(file.url) if isinstance(file, Artifact) else file.url}")
        if isinstance(file, StoredFile) and file.link:
            lines.append(f"Link: {file.link}")
    return lines
