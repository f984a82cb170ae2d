"""The generated models and the packaged schemas draw the same line between what may be sent and what may not.

The schemas are judged by the sandbox's validator (jsonschema-rs, and the rules), which shares no code with the models.
Each draw is an input that the schema allows; then every single edit of it is tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from kling_sandbox.validation import Refused, Validator

from kling_adapters import Params, ParamsInvalid, load_catalog

Schema = Mapping[str, Any]

CATALOG = load_catalog()
TOKENS = "@Image1 @Element2 <<<voice_1>>>"  # for rules to judge
BOUNDS = {"minimum": -1, "maximum": 1, "minLength": -1, "maxLength": 1, "minItems": -1, "maxItems": 1}
URLS = ["https://example.com/a.png", "http://EXAMPLE.com:443/a/../b?sig=%2f+x"]
# An integer that is written 5.0 is none for a model, and one for JSON Schema: a known difference, so none is here.
STRANGERS: list[Any] = [
    None,
    True,
    False,
    0,
    7,
    -1,
    1.5,
    "",
    "x",
    " 5",
    "05",
    "ftp://e.com",
    "https://",
    [],
    [[]],
    {},
]


def allowed(schema: Schema) -> SearchStrategy[Any]:
    """Draw what the schema allows; it is one of our closed subset."""
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    found = _allowed(types[0], schema)
    return st.none() | found if "null" in types else found


def _allowed(kind: str, schema: Schema) -> SearchStrategy[Any]:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if kind == "string" and "pattern" in schema:
        return st.sampled_from(URLS)
    if kind == "string":
        return st.text(min_size=least, max_size=most or 40) | st.just(TOKENS[:most].ljust(least))
    if kind in ("integer", "number"):
        low, high = schema.get("minimum"), schema.get("maximum")
        # Larger integers are none that a float could hold: another known difference.
        integers = st.integers(-(2**53) if low is None else low, 2**53 if high is None else high)
        return integers if kind == "integer" else st.floats(low, high, allow_nan=False, allow_infinity=False)
    if kind == "boolean":
        return st.booleans()
    if kind == "array":
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", least + 3), least + 3)
        return st.lists(allowed(schema["items"]), min_size=least, max_size=most)
    parts = {name: allowed(part) for name, part in schema["properties"].items()}
    required = {name: parts.pop(name) for name in schema.get("required", ())}
    return st.fixed_dictionaries(required, optional=parts)


def edits(schema: Schema, value: Any) -> Iterator[Any]:
    """Yield every single edit of a value: of another type, a twin, just outside a bound, and those of its parts."""
    yield from STRANGERS
    for choice in schema.get("enum", ()):
        yield from (str(choice), f"{choice} ", [choice])
        if isinstance(choice, str) and choice.isdecimal():
            yield int(choice)
    for key, step in BOUNDS.items():
        if key in schema:
            yield from around(key, schema[key], step, schema, value)
    if isinstance(value, list):
        items: list[Any] = value
        for index, item in enumerate(items):
            for edited in edits(schema["items"], item):
                yield [*items[:index], edited, *items[index + 1 :]]
    if isinstance(value, dict):
        yield from changed(schema, value)


def around(key: str, bound: Any, step: int, schema: Schema, value: Any) -> Iterator[Any]:
    """Yield values at a bound and just outside it."""
    if key.endswith("Items"):
        repeated = value * 99 if isinstance(value, list) else []
        yield from (repeated[:bound], repeated[: max(0, bound + step)])
    elif key.endswith("Length"):
        yield from ("ä" * bound, "ä" * max(0, bound + step))
    else:
        yield from (bound, bound + step)
        if schema["type"] == "number":
            yield math.nextafter(bound, step * math.inf)


def changed(schema: Schema, value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every single edit of an object that leaves it an object."""
    yield {**value, "zzz": 1}
    yield {**value, "": None}
    for name, part in schema["properties"].items():
        yield {key: kept for key, kept in value.items() if key != name}
        for edited in edits(part, value.get(name)):
            yield {**value, name: edited}


def takes(oracle: Validator, body: dict[str, Any]) -> bool:
    try:
        oracle.check(body)
    except Refused:
        return False
    return True


def sent(model: type[Params], body: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the model would send, or None if it refuses."""
    try:
        return model.model_validate(body).wire()
    except ParamsInvalid:
        return None


@pytest.mark.parametrize("slug", sorted(CATALOG))
def test_model_and_schema_agree(slug: str) -> None:
    schema, model = CATALOG[slug].json_schema(), CATALOG[slug].load()
    oracle = Validator(schema)

    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(allowed(schema))
    def agree(drawn: dict[str, Any]) -> None:
        for body in (drawn, *changed(schema, drawn)):
            wire = sent(model, body)
            assert (wire is not None) == takes(oracle, body), body
            # Nothing is lost, added or turned into something else on the way.
            assert wire is None or (wire.keys() == body.keys() and takes(oracle, wire)), body

    agree()
