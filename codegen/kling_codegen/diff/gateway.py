"""The changes of gateway.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import MISSING

from kling_codegen.diff.change import UNCHANGED, Change, Level
from kling_codegen.diff.plain import find_differences
from kling_codegen.gateway import Gateway


def compare_gateways(old: Gateway, new: Gateway) -> Iterator[Change]:
    """Yield the changes of the facts that all models share."""
    for at, before, after in find_differences(old.model_dump(mode="json"), new.model_dump(mode="json")):
        level, effect = _classify(at, before, after)
        yield Change(level, ".".join(at), "value", before, after, effect)


def _classify(at: tuple[str, ...], before: Any, after: Any) -> tuple[Level, str]:  # noqa: C901, PLR0911  a table
    match at:
        case ("states" | "errors", _, "meaning" | "source"):
            return "documentation", UNCHANGED
        case ("states", _) if before is MISSING:
            return "additive", "jobs may be in it"
        case ("errors", _) if before is MISSING:
            return "warning", "submits with this answer are handled as it says"
        case ("record_lifetime_seconds" | "output_lifetime_seconds",):
            return ("additive", "it expires later") if after > before else ("breaking", "it expires sooner")
        case ("errors", _, "submit") if after == "safe":
            return "warning", "submits with this answer are repeated"
        case ("statuses", *_):
            return "warning", "failures are handled as it says"
        case ("key", "header") | ("paths", _):
            return "warning", "requests look different, calls stay the same"
        case ("models_url",) | ("history" | "credit", "uncertain", *_) | ("credit", "source"):
            return "documentation", UNCHANGED
        case ("history", *_):
            return "warning", "the request history is read as it says"
        case ("credit", *_):
            return "warning", "prices are estimated as it says"
        case ("base_url",) | ("upload_url",) | ("history_url",):
            return "breaking", "the key goes to another host"
        case _:
            return "breaking", "code that relies on it breaks"
