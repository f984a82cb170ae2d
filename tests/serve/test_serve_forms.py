"""Forms: from the schema of a model to controls, and from what a browser sends to parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kling_serve.forms.fields import Field, make_fields, make_id
from kling_serve.forms.parse import parse_form, split_name
from starlette.testclient import TestClient

from kling_adapters import CatalogEntry, load_catalog
from tests.serve.conftest import OpenStudio, read_form

GOLDEN = Path(__file__).parents[1] / "golden"
SCHEMAS: dict[str, dict[str, Any]] = {slug: entry.json_schema() for slug, entry in load_catalog().items()}
GOLDEN_SCHEMAS = {
    path.stem: json.loads(path.read_text("utf-8"))
    for folder in ("core/models", "acme/acme_kling/models")
    for path in sorted((GOLDEN / folder / "schemas").glob("*.json"))
}
EXAMPLES = [(slug, number) for slug, schema in SCHEMAS.items() for number in range(len(schema["examples"]))]


def iter_fields(fields: Any) -> Iterator[Field]:
    for field in fields:
        yield field
        yield from iter_fields(field.parts)
        if field.blank is not None:
            yield from iter_fields([field.blank])


def drop_defaults(schema: Mapping[str, Any], value: Any) -> Any:
    """Return parameters without those that have their documented default, which are not sent."""
    if isinstance(value, list) and "items" in schema:
        return [drop_defaults(schema["items"], item) for item in value]
    if not isinstance(value, dict):
        return value
    required = schema.get("required", ())
    sent = {
        name: drop_defaults(schema["properties"][name], part)
        for name, part in value.items()
        if name in required or part != schema["properties"][name].get("default")
    }
    return {
        name: part
        for name, part in sent.items()
        if name in required
        or not (part is None or (part is False and "default" not in schema["properties"][name]))
    }


@pytest.mark.parametrize("slug", [*SCHEMAS, *GOLDEN_SCHEMAS])
def test_every_parameter_has_one_field(slug: str) -> None:
    schema = (SCHEMAS | GOLDEN_SCHEMAS)[slug]
    fields = make_fields(schema, {})
    assert sorted(field.name for field in fields) == sorted(schema["properties"])
    ids = [field.id for field in iter_fields(fields)]
    assert len(set(ids)) == len(ids)
    required = [field.is_required for field in fields]
    assert required == sorted(required, reverse=True)


@pytest.mark.parametrize(("slug", "number"), EXAMPLES)
def test_form_of_example_sends_example(reader: TestClient, slug: str, number: int) -> None:
    page = reader.get(f"/models/{slug}?example={number}")
    assert page.status_code == 200
    parsed = parse_form(SCHEMAS[slug], read_form(page.text), lambda _: None)
    expected = drop_defaults(SCHEMAS[slug], SCHEMAS[slug]["examples"][number])
    assert parsed.values == expected
    checked = reader.post(f"/models/{slug}/check", data=collect(read_form(page.text)))
    assert "Ready." in checked.text, checked.text


def collect(controls: list[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in controls:
        values.setdefault(name, []).append(value)
    return values


@pytest.mark.parametrize("slug", SCHEMAS)
def test_empty_form_names_only_missing_parameters(reader: TestClient, slug: str) -> None:
    page = reader.get(f"/models/{slug}").text
    assert parse_form(SCHEMAS[slug], read_form(page), lambda _: None).values == {}
    checked = reader.post(f"/models/{slug}/check", data=collect(read_form(page))).text
    assert "Required, but missing" not in checked
    for name in SCHEMAS[slug]["required"]:
        assert name in checked


def test_message_of_adapter_is_at_its_field(reader: TestClient) -> None:
    checked = reader.post("/models/kling-2/check", data={"prompt": "a fox", "cfg_scale": "7"}).text
    assert (
        '<div id="problem-cfg_scale" hx-swap-oob="innerHTML"><p>7 is too large; allowed: at most 1.</p></div>'
        in checked
    )
    corrected = reader.post("/models/kling-2/check", data={"prompt": "a fox", "cfg_scale": "0.7"}).text
    assert '<div id="problem-cfg_scale" hx-swap-oob="innerHTML"></div>' in corrected


def test_text_in_number_is_explained_by_adapter(reader: TestClient) -> None:
    checked = reader.post("/models/kling-2/check", data={"prompt": "a fox", "cfg_scale": "much"}).text
    assert "&#39;much&#39; is not a finite number" in checked


def test_missing_parameter_is_reported_once_its_control_was_used(reader: TestClient) -> None:
    untouched = reader.post("/models/kling-2/check", data={"prompt": ""}).text
    touched = reader.post("/models/kling-2/check", data={"prompt": "", "-touched": "prompt"}).text
    run = reader.post("/models/kling-2/run", data={"prompt": ""}).text
    message = '<div id="problem-prompt" hx-swap-oob="innerHTML"><p>Required, but missing.</p></div>'
    assert message not in untouched
    assert message in touched
    assert message in run


def test_gaps_between_items_do_not_move_messages(reader: TestClient) -> None:
    form = {
        "prompt": "a fox",
        "start_image_url": "https://example.com/a.png",
        "multi_prompt[3].prompt": "x",
        "multi_prompt[7].prompt": "y" * 513,
    }
    checked = reader.post("/models/kling-3-pro-image2video/check", data=form).text
    assert (
        '<div id="problem-multi_prompt-7--prompt" hx-swap-oob="innerHTML"><p>Too many characters' in checked
    )


def test_rules_are_at_fields_they_concern() -> None:
    fields = {field.name: field for field in make_fields(SCHEMAS["kling-3-pro-image2video"], {})}
    assert any("@Element1" in rule for rule in fields["prompt"].rules)
    assert any("@Element1" in rule for rule in fields["elements"].rules)
    assert fields["duration"].rules == ()


def test_discrepancies_are_in_page(reader: TestClient) -> None:
    page = reader.get("/models/kling-3-pro-image2video").text
    for entry in SCHEMAS["kling-3-pro-image2video"]["x-kling"]["discrepancies"]:
        assert entry["about"] in page


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "a[",
        "a]",
        "a[x]",
        "[0].",
        "a..b",
        "a[1e9]",
        "a[99999999999]",
        ".a",
        "é",
        "a" * 201,
        "a.b.c.d.e.f.g.h.i",
    ],
)
def test_unusual_name_of_control_is_ignored(name: str) -> None:
    assert split_name(name) == ()
    assert parse_form(SCHEMAS["kling-2"], [(name, "x")], lambda _: None).values == {}


def test_markup_in_value_is_escaped(reader: TestClient) -> None:
    hostile = '"><script>alert(1)</script>'
    checked = reader.post("/models/kling-2/check", data={"prompt": hostile, "aspect_ratio": hostile}).text
    assert "<script>" not in checked
    job = reader.get("/models/kling-2", params={"from": hostile, "example": hostile})
    assert job.status_code == 200
    assert "<script>alert" not in job.text


def test_field_ids_can_be_in_selectors() -> None:
    assert make_id("elements[0].frontal_image_url") == "elements-0--frontal_image_url"


def test_unknown_model_is_404_with_suggestion(reader: TestClient) -> None:
    response = reader.get("/models/kling-22")
    assert response.status_code == 404
    assert "Did you mean kling-2?" in response.text


def test_form_that_is_too_large_is_refused(reader: TestClient) -> None:
    address = "/models/kling-2/check"
    assert reader.post(address, data={"prompt": "x" * 2_100_000}).status_code == 413
    assert reader.post(address, data={f"f{number}": "x" for number in range(1001)}).status_code == 400
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert reader.post(address, content=b"prompt=\xff\xfe", headers=headers).status_code == 400
    assert reader.post(address, json={"prompt": "a fox"}).status_code == 415
    assert reader.post(address, files={"prompt": b"a fox"}).status_code == 415


def test_damaged_package_of_models_harms_no_other(
    open_studio: OpenStudio, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = load_catalog()
    catalog.register(
        CatalogEntry("damaged-1", "Damaged 1", "video", None, "no_such_package.models.damaged", "Damaged")
    )
    monkeypatch.setattr("kling_serve.models.load_catalog", lambda: catalog)
    browser = open_studio()
    assert browser.get("/").text.count('class="card model"') == len(SCHEMAS)
    assert "cannot be loaded" in browser.get("/models/damaged-1").text
    assert "the model damaged-1 of no_such_package cannot be loaded" in caplog.text
