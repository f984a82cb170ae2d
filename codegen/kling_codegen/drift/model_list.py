"""The gateway's list of models.

No documentation describes the answer. It is assumed to be a JSON array of objects, or an object with one such array at
any name; each object has a `slug`, or a `name` that is one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard, cast

from kling_codegen.patterns import SLUG

# The gateway lists some hundred models, each with its parameters.
MAX_BYTES: Final = 32 * 1024**2
MAX_MODELS: Final = 10_000
MAX_SLUG, MAX_TEXT = 100, 100

_TITLES: Final = ("title", "display_name", "name")
_COSTS: Final = ("average_cost", "avg_cost")
_LATENCIES: Final = ("average_latency", "avg_latency")
# Public clients of the list read the first spelling.
_RETIRED: Final = ("is_depreciated", "is_deprecated", "deprecated", "retired")
_FIGURE: Final = re.compile(r"[~$]?(\d{1,9}(?:\.\d{1,20})?)s?")


class UnreadableList(Exception):
    """The list cannot be read; the message has the reason."""


@dataclass(frozen=True)
class OfferedModel:
    """A model on the list; an empty text, or None, where the list has no such fact.

    Attributes:
        average_cost: in USD.
        average_latency: in seconds.
        is_retired: the list marks the model as retired.

    """

    slug: str
    title: str = ""
    modality: str = ""
    average_cost: float | None = None
    average_latency: float | None = None
    is_retired: bool = False


@dataclass(frozen=True)
class ModelList:
    """The models of a list by slug, and the number of entries that name no model."""

    models: Mapping[str, OfferedModel]
    unnamed: int


def parse_list(data: bytes) -> ModelList:
    """Read the answer of the gateway.

    Args:
        data: The answer, in UTF-8.

    Raises:
        UnreadableList: The answer is not JSON, or has no list of models.

    """
    if len(data) > MAX_BYTES:
        raise UnreadableList(f"it has more than {MAX_BYTES} bytes")
    try:
        document: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise UnreadableList("it is not JSON") from None
    entries = _find_entries(document)
    if len(entries) > MAX_MODELS:
        raise UnreadableList(f"it has {len(entries)} entries; at most {MAX_MODELS} are read")
    models: dict[str, OfferedModel] = {}
    unnamed = 0
    for entry in entries:
        slug = _find_slug(entry)
        if slug:
            models.setdefault(slug, _read_model(slug, entry))
        else:
            unnamed += 1
    return ModelList(models, unnamed)


def _find_entries(document: Any) -> Sequence[Any]:
    """Return the one list that has models."""
    parts = cast("Mapping[str, Any]", document).values() if isinstance(document, dict) else (document,)
    lists = [part for part in parts if _is_list(part) and any(map(_find_slug, part))]
    if len(lists) != 1:
        reason = "several lists" if lists else "no list"
        raise UnreadableList(f"it has {reason} of objects with a slug; expected one")
    return lists[0]


def _is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list)


def _find_slug(entry: Any) -> str:
    if not isinstance(entry, dict):
        return ""
    members = cast("Mapping[str, Any]", entry)
    slug = members.get("slug", members.get("name"))
    is_slug = isinstance(slug, str) and len(slug) <= MAX_SLUG and re.fullmatch(SLUG, slug)
    return str(slug) if is_slug else ""


def _read_model(slug: str, entry: Mapping[str, Any]) -> OfferedModel:
    return OfferedModel(
        slug,
        title=next(_find_texts(entry, _TITLES), ""),
        modality=next(_find_texts(entry, ("modality",)), ""),
        average_cost=next(_find_figures(entry, _COSTS), None),
        average_latency=next(_find_figures(entry, _LATENCIES), None),
        is_retired=any(entry.get(name) is True for name in _RETIRED),
    )


def _find_texts(entry: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    texts = (entry[name] for name in names if isinstance(entry.get(name), str))
    yield from (" ".join(text[: 10 * MAX_TEXT].split())[:MAX_TEXT] for text in texts)


def _find_figures(entry: Mapping[str, Any], names: Sequence[str]) -> Iterator[float]:
    """Yield numbers, and numbers in texts such as $0.91 and 305.25s."""
    for name in names:
        value = entry.get(name)
        if isinstance(value, str) and (match := _FIGURE.fullmatch(value.strip())):
            yield float(match[1])
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from [float(value)] if 0 <= value < 1e9 and math.isfinite(value) else []
