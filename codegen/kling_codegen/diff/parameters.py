"""The changes of the parameters of a model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import MISSING

from kling_codegen.diff.change import UNCHANGED, Change, Level, format_side, limit_change
from kling_codegen.rules import consequences
from kling_codegen.schema import Schema, violations

BOUNDS: Final[Mapping[str, tuple[int, float, str]]] = {
    bound.keyword: (1, 0 if bound.unit else -math.inf, bound.beyond)
    if bound.is_lower
    else (-1, math.inf, bound.beyond)
    for bound in consequences.BOUNDS.values()
}
"""By keyword: 1 if a larger limit is narrower, else -1; the limit if it is absent; and the values beyond it."""

_NOT_VALIDATED: Final[Mapping[str, tuple[Level, str]]] = {
    "default": ("warning", "calls that do not set it may have another result"),
    "description": ("documentation", UNCHANGED),
}
"""Keywords that decide neither which calls are accepted nor the names in Python."""


def compare_properties(old: Schema, new: Schema, path: str = "") -> Iterator[Change]:
    """Yield the changes of the parameters of a closed object."""
    before, after = _get_both("properties", old, new, {})
    for name in before.keys() | after.keys():
        at = f"{path}.{name}".lstrip(".")
        was_required, is_required = (name in names for names in _get_both("required", old, new, []))
        if name not in after:
            yield limit_change(
                at, "parameter", before[name].type, MISSING, "calls that set it", narrower=True
            )
        elif name not in before:
            aspect, affected = "parameter", "calls that set it"
            if is_required:
                aspect, affected = "required parameter", "calls without it"
            yield limit_change(at, aspect, MISSING, after[name].type, affected, narrower=is_required)
        else:
            if was_required != is_required:
                yield limit_change(
                    at, "required", was_required, is_required, "calls without it", narrower=is_required
                )
            for change in _compare_schemas(before[name], after[name], at):
                # A required parameter cannot have a default: its change is implied.
                if was_required == is_required or (change.path, change.aspect) != (at, "default"):
                    yield change


def _compare_schemas(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    """Yield the changes between two schemas of one value, form by form."""
    before, after = _forms(old), _forms(new)
    if len(before) == len(after) == 1:
        yield from _compare_forms(old, new, path)
    else:
        for kind in before.keys() ^ after.keys():
            affected, narrower = f"values of type {kind}", kind in before
            yield limit_change(path, "type", [*before], [*after], affected, narrower=narrower)
        for kind in before.keys() & after.keys():
            yield from _compare_forms(before[kind], after[kind], path)
    if not before.keys() & after.keys() and (old.kind, new.kind) != ("integer", "number"):
        return
    for key, (level, effect) in _NOT_VALIDATED.items():
        default, new_default = _get_both(key, old, new)
        if default != new_default:
            yield Change(level, path, key, default, new_default, effect)
    media, new_media = _get_both("media", old, new)
    if media != new_media:
        narrower = new_media is not MISSING
        yield limit_change(path, "media", media, new_media, "files of another kind", narrower=narrower)
    yield from _compare_deprecation(old, new, path)


def _compare_deprecation(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    before, after = (
        MISSING
        if schema.deprecated is MISSING
        else schema.deprecated.model_dump(mode="json", exclude_unset=True)
        for schema in (old, new)
    )
    if before == after:
        return
    level, effect = _NOT_VALIDATED["description"]
    if before is MISSING:
        level, effect = "warning", "calls that set it work, with a warning"
    elif after is MISSING:
        level, effect = "additive", "calls that set it issue no warning"
    yield Change(level, path, "deprecated", before, after, effect)


def _forms(schema: Schema) -> dict[str, Schema]:
    """Return the forms of a value by their types."""
    return {schema.kind: schema, schema.list_form.kind: schema.list_form}


def _compare_forms(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    """Yield the changes between two schemas of one form of a value."""
    if (old.kind, new.kind) == ("integer", "number"):
        yield limit_change(path, "type", old.kind, new.kind, "fractions", narrower=False)
    elif old.kind != new.kind:
        yield limit_change(path, "type", old.kind, new.kind, "values of the old type", narrower=True)
        return
    if old.nullable != new.nullable:
        yield limit_change(
            path, "nullable", old.nullable, new.nullable, "calls with null", narrower=old.nullable
        )
    if "enum" in old.keywords() or "enum" in new.keywords():
        yield from _compare_allowed_values(old, new, path)
    else:
        for key in BOUNDS:
            yield from _compare_bounds(key, path, *_get_both(key, old, new))
        before, after = _get_both("format", old, new)
        if before != after:
            affected = "texts that are not URLs"
            yield limit_change(path, "format", before, after, affected, narrower=before is MISSING)
    if old.items is not MISSING and new.items is not MISSING:
        yield from _compare_schemas(old.items, new.items, f"{path}[]")
    yield from compare_properties(old, new, path)


def _compare_allowed_values(old: Schema, new: Schema, path: str) -> Iterator[Change]:
    """Compare two schemas of which one has an enum; the second may have bounds instead."""
    newly_refused, newly_accepted = _refused_values(old, new), _refused_values(new, old)
    values = newly_refused or newly_accepted
    if values:
        affected = "all but the listed values" if values is True else f"calls with {format_side(values)}"
        yield limit_change(path, "enum", _limits(old), _limits(new), affected, narrower=bool(newly_refused))


def _refused_values(schema: Schema, refusing: Schema) -> list[Any] | Literal[True]:
    """Return the values of `schema` that `refusing` does not accept; True if they cannot be listed."""
    values = _list_values(schema)
    return values is None or [value for value in values if any(violations(refusing, value))]


def _list_values(schema: Schema) -> list[Any] | None:
    """Return the allowed values, if they can be listed; without null, which belongs to the type."""
    values = schema.keywords().get("enum", [True, False] if schema.kind == "boolean" else None)
    return values and [value for value in values if value is not None]


def _limits(schema: Schema) -> Any:
    limits = {name: value for name, value in schema.keywords().items() if name in BOUNDS or name == "format"}
    return _list_values(schema) or limits or MISSING


def _compare_bounds(key: str, path: str, before: Any, after: Any) -> Iterator[Change]:
    sign, absent, beyond = BOUNDS[key]
    old_limit, new_limit = (sign * (absent if limit is MISSING else limit) for limit in (before, after))
    if old_limit != new_limit:
        yield limit_change(path, key, before, after, beyond, narrower=new_limit > old_limit)


def _get_both(name: str, old: Schema, new: Schema, default: Any = MISSING) -> tuple[Any, Any]:
    return old.keywords().get(name, default), new.keywords().get(name, default)
