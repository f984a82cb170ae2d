"""A page beside a spec as the lines of YAML that differ."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final, cast

from kling_codegen.draft.compare import Comparison
from kling_codegen.draft.table import ORDER
from kling_codegen.draft.write import to_yaml
from kling_codegen.language import Spec

MAX_LINES, MAX_LENGTH = 1_000, 500
_FACTS: Final = ("slug", "title", "returns", "latency_seconds", "pricing", "input", "rules")


def format_spec_diff(comparison: Comparison) -> str:
    """Return the difference as a unified diff, with the facts of both sides in one order."""
    name = f"{comparison.spec.slug}.yaml"
    before, after = (_format(spec).splitlines() for spec in (comparison.spec, comparison.filled))
    lines = list(difflib.unified_diff(before, after, f"specs/{name}", f"page/{name}", lineterm=""))
    if len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], f"... {len(lines) - MAX_LINES} more lines"]
    return "\n".join(line if len(line) <= MAX_LENGTH else f"{line[:MAX_LENGTH]}..." for line in lines)


def _format(spec: Spec) -> str:
    content = spec.model_dump(by_alias=True, exclude_unset=True)
    facts = {name: content[name] for name in _FACTS if content.get(name)}
    return to_yaml(facts | {"input": _sort_keywords(facts["input"])})


def _sort_keywords(schema: Mapping[str, Any]) -> dict[str, Any]:
    names = sorted(schema, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    return {name: _sort_below(name, schema[name]) for name in names}


def _sort_below(name: str, value: Any) -> Any:
    if name == "properties":
        return {key: _sort_keywords(part) for key, part in cast("dict[str, Any]", value).items()}
    return _sort_keywords(cast("dict[str, Any]", value)) if name in ("items", "or") else value
