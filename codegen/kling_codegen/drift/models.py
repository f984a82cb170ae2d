"""The changes from the catalogue of models to the gateway's list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import MISSING

from kling_codegen.catalogue import Catalogue
from kling_codegen.diff.change import UNCHANGED, Change, sort_changes
from kling_codegen.drift.model_list import ModelList, OfferedModel, UnreadableList
from kling_codegen.language import Spec

# An average moves a little every day.
TOLERANCE: Final = 0.25


def collect_models(specs: Iterable[Spec], catalogue: Catalogue | None) -> dict[str, OfferedModel]:
    """Return the models of the specs and of catalogue.yaml by slug; the latter has the words of the list."""
    models = {
        spec.slug: OfferedModel(spec.slug, spec.title, is_retired=spec.retired is not MISSING)
        for spec in specs
    }
    for entry in catalogue.models if catalogue else ():
        cost, latency = (
            None if figure is MISSING else figure for figure in (entry.average_cost, entry.average_latency)
        )
        is_retired = entry.slug in models and models[entry.slug].is_retired
        models[entry.slug] = OfferedModel(
            entry.slug, entry.title, entry.modality, cost, latency, is_retired=is_retired
        )
    return models


def compare_list(catalogue: Mapping[str, OfferedModel], listed: ModelList) -> list[Change]:
    """Return the changes to the list, among models of the same families.

    The first word of a slug is its family, such as kling: the list has all models of the gateway.

    Raises:
        UnreadableList: The list has no model of these families, so it is another list.

    """
    families = set(map(_find_family, catalogue))
    offered = {
        slug: model
        for slug, model in listed.models.items()
        if _find_family(slug) in families and not model.is_retired
    }
    if not offered:
        raise UnreadableList(f"it has no model of {', '.join(sorted(families))}")
    changes: list[Change] = []
    for slug in sorted(catalogue.keys() | offered.keys()):
        changes += _compare_models(slug, catalogue.get(slug), offered.get(slug))
    return sort_changes(changes)


def has_moved(before: Any, after: Any) -> bool:
    """Return whether two averages differ by more than a quarter of the first; an unknown one does not."""
    numbers = isinstance(before, int | float) and isinstance(after, int | float)
    return numbers and abs(after - before) > TOLERANCE * abs(before)


def _find_family(slug: str) -> str:
    return re.split(r"[-.]", slug, maxsplit=1)[0]


def _compare_models(slug: str, old: OfferedModel | None, new: OfferedModel | None) -> Iterator[Change]:
    if old is None and new is not None:
        effect = "it is new: add it to catalogue.yaml, or draft a spec from its page"
        yield Change("additive", "", "model", MISSING, new.title or slug, effect, slug)
    elif old is not None and new is None and not old.is_retired:
        effect = "the list does not offer it: calls of it may be refused; a spec can say retired"
        yield Change("breaking", "", "model", old.title or slug, MISSING, effect, slug)
    elif old is not None and new is not None:
        if old.is_retired:
            effect = "the list offers it, although its spec says that it is retired"
            yield Change("additive", "", "retired", "true", MISSING, effect, slug)
        yield from _compare_facts(old, new)


def _compare_facts(old: OfferedModel, new: OfferedModel) -> Iterator[Change]:
    for name in ("title", "modality"):
        before, after = getattr(old, name), getattr(new, name)
        if before and after and before != after:
            yield Change("documentation", "", name, before, after, UNCHANGED, old.slug)
    for name in ("average_cost", "average_latency"):
        before, after = getattr(old, name), getattr(new, name)
        if has_moved(before, after):
            yield Change("documentation", "", name, before, after, UNCHANGED, old.slug)
