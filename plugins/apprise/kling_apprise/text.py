"""What people are told of an event: a title, and what it means for their money."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

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
    job = [] if event.request_id is None else [f"Request id: {event.request_id}"]
    return Text(f"{event.model or 'job'}: {what}", "\n".join([*job, *lines]), kind)


def _told(event: Event) -> tuple[str, list[str], Kind]:  # noqa: PLR0911  one for each event
    match event:
        case SubmitFailed(uncertain=True):
            return "a job may be running", ["It may be billed.", event.reason], "warning"
        case SubmitFailed():
            return "the submit failed", ["No job was started.", event.reason], "failure"
        case Submitted():
            return "submitted", ["It is billed when it completes."], "info"
        case StateChanged():
            return event.state.lower(), [], "info"
        case Completed():
            cost = event.result.metrics.cost
            paid = "Cost: not told" if cost is None else f"Cost: {cost:g} credits"
            return "completed", [paid, *_files("Output, for seven days", event.result.artifacts)], "success"
        case Failed():
            advice = "A failed job is not billed. Change the input and submit again."
            return "failed", [f"Reason: {event.reason}", advice], "failure"
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
        lines.append(f"{what}: {file.url}")
        if isinstance(file, StoredFile) and file.link:
            lines.append(f"Link: {file.link}")
    return lines
