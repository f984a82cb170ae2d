"""Parameters of a page that have another name than in the spec, and nothing else that differs."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from kling_codegen.diff.parameters import compare_properties
from kling_codegen.draft.evidence import Evidence
from kling_codegen.language import Spec
from kling_codegen.schema import Schema

# Names of one thing, such as image and image_url.
_LIKENESS: Final = 0.5


def find_renames(before: Evidence, after: Evidence) -> dict[str, str]:
    """Return the paths of parameters that were probably renamed, with their new paths."""
    removed = sorted(before.keys() - after.keys())
    added = sorted(after.keys() - before.keys())
    return dict(_match_names(removed, added, before, after))


def undo_renames(spec: Spec, renames: Mapping[str, str]) -> Spec:
    """Return the spec with the old names, so that nothing else of these parameters differs."""
    content = spec.model_dump(by_alias=True, exclude_unset=True)
    for old, new in renames.items():
        parent, _, name = new.rpartition(".")
        holder = content["input"]
        for step in parent.split(".") if parent else ():
            holder = holder["properties"][step]
            while "items" in holder:
                holder = holder["items"]
        previous = old.rpartition(".")[2]
        holder["properties"][previous] = holder["properties"].pop(name)
        holder["required"] = [previous if word == name else word for word in holder.get("required", ())]
        if not parent and "rules" in content:
            content["rules"] = _replace_word(content["rules"], name, previous)
    return Spec.model_validate(content)


def _match_names(
    removed: list[str], added: list[str], before: Evidence, after: Evidence
) -> Iterator[tuple[str, str]]:
    for path in removed:
        parent, _, name = path.rpartition(".")
        candidates = [
            (difflib.SequenceMatcher(None, name, new.rpartition(".")[2]).ratio(), new)
            for new in added
            if new.rpartition(".")[0] == parent and _is_same(before[path], after[new])
        ]
        likeness, best = max(candidates, default=(0.0, ""))
        if likeness >= _LIKENESS or (candidates and len(removed) == len(added) == 1):
            added.remove(best)
            yield path, best


def _is_same(old: Schema, new: Schema) -> bool:
    before, after = (Schema.model_construct(type="object", properties={"": schema}) for schema in (old, new))
    return all(change.level == "documentation" for change in compare_properties(before, after))


def _replace_word(value: Any, word: str, replacement: str) -> Any:
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return {
            replacement if key == word else key: _replace_word(part, word, replacement)
            for key, part in members
        }
    if isinstance(value, list):
        return [_replace_word(part, word, replacement) for part in cast("Sequence[Any]", value)]
    return replacement if value == word else value
