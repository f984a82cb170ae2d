"""The specs of the models that are known from stored copies say what these copies show: row by row, and each gap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from kling_adapters import load_catalog

FACTS = {
    path.stem: YAML(typ="safe", pure=True).load(path.read_text("utf-8"))
    for path in sorted((Path(__file__).parent / "facts").glob("*.yaml"))
}
CATALOG = load_catalog()
each_model = pytest.mark.parametrize("facts", FACTS.values(), ids=list(FACTS))


def rows(declared: Mapping[str, Any], explained: set[str], path: str = "") -> Iterator[dict[str, Any]]:
    """Yield the rows that a packaged schema has, in the form of the facts."""
    for name, part in declared["properties"].items():
        kinds = [part["type"]] if isinstance(part["type"], str) else part["type"]
        item, is_list = part.get("items", {}), kinds[0] == "array"
        row = {
            "name": name,
            "required": name in declared.get("required", ()),
            "type": f"array of {item['type']}" if is_list else kinds[0],
        }
        # Only the decision of a discrepancy makes a URL of what the sources call a text.
        if "format" in part and f"{path}{name}" not in explained:
            row["format"] = part["format"]
        if is_list and "format" in item:
            assert f"{path}{name}" in explained
        if "minimum" in part:
            row["range"] = [part["minimum"], part["maximum"]]
        row |= {key: part[key] for key in ("enum", "default") if key in part}
        row |= {"max_items": part["maxItems"]} if "maxItems" in part else {}
        if is_list and "properties" in item:
            row["properties"] = list(rows(item, explained, f"{path}{name}."))
        yield row


def explained_parameters(schema: Mapping[str, Any]) -> set[str]:
    discrepancies = schema["x-kling"]["discrepancies"]
    return {name.strip() for entry in discrepancies for name in entry["about"].split(",")}


def without_gap(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "unseen"}


@each_model
def test_spec_has_the_rows_of_the_facts(facts: dict[str, Any]) -> None:
    schema = CATALOG[facts["slug"]].json_schema()
    explained = explained_parameters(schema)
    expected = [without_gap(row) for row in facts["rows"]]
    packaged = list(rows(schema, explained))
    for row in expected:
        # A format that the facts have stays, with or without a discrepancy about the parameter.
        match = next(item for item in packaged if item["name"] == row["name"])
        if "format" in row:
            match["format"] = schema["properties"][row["name"]]["format"]
    assert packaged == expected


@each_model
def test_spec_has_the_other_facts(facts: dict[str, Any]) -> None:
    schema = CATALOG[facts["slug"]].json_schema()
    about = schema["x-kling"]
    assert (schema["title"], about["latency_seconds"]) == (facts["title"], facts["latency"])
    pricing = about.get("pricing")
    assert (pricing and [pricing["from"], pricing["to"]]) == facts["price"]
    assert bool(pricing and pricing.get("approximate")) is facts["approximate"]
    # The copies differ about time or price, or have none, and the spec says so.
    assert {"latency", "pricing"} & explained_parameters(schema)


@each_model
def test_every_gap_is_a_discrepancy(facts: dict[str, Any]) -> None:
    schema = CATALOG[facts["slug"]].json_schema()
    gaps = {row["name"] for row in facts["rows"] if "unseen" in row}
    assert gaps <= explained_parameters(schema)
    is_partial = facts["grade"] != "A"
    assert (schema["additionalProperties"], "unseen" in schema["x-kling"]["source"]) == (
        is_partial,
        is_partial,
    )


@pytest.mark.parametrize("slug", ["kling-o1-reference-image-to-video", "kling-o1-video-to-video-edit"])
def test_elements_have_the_form_of_the_prose_too(slug: str) -> None:
    elements = CATALOG[slug].json_schema()["properties"]["elements"]
    assert elements["type"] == ["string", "null", "array"]
    assert list(elements["items"]["properties"]) == ["frontal_image_url", "reference_image_urls"]


def test_fact_files_are_those_of_ten_models() -> None:
    assert len(FACTS) == 10
    assert {facts["grade"] for facts in FACTS.values()} == {"A", "B1"}
