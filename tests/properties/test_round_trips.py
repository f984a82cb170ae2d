"""A model sends what it reads, and its packaged schema equals its spec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from ruamel.yaml import YAML

from .inputs import inputs
from .models import models
from .prose_rules import broken_rules

ROOT = Path(__file__).parents[2]
SPECS = {
    path.stem: path
    for folder in ("specs", "tests/golden/core/specs", "tests/golden/acme/specs")
    for path in (ROOT / folder).glob("*.yaml")
    if path.stem not in ("catalogue", "gateway")
}
MODELS = models()


@pytest.mark.filterwarnings("ignore::kling_adapters.DeprecatedParameter")
@pytest.mark.parametrize("slug", sorted(MODELS))
def test_input_is_sent_unchanged(slug: str) -> None:
    schema, model = MODELS[slug]

    @settings(max_examples=settings().max_examples // 4, suppress_health_check=list(HealthCheck))
    @given(inputs(schema).filter(lambda body: not broken_rules(schema, body)))
    def there_and_back(body: dict[str, Any]) -> None:
        params = model(**body)
        assert params.wire() == body
        again = model.model_validate(json.loads(json.dumps(params.wire())))
        assert again == params
        assert again.wire() == body

    there_and_back()


@pytest.mark.parametrize("slug", sorted(SPECS))
def test_packaged_schema_equals_spec(slug: str) -> None:
    spec = YAML(typ="safe", pure=True).load(SPECS[slug].read_text("utf-8"))
    schema, _ = MODELS[slug]
    beyond = {key: spec[key] for key in ("slug", "returns", "latency_seconds", "pricing") if key in spec}
    if "retired" in spec:
        beyond["retired"] = {**spec["retired"], "since": spec["retired"]["since"].isoformat()}
    # The second form of rules; test_verdicts.py compares it with the first.
    assert {key: part for key, part in schema.items() if key != "allOf"} == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": spec["title"],
        "description": spec["summary"],
        **_closed({"type": "object", "required": [], **spec["input"]}),
        "additionalProperties": "unseen" in spec["source"],
        "examples": [item["input"] for item in spec.get("examples", ())],
        "x-kling": {
            **beyond,
            "rules": [
                {**rule, "text": packaged["text"]}
                for rule, packaged in zip(spec.get("rules", []), schema["x-kling"]["rules"], strict=True)
            ],
            "discrepancies": spec.get("discrepancies", []),
            "source": {**spec["source"], "read": spec["source"]["read"].isoformat()},
        },
    }


def _closed(part: dict[str, Any]) -> dict[str, Any]:
    """Add what specs imply and a schema must state: no additional properties, and http or https URLs.

    Keys that JSON Schema does not have are under x-kling.
    """
    if extension := {key: part[key] for key in ("renamed_from", "deprecated") if key in part}:
        part = {**{key: value for key, value in part.items() if key not in extension}, "x-kling": extension}
        if deprecated := extension.get("deprecated"):
            extension["deprecated"] = {**deprecated, "since": str(deprecated["since"])}
            part["deprecated"] = True
    if "properties" in part:
        properties = {name: _closed(member) for name, member in part["properties"].items()}
        return {**part, "properties": properties, "additionalProperties": False}
    if "items" in part:
        return {**part, "items": _closed(part["items"])}
    if "or" in part:
        kinds = [part["type"]] if isinstance(part["type"], str) else part["type"]
        outer = {key: value for key, value in part.items() if key != "or"}
        return {**outer, **_closed(part["or"]), "type": [*kinds, "array"]}
    if "media" in part:
        rest = {key: value for key, value in part.items() if key != "media"}
        return _closed(rest) | {"x-kling": {"media": part["media"]}}
    if part.get("format") == "uri":
        space = r"\s\x00-\x1f\x85\ufeff"
        return {**part, "pattern": f"^https?://[^{space}/?#][^{space}]*$"}
    return part
