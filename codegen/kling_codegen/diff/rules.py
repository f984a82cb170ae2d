"""The changes of the rules of a model, independently of their grouping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from pydantic import MISSING

from kling_codegen.diff.change import Change, limit_change
from kling_codegen.language import Spec
from kling_codegen.rules.condition import Part
from kling_codegen.rules.paths import find_target
from kling_codegen.rules.rule import iter_conditions

_Parts: TypeAlias = Mapping[tuple[tuple[str, ...], str], Part]


def compare_rules(old: Spec, new: Spec) -> Iterator[Change]:
    """Yield the changes of rules. The rules about a new parameter are part of it."""
    before, after = _collect_parts(old), _collect_parts(new)
    for key in before.keys() | after.keys():
        part = after.get(key) or before[key]
        if key in before and key in after:
            yield from _compare_values(before[key], after[key])
            continue
        # The side without the part.
        spec, parts = (old, before) if key in after else (new, after)
        if not all(_has_parameter(spec, name) for name in part.parameters):
            continue
        if part.limit is not None or part.allowed is not None:
            yield from _compare_values(before.get(key), after.get(key))
        elif not _is_implied(part, parts.values(), spec.input.required):
            old_value, new_value = (part.value, MISSING) if key in before else (MISSING, part.value)
            path = ", ".join(part.parameters)
            yield limit_change(
                path, "rule", old_value, new_value, "calls that break it", narrower=key in after
            )


def _has_parameter(spec: Spec, name: str) -> bool:
    properties = spec.input.properties
    return name in properties or find_target(name, properties, spec.input.required) is not None


def _collect_parts(spec: Spec) -> _Parts:
    parts: dict[tuple[tuple[str, ...], str], Part] = {}
    for _, condition in iter_conditions(spec.rules):
        for part in condition.parts():
            key = part.parameters, part.name
            if key not in parts or _is_narrower(part, parts[key]):
                parts[key] = part
    return parts


def _is_narrower(part: Part, reference: Part | None) -> bool:
    """Return whether the limit of a part is narrower than the reference, or than none."""
    if part.limit is None or reference is None or reference.limit is None:
        return True
    return part.limit > reference.limit if part.is_lower else part.limit < reference.limit


def _compare_values(before: Part | None, after: Part | None) -> Iterator[Change]:
    """Yield the changes between the limits or the allowed values of two sides, of which one can have none."""
    part = after or before
    if part is None:
        return
    path = ", ".join(part.parameters)
    if part.allowed is not None:
        yield from _compare_allowed(path, part.name, before, after)
        return
    old, new = (MISSING if side is None else side.limit for side in (before, after))
    if old != new:
        narrower = after is not None and _is_narrower(after, before)
        yield limit_change(path, part.name, old, new, part.beyond, narrower=narrower)


def _compare_allowed(path: str, aspect: str, before: Part | None, after: Part | None) -> Iterator[Change]:
    """Yield the change of a list of allowed values; a side without one allows all."""
    old, new = ((side.allowed or ()) if side else () for side in (before, after))
    narrower = before is None or (after is not None and any(value not in new for value in old))
    if narrower or after is None or any(value not in old for value in new):
        first, second = (list(side.allowed or ()) if side else MISSING for side in (before, after))
        yield limit_change(path, aspect, first, second, "calls with other values", narrower=narrower)


def _is_implied(part: Part, parts: Iterable[Part], required: Sequence[str]) -> bool:
    """Return whether the required parameters or other `parts` imply a part."""
    groups = [{name} for name in required]
    groups += [set(group.any_of) for group in parts if group.is_unconditional and group.any_of != part.any_of]
    return bool(part.any_of) and any(group <= part.any_of for group in groups)
