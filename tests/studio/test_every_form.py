"""Every model has a form without a line of code, whose examples run: those of the catalog, and of another package."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from kling_adapters import load_catalog
from tests.studio.processes import StudioProcess

ACME = Path(__file__).parents[1] / "golden" / "acme" / "acme_kling"
PLUGIN = """\
from acme_kling.models import CATALOG
from kling_adapters.hookspecs import hookimpl

@hookimpl
def kling_register_adapters(register):
    for entry in CATALOG:
        register(entry)
"""
SLUGS = (*(slug for slug, entry in load_catalog().items() if not entry.retired), "acme-1")


def install_acme(folder: Path) -> None:
    """Put an installed distribution with a model into a folder of the Python path."""
    shutil.copytree(ACME, folder / "acme_kling")
    (folder / "acme_plugin.py").write_text(PLUGIN, "utf-8")
    metadata = folder / "acme_kling-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-kling\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[kling_adapters]\nacme = acme_plugin\n")


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a studio beside an installed package with a model."""
    folder = tmp_path_factory.mktemp("every")
    install_acme(folder)
    options = ("--timing", "at-once")
    with StudioProcess(folder / "studio", *options, environment={"PYTHONPATH": str(folder)}) as studio:
        headers = {"Authorization": f"Bearer {studio.token}"}
        with httpx.Client(base_url=studio.base_url, headers=headers, timeout=60) as client:
            yield client


class FormReader(HTMLParser):
    """Read the controls of a page as a browser would send them."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[tuple[str, str]] = []
        self.labels: set[str] = set()
        self._name, self._text, self._depth = "", "", 0
        self._choices: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: "" if value is None else value for name, value in attrs}
        if tag == "template":
            self._depth += 1
        elif self._depth:
            return
        elif tag == "label":
            self.labels.add(attributes.get("for", ""))
        elif tag == "input" and attributes.get("name"):
            if attributes.get("type") not in {"checkbox", "radio"} or "checked" in attributes:
                self.items.append((attributes["name"], attributes.get("value", "")))
        elif tag in {"textarea", "select"}:
            self._name, self._text, self._choices = attributes["name"], "", []
        elif tag == "option":
            self._choices.append((attributes.get("value", ""), "selected" in attributes))

    def handle_endtag(self, tag: str) -> None:
        if tag == "template":
            self._depth -= 1
        elif tag == "textarea" and not self._depth:
            self.items.append((self._name, self._text.removeprefix("\n")))
        elif tag == "select" and not self._depth:
            chosen = [value for value, is_selected in self._choices if is_selected]
            self.items.append((self._name, chosen[-1] if chosen else self._choices[0][0]))

    def handle_data(self, data: str) -> None:
        self._text += data


def read_form(page: str) -> FormReader:
    reader = FormReader()
    reader.feed(page[page.index('<form id="form"') : page.index("</form>", page.index('<form id="form"'))])
    return reader


def send(http: httpx.Client, address: str, items: list[tuple[str, str]]) -> httpx.Response:
    form: dict[str, list[str]] = {}
    for name, value in items:
        form.setdefault(name, []).append(value)
    return http.post(address, data=form)


@pytest.mark.parametrize("slug", SLUGS)
def test_examples_of_form_are_valid_and_run(slug: str, http: httpx.Client) -> None:
    schema: dict[str, Any] = {}
    if slug in load_catalog():
        schema = load_catalog()[slug].json_schema()
    count = len(schema.get("examples", ((),)))
    assert count, "the model has no example"
    for number in range(count):
        response = http.get(f"/models/{slug}?example={number}")
        assert response.status_code == 200
        form = read_form(response.text)
        check = send(http, f"/models/{slug}/check", form.items)
        assert check.status_code == 200
        problems = re.findall(r'<div id="problem-[^"]*" hx-swap-oob="innerHTML">(.+?)</div>', check.text)
        assert problems == []
        run = send(http, f"/models/{slug}/run", form.items)
        assert run.status_code == 204, run.text
        job = run.headers["hx-redirect"]
        sent = http.get(job).text
        if schema:
            for name, value in schema["examples"][number].items():
                declared = schema["properties"][name]
                is_default = value == declared.get("default", False)  # which is not sent
                assert is_default or f"<dt>{name}</dt>" in sent


@pytest.mark.parametrize("slug", SLUGS)
def test_each_parameter_has_a_labelled_control(slug: str, http: httpx.Client) -> None:
    page = http.get(f"/models/{slug}").text
    if slug in load_catalog():
        for name in load_catalog()[slug].json_schema()["properties"]:
            assert f'data-field="{name}"' in page
            assert f'id="problem-{name}"' in page
    else:
        for name in ("prompt", "frames", "frames-{frames}--image_url"):
            assert f'data-field="{name}"' in page
