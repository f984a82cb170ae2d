"""Random inputs that the packaged schema of a model allows and that mostly satisfy its rules.

hypothesis-jsonschema would draw them from any schema, but its last release breaks on hypothesis 6.170.10 and later, and
knows no draft after 7. Ours is a closed subset, which takes these few lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .prose_rules import broken_rules

Schema = Mapping[str, Any]

URL = "https://example.com/a.png"
_URLS = st.sampled_from(
    [URL, "http://EXAMPLE.com:443/a/../b?sig=%2f+x", "https://münchen.example/\U0001f600#é"]
)
_PRINTED = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/?#"), min_size=1)
_LONGEST = 40  # of what has no bound


def inputs(schema: Schema) -> SearchStrategy[dict[str, Any]]:
    """Draw bodies that the schema allows. Nearly all satisfy the rules, because broken ones are repaired."""
    tokens = [
        rule["references"]["token"].replace("{n}", str(number))
        for rule in schema.get("x-kling", {}).get("rules", ())
        if "references" in rule
        for number in (1, 2)
    ]
    return _allowed(schema, " ".join(tokens)).map(lambda body: _repaired(schema, body))


def least(schema: Schema) -> Any:
    """Return one small value that a part of a schema allows; not null."""
    if "enum" in schema:
        return next(value for value in schema["enum"] if value is not None)
    match kind_of(schema):
        case "string":
            return URL if "pattern" in schema else "x" * schema.get("minLength", 0)
        case "integer" | "number":
            return max(schema.get("minimum", 0), min(0, schema.get("maximum", 0)))
        case "boolean":
            return True
        case "array":
            return [least(schema["items"])] * schema.get("minItems", 0)
        case _:
            return {name: least(schema["properties"][name]) for name in schema.get("required", ())}


def kind_of(schema: Schema) -> str:
    """Return its first type, leaving null aside."""
    return kinds_of(schema)[0]


def kinds_of(schema: Schema) -> list[str]:
    """Return its types, leaving null aside: two for text or a list."""
    kinds: list[str] = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return [kind for kind in kinds if kind != "null"]


def _allowed(schema: Schema, tokens: str) -> SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    strategy: SearchStrategy[Any] = st.one_of([_of_kind(schema, kind, tokens) for kind in kinds_of(schema)])
    return st.none() | strategy if "null" in schema["type"] else strategy


def _of_kind(schema: Schema, kind: str, tokens: str) -> SearchStrategy[Any]:
    match kind:
        case "string":
            return _text(schema, tokens)
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "number":
            low, high = schema.get("minimum"), schema.get("maximum")
            floats = st.floats(low, high, allow_nan=False, allow_infinity=False)
            # As JSON has it, 1 is a number like 1.0; there may be no integer between the bounds.
            return floats | floats.map(round).filter(
                lambda n: (low is None or low <= n) and (high is None or n <= high)
            )
        case "boolean":
            return st.booleans()
        case "array":
            smallest = schema.get("minItems", 0)
            largest = min(schema.get("maxItems", smallest + 3), smallest + 3)
            return st.lists(_allowed(schema["items"], tokens), min_size=smallest, max_size=largest)
        case _:
            parts = {name: _allowed(part, tokens) for name, part in schema["properties"].items()}
            required = {name: parts.pop(name) for name in schema.get("required", ())}
            return st.fixed_dictionaries(required, optional=parts)


def _text(schema: Schema, tokens: str) -> SearchStrategy[str]:
    if "pattern" in schema:
        return _URLS | st.builds("https://{}/{}".format, _PRINTED, _PRINTED)
    smallest = schema.get("minLength", 0)
    largest = schema.get("maxLength", smallest + _LONGEST)
    strategy = st.text(min_size=smallest, max_size=min(largest, smallest + _LONGEST))
    return strategy | st.just(tokens[:largest].ljust(smallest)) if tokens else strategy


def _repaired(schema: Schema, body: dict[str, Any]) -> dict[str, Any]:
    for _ in schema["properties"]:
        for place in sorted(broken_rules(schema, body)):
            # A nested parameter is removed or replaced with the outermost one.
            name = place if place in schema["properties"] else re.split(r"[.\[]", place)[0]
            if body.get(name) is not None and name not in schema.get("required", ()):
                body = {key: value for key, value in body.items() if key != name}
            else:
                body = {**body, name: least(schema["properties"][name])}
    return body
