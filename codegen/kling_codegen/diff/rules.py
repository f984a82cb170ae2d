"""The changes of the rules of a model, independently of their grouping."""

from __future__ import annotations

import math
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
            yield from _compare_limits(before[key], after[key])
            continue
        # The side without the part.
        spec, parts = (old, before) if key in after else (new, after)
        if not all(_has_parameter(spec, name) for name in part.parameters):
            continue
        if part.limit is not None:
            yield from _compare_limits(before.get(key), after.get(key))
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
            if part.limit is None or key not in parts or part.limit < (parts[key].limit or math.inf):
                parts[key] = part
    return parts


def _compare_limits(before: Part | None, after: Part | None) -> Iterator[Change]:
    part = after or before
    old_limit, new_limit = (part.limit if part else None for part in (before, after))
    if part is not None and old_limit != new_limit:
        path = ", ".join(part.parameters)
        old, new = (MISSING if limit is None else limit for limit in (old_limit, new_limit))
        narrower = new_limit is not None and (old_limit is None or new_limit < old_limit)
        yield limit_change(path, part.name, old, new, part.beyond, narrower=narrower)


def _is_implied(part: Part, parts: Iterable[Part], required: Sequence[str]) -> bool:
    """Return whether the required parameters or other `parts` imply a part."""
    groups = [{name} for name in required]
    groups += [set(group.any_of) for group in parts if group.is_unconditional and group.any_of != part.any_of]
    return bool(part.any_of) and any(group <= part.any_of for group in groups)
