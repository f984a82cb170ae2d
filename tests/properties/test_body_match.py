"""A row of the request history is taken for a submit if its body says the same, and never if it says something else."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kling_adapters as ka
from kling_adapters.protocol.body_match import is_same_body

SCHEMAS = {slug: entry.json_schema() for slug, entry in ka.load_catalog().items()}
TEXT = st.text(max_size=12) | st.sampled_from(["5", "5.0", "05", " 5", "true", "null", ""])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(TEXT, VALUES, max_size=5)


SAMPLES: Mapping[str, Sequence[Any]] = {
    "integer": (0, 5, 9),
    "number": (0.0, 0.1, 0.7, 1.0, 1),
    "boolean": (True, False),
    "string": ("a heron", "5", "", "https://example.com/a.png", "ein Reiher"),
}


def draw_value(random: Random, declared: Mapping[str, Any]) -> Any:
    """Return a value of a parameter by its schema."""
    if "items" in declared:
        return [draw_value(random, declared["items"]) for _ in range(random.randint(0, 3))]
    if "properties" in declared:
        return draw_body(random, declared)
    kind = declared["type"]
    return random.choice(declared.get("enum") or SAMPLES[kind if isinstance(kind, str) else "string"])


def draw_body(random: Random, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters by their schemas."""
    required = schema.get("required", ())
    return {
        name: draw_value(random, declared)
        for name, declared in schema["properties"].items()
        if name in required or random.random() < 0.5
    }


def normalize(random: Random, body: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as a gateway might list them."""
    listed: dict[str, Any] = {}
    for name, declared in schema["properties"].items():
        default = declared.get("default")
        if name in body and not (body[name] == default and random.random() < 0.3):
            listed[name] = rewrite(random, body[name], declared)
        elif random.random() < 0.5:
            listed[name] = default
    names = sorted(listed, key=lambda _: random.random())
    normalized: dict[str, Any] = json.loads(json.dumps({name: listed[name] for name in names}))
    return normalized


def rewrite(random: Random, value: Any, declared: Mapping[str, Any]) -> Any:
    """Return another form of the same value."""
    if "items" in declared:
        return [rewrite(random, item, declared["items"]) for item in value or ()]
    if "properties" in declared:
        return normalize(random, value, declared)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return random.choice([value, float(value), str(value)])
    is_number = isinstance(value, str) and value.isdigit() and "enum" in declared
    return random.choice([value, int(value)]) if is_number else value


@pytest.mark.parametrize("slug", sorted(SCHEMAS))
@given(random=st.randoms(use_true_random=False))
def test_normalised_body_is_recognised(slug: str, random: Random) -> None:
    body = draw_body(random, SCHEMAS[slug])
    assert is_same_body(body, normalize(random, body, SCHEMAS[slug]), SCHEMAS[slug])


@pytest.mark.parametrize("slug", sorted(SCHEMAS))
@given(random=st.randoms(use_true_random=False), text=TEXT)
def test_another_text_is_another_request(slug: str, random: Random, text: str) -> None:
    schema = SCHEMAS[slug]
    body = draw_body(random, schema)
    listed = normalize(random, body, schema)
    texts = [
        name
        for name, value in listed.items()
        if isinstance(value, str)
        and "enum" not in schema["properties"][name]
        and schema["properties"][name]["type"] == "string"
    ]
    for name in texts:
        changed = {**listed, name: text}
        assert is_same_body(body, changed, schema) is (text == listed[name])
    if "prompt" in body:
        without = {name: value for name, value in listed.items() if name != "prompt"}
        assert not is_same_body({**body, "prompt": "a heron"}, without, schema)


@given(body=BODIES)
def test_body_is_itself_with_and_without_nulls(body: dict[str, Any]) -> None:
    assert is_same_body(body, json.loads(json.dumps(body)), None)
    assert is_same_body(body, {**body, "absent from all texts above": None}, None)
    assert is_same_body({"absent from all texts above": None, **body}, body, None)


@given(body=BODIES, listed=BODIES)
def test_comparison_is_symmetric_and_without_a_spec_strict(
    body: dict[str, Any], listed: dict[str, Any]
) -> None:
    verdict = is_same_body(body, listed, None)
    assert verdict is is_same_body(listed, body, None)
    if verdict:
        # What is the same, is the same JSON apart from nulls and the forms of numbers.
        assert prune(body) == prune(listed)


def prune(value: Any) -> Any:
    """Return a value without null members, with truth values apart from numbers."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {name: prune(member) for name, member in members.items() if member is not None}
    if value.__class__ is list:
        return [prune(item) for item in value]
    return ("bool", value) if isinstance(value, bool) else value


@pytest.mark.parametrize(
    ("sent", "listed", "verdict"),
    [
        ({"duration": 5}, {"duration": "5"}, True),
        ({"duration": 5}, {"duration": 5.0}, True),
        ({"duration": 5}, {}, True),
        ({}, {"duration": 10}, False),
        ({"duration": 10}, {}, False),
        ({"duration": 5}, {"duration": True}, False),
        ({"cfg_scale": 0.7}, {"cfg_scale": "0.7"}, True),
        ({"cfg_scale": 0.7}, {"cfg_scale": 0.70000001}, False),
        ({"cfg_scale": 1}, {"cfg_scale": True}, False),
        ({"prompt": "5"}, {"prompt": 5}, False),
        ({"prompt": "5"}, {"prompt": "5.0"}, False),
        ({"prompt": "x "}, {"prompt": "x"}, False),
        ({"prompt": "X"}, {"prompt": "x"}, False),
        ({"prompt": "é"}, {"prompt": "e\u0301"}, False),
        ({"seed": 7}, {"seed": 7}, True),
        ({"seed": 7}, {"seed": 8}, False),
        ({}, {"seed": 8}, False),
        ({"seed": 2**53 + 1}, {"seed": float(2**53)}, False),
    ],
)
def test_forms_of_values(sent: dict[str, Any], listed: dict[str, Any], verdict: bool) -> None:
    schema = SCHEMAS["kling-2"]
    before = copy.deepcopy(schema)
    assert is_same_body(sent, listed, schema) is verdict
    assert is_same_body(listed, sent, schema) is verdict
    assert schema == before
