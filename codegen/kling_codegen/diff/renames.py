"""The changes of names of parameters: new names whose old ones are accepted, and old names that no longer are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import MISSING

from kling_codegen.diff.change import Change, limit_change
from kling_codegen.language import Spec
from kling_codegen.messages import Location
from kling_codegen.renames import list_renamed


def find_renamed(old: Spec, new: Spec) -> dict[str, str]:
    """Return the new name of each parameter that `new` has under another name and accepts under the old one."""
    names: dict[str, str] = {}
    for name, present in list_renamed(new.input.properties).items():
        is_new = present not in old.input.properties and present not in names.values()
        if name in old.input.properties and is_new:
            names[name] = present
    return names


def compare_old_names(old: Spec, new: Spec, renamed: Mapping[str, str]) -> Iterator[Change]:
    """Yield the renamed parameters, and the changes of accepted old names."""
    for name, present in renamed.items():
        effect = "calls with the old name are accepted, with a warning"
        yield Change("warning", present, "name", name, present, effect)
    before, after = list_renamed(old.input.properties), list_renamed(new.input.properties)
    for name in before.keys() - after.keys():
        if name in new.input.properties:
            effect = "calls with the old name set another parameter"
            yield Change("breaking", name, "old name of", before[name], MISSING, effect)
        elif before[name] in new.input.properties or before[name] in renamed:
            path = renamed.get(before[name], before[name])
            yield limit_change(path, "old name", name, MISSING, "calls with it", narrower=True)
    for name in after.keys() - before.keys() - renamed.keys():
        if name not in old.input.properties:
            yield limit_change(after[name], "old name", MISSING, name, "calls with it", narrower=False)
        elif after[name] in old.input.properties:
            effect = "calls with the old name set another parameter"
            yield Change("breaking", name, "old name of", MISSING, after[name], effect)


def with_new_names(spec: Spec, renamed: Mapping[str, str]) -> Spec:
    """Return a spec with the new names of its parameters, in rules and examples, too."""
    if not renamed:
        return spec
    plain: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    inputs = plain["input"]
    inputs["properties"] = _rename_keys(inputs["properties"], renamed)
    inputs["required"] = [renamed.get(name, name) for name in inputs.get("required", ())]
    for rule, plain_rule in zip(spec.rules, plain.get("rules", ()), strict=True):
        if rule.condition:
            key, condition = rule.condition
            for at, name in condition.parameters():
                _rename_at(plain_rule, (key, *at), name, renamed)
    for example in plain.get("examples", ()):
        example["input"] = _rename_keys(example["input"], renamed)
    return Spec.model_validate(plain)


def rename_path(path: str, renamed: Mapping[str, str]) -> str:
    """Return a path such as shots[].text with the new name of its first parameter."""
    end = next((index for index, character in enumerate(path) if character in ".["), len(path))
    return renamed.get(path[:end], path[:end]) + path[end:]


def _rename_keys(values: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    return {renamed.get(name, name): value for name, value in values.items()}


def _rename_at(rule: Any, at: Location, name: str, renamed: Mapping[str, str]) -> None:
    """Replace a name in a rule, which is a value or a key."""
    *place, last = at
    for step in place:
        rule = rule[step]
    new_name = rename_path(name, renamed)
    if rule[last] == name:
        rule[last] = new_name
    elif last == name:
        # In its place, because the order is part of the text of a rule.
        members = {new_name if key == name else key: value for key, value in rule.items()}
        rule.clear()
        rule.update(members)
