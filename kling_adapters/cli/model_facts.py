"""Facts of models for `kling models` and `kling show`: from the packaged schemas and from the gateway's list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kling_adapters.schema.packaged import find_item, iter_parameters

if TYPE_CHECKING:
    from kling_adapters.schema.catalog import CatalogEntry
    from kling_adapters.schema.facts import Retirement
    from kling_adapters.schema.listed import ListedModel

SpecKind = Literal["whole", "partial", "no spec"]


@dataclass(frozen=True)
class ModelFacts:
    """Facts of one model.

    Attributes:
        latency: The usual time of a job in seconds, from the model's page.
        average_latency: The average time of a job in seconds, from the gateway's list.
        average_cost: The average cost of a job in USD, from the gateway's list.
        pricing: The price line of the model's page.
        takes: The kinds of media that the model takes, with the parameters of each.
        longest_duration: The longest duration that can be asked for, in seconds; None if it cannot be set.
        package: The package that has the model; None for a model without a spec.

    """

    slug: str
    title: str
    summary: str | None
    returns: str | None
    latency: float | None
    average_latency: float | None
    average_cost: float | None
    pricing: Mapping[str, Any] | None
    takes: Mapping[str, list[str]]
    longest_duration: float | None
    spec: SpecKind
    retired: Retirement | None
    package: str | None

    @property
    def time(self) -> float | None:
        """The usual time in seconds: of the page, otherwise the average of the list."""
        return self.average_latency if self.latency is None else self.latency


def load_facts(*, with_unspecified: bool) -> list[ModelFacts]:
    """Return the facts of every model, and of those without a spec if asked for, by slug."""
    from kling_adapters.plugins.manager import load_catalog

    listed, catalog = read_list(), load_catalog()
    facts = [describe_entry(entry, entry.json_schema(), listed.get(slug)) for slug, entry in catalog.items()]
    if with_unspecified:
        facts += [describe_listed(model) for slug, model in listed.items() if slug not in catalog]
    return sorted(facts, key=lambda model: model.slug)


def read_list() -> dict[str, ListedModel]:
    """Return the models of the gateway's list by slug."""
    from kling_adapters.models._listed import LISTED

    return {model.slug: model for model in LISTED}


def describe_entry(entry: CatalogEntry, schema: Mapping[str, Any], listed: ListedModel | None) -> ModelFacts:
    """Return the facts of a model with a spec."""
    takes: dict[str, list[str]] = {}
    for path, declared, _ in iter_parameters(schema):
        item_path, item = find_item(path, declared)
        if media := item.get("x-kling", {}).get("media"):
            takes.setdefault(media, []).append(item_path)
    return ModelFacts(
        slug=entry.slug,
        title=entry.title,
        summary=schema["description"],
        returns=entry.returns,
        latency=entry.latency,
        average_latency=listed.average_latency if listed else None,
        average_cost=listed.average_cost if listed else None,
        pricing=schema["x-kling"].get("pricing"),
        takes=takes,
        longest_duration=_find_longest(schema),
        spec="partial" if schema["additionalProperties"] else "whole",
        retired=entry.retired,
        package=entry.package,
    )


def describe_listed(model: ListedModel) -> ModelFacts:
    """Return the facts of a model without a spec; what it takes and returns is read from its modality."""
    kinds = [kind.lower() for kind in re.findall("image|video|text", model.modality, re.IGNORECASE)]
    source, returns = kinds[:2] if len(kinds) > 1 else ("", None)
    return ModelFacts(
        slug=model.slug,
        title=model.title,
        summary=model.summary,
        returns=returns,
        latency=None,
        average_latency=model.average_latency,
        average_cost=model.average_cost,
        pricing=None,
        takes={source: []} if source in ("image", "video") else {},
        longest_duration=None,
        spec="no spec",
        retired=None,
        package=None,
    )


def _find_longest(schema: Mapping[str, Any]) -> float | None:
    """Return the largest value of `duration`, which every page calls so."""
    declared = schema["properties"].get("duration", {})
    choices = [float(choice) for choice in declared.get("enum", ()) if _is_number(choice)]
    return max(choices, default=declared.get("maximum"))


def _is_number(value: Any) -> bool:
    return re.fullmatch(r"\d{1,9}(\.\d+)?", str(value)) is not None
