"""The changes between two trees of specs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pydantic import MISSING

from kling_codegen.diff.change import UNCHANGED, Change, limit_change, sort_changes
from kling_codegen.diff.gateway import compare_gateways
from kling_codegen.diff.parameters import compare_properties
from kling_codegen.diff.plain import find_differences
from kling_codegen.diff.python import compare_names
from kling_codegen.diff.renames import compare_old_names, find_renamed, with_new_names
from kling_codegen.diff.rules import compare_rules
from kling_codegen.language import Spec
from kling_codegen.load.folder import Specs
from kling_codegen.rules.rule import iter_conditions


def compare_specs(old: Specs, new: Specs) -> list[Change]:
    """Return every change, the weightiest first; another order of the same entries is not a change."""
    before, after = ({spec.slug: spec for spec in specs.models} for specs in (old, new))
    changes: list[Change] = []
    # A package of its own has no gateway.yaml.
    if old.gateway is not None and new.gateway is not None:
        changes += [replace(change, model="gateway") for change in compare_gateways(old.gateway, new.gateway)]
    for slug in before.keys() | after.keys():
        if slug not in after:
            model_changes = [_model_change(before[slug], narrower=True)]
        elif slug not in before:
            model_changes = [_model_change(after[slug], narrower=False)]
            if new.gateway is not None:
                # The models of the core have precedence, so users of such a package get another model.
                effect = f"{model_changes[0].effect}; a package that registers the same slug loses it"
                model_changes = [replace(model_changes[0], level="warning", effect=effect)]
        else:
            model_changes = list(_compare_models(before[slug], after[slug]))
        changes += [replace(change, model=slug) for change in model_changes]
    return sort_changes(changes)


def _model_change(spec: Spec, *, narrower: bool) -> Change:
    before, after = (spec.title, MISSING) if narrower else (MISSING, spec.title)
    change = limit_change("", "model", before, after, "calls of it", narrower=narrower)
    if narrower and spec.retired is not MISSING:
        return replace(
            change, effect="imports of its class fail; its earlier jobs are those of an unknown model"
        )
    return change


def _compare_models(earlier: Spec, new: Spec) -> Iterator[Change]:
    if earlier == new:
        return
    renamed = find_renamed(earlier, new)
    yield from compare_old_names(earlier, new, renamed)
    old = with_new_names(earlier, renamed)
    if old.returns != new.returns:
        yield Change("breaking", "", "returns", old.returns, new.returns, "results are of another kind")
    was_partial, is_partial = (spec.source.unseen is not MISSING for spec in (old, new))
    if was_partial != is_partial:
        sides = ("refused", "accepted")
        affected = "parameters that the spec does not have"
        yield limit_change(
            "", "unknown parameters", sides[was_partial], sides[is_partial], affected, narrower=was_partial
        )
    conditions = [condition for _, condition in iter_conditions(new.rules)]
    for change in compare_properties(old.input.as_schema(), new.input.as_schema()):
        if change.aspect == "default" and any(
            condition.can_refuse_default(change.path, change.after) for condition in conditions
        ):
            effect = "a rule applies it to calls that do not set it, and may refuse them"
            yield replace(change, level="breaking", effect=effect)
        else:
            yield change
    yield from compare_rules(old, new)
    yield from _compare_retirement(old, new)
    compared = {"slug", "returns", "input", "rules", "retired"}
    old_facts, new_facts = (
        spec.model_dump(mode="json", by_alias=True, exclude=compared) for spec in (old, new)
    )
    for at, before, after in find_differences(old_facts, new_facts):
        yield Change("documentation", "", ".".join(at), before, after, UNCHANGED)
    if old.input != new.input:
        yield from compare_names(earlier, new, renamed)


def _compare_retirement(old: Spec, new: Spec) -> Iterator[Change]:
    before, after = (
        MISSING if spec.retired is MISSING else spec.retired.model_dump(mode="json", exclude_unset=True)
        for spec in (old, new)
    )
    if before == after:
        return
    if before is not MISSING and after is not MISSING:
        yield Change("documentation", "", "retired", before, after, UNCHANGED)
    else:
        affected = "submits of it"
        yield limit_change("", "retired", before, after, affected, narrower=before is MISSING)
