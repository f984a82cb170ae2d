"""Parameters of a page that have another name than in the spec, and nothing else that differs."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from kling_codegen.draft.table import STATED

# Names of one thing, such as image and image_url.
_LIKENESS: Final = 0.5

Parameters = Mapping[str, Mapping[str, Any]]
"""The schemas of parameters by their paths, such as elements.label."""


def find_renames(before: Parameters, after: Parameters) -> dict[str, str]:
    """Return the paths of parameters that were probably renamed, with their new paths."""
    removed = sorted(path for path in before.keys() - after.keys() if "deprecated" not in before[path])
    added = sorted(after.keys() - before.keys())
    return dict(_match_names(removed, added, before, after))


def undo_renames(content: Mapping[str, Any], renames: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of a draft with the old names, so that nothing else of these parameters differs."""
    aligned = copy.deepcopy(dict(content))
    for old, new in renames.items():
        parent, _, name = new.rpartition(".")
        holder = aligned["input"]
        for step in parent.split(".") if parent else ():
            holder = holder["properties"][step]
            while "items" in holder:
                holder = holder["items"]
        previous = old.rpartition(".")[2]
        holder["properties"][previous] = holder["properties"].pop(name)
        holder["required"] = [previous if word == name else word for word in holder.get("required", ())]
        if not parent and "rules" in aligned:
            aligned["rules"] = _replace_word(aligned["rules"], name, previous)
    return aligned


def _match_names(
    removed: list[str], added: list[str], before: Parameters, after: Parameters
) -> Iterator[tuple[str, str]]:
    for path in removed:
        parent, _, name = path.rpartition(".")
        candidates = [
            (difflib.SequenceMatcher(None, name, new.rpartition(".")[2]).ratio(), new)
            for new in added
            if new.rpartition(".")[0] == parent and _list_facts(before[path]) == _list_facts(after[new])
        ]
        likeness, best = max(candidates, default=(0.0, ""))
        if likeness >= _LIKENESS or (candidates and len(removed) == len(added) == 1):
            added.remove(best)
            yield path, best


def _list_facts(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords that a page states."""
    return {key: _list_facts_below(key, schema[key]) for key in STATED if key in schema}


def _list_facts_below(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: _list_facts(part) for name, part in cast("Parameters", value).items()}
    if key in ("items", "or"):
        return _list_facts(cast("Mapping[str, Any]", value))
    return sorted(cast("Sequence[str]", value)) if key == "required" else value


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
