"""The JSON Schema that pydantic makes of a model allows the same inputs as its packaged schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from .edits import edits
from .models import models

MODELS = models()


def iter_bodies(schema: dict[str, Any]) -> Iterator[Any]:
    """Yield the examples of a schema and every single edit of them that a JSON text can hold."""
    for example in schema["examples"]:
        for body in (example, *(edit.of(example) for edit in edits(schema, example))):
            try:
                text = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
            except (TypeError, ValueError):
                continue
            yield json.loads(text)


@pytest.mark.parametrize("slug", sorted(MODELS))
def test_both_schemas_allow_same_inputs(slug: str) -> None:
    packaged, model = MODELS[slug]
    schema = model.model_json_schema()
    jsonschema_rs.meta.validate(schema)
    # Like `x-kling`, `allOf` has rules, which pydantic's schema does not have.
    fields = {key: part for key, part in packaged.items() if key != "allOf"}
    judged, judge = map(jsonschema_rs.Draft202012Validator, (schema, fields))
    bodies = list(iter_bodies(packaged))
    assert [body for body in bodies if judged.is_valid(body) != judge.is_valid(body)] == []
    if packaged["examples"]:
        assert {judge.is_valid(body) for body in bodies} == {True, False}


@pytest.mark.parametrize("mode", ["validation", "serialization"])
@pytest.mark.parametrize("slug", sorted(MODELS))
def test_both_schemas_have_same_descriptions(slug: str, mode: Any) -> None:
    packaged, model = MODELS[slug]
    schema = model.model_json_schema(mode=mode)
    for name, part in packaged["properties"].items():
        described = schema["properties"][name]
        assert described.get("description") == part.get("description")
        if "default" in part:
            assert described["default"] == part["default"]
    # A bound that only makes pydantic look for lone surrogates.
    assert "9223372036854775807" not in json.dumps(schema)
