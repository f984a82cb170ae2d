"""A folder of specs that is compiled while the studio runs."""

from __future__ import annotations

import shutil
from pathlib import Path

from starlette.testclient import TestClient

from tests.serve.conftest import OpenStudio, finish_job, get_parts, run_job

ACME = Path(__file__).parents[1] / "golden" / "acme" / "specs" / "acme-1.yaml"


def compile_specs(browser: TestClient) -> str:
    """Look at the folder now, and return the page about it."""
    specs = get_parts(browser).specs
    assert browser.portal is not None
    assert specs is not None
    browser.portal.call(specs.refresh)
    return browser.get("/platform").text


def test_dropped_spec_appears_changes_and_disappears(open_studio: OpenStudio, tmp_path: Path) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    browser = open_studio(specs=folder)
    assert "acme-1" not in browser.get("/").text
    shutil.copy(ACME, folder)
    page = compile_specs(browser)
    assert "Compiled" in page
    assert "class Acme1(Params)" in page
    assert "the description is missing" in page
    assert 'href="/models/acme-1"' in browser.get("/").text
    job_id = run_job(browser, "acme-1", prompt="A pier.")
    finish_job(browser, job_id)
    assert "submit_raw" in browser.post("/models/acme-1/check", data={"prompt": "A pier."}).text
    text = ACME.read_text("utf-8").replace("title: Acme 1", "title: Acme Two")
    (folder / ACME.name).write_text(text, "utf-8")
    compile_specs(browser)
    assert "Acme Two" in browser.get("/models/acme-1").text
    (folder / ACME.name).unlink()
    compile_specs(browser)
    assert browser.get("/models/acme-1").status_code == 404
    assert "acme-1" in browser.get(f"/jobs/{job_id}").text


def test_invalid_spec_is_explained_and_harms_no_other(open_studio: OpenStudio, tmp_path: Path) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "broken.yaml").write_text("slug: broken\ntittle: <script>alert(1)</script>\n", "utf-8")
    shutil.copy(ACME, folder)
    browser = open_studio(specs=folder)
    page = compile_specs(browser)
    assert "did you mean title?" in page
    assert (page.count("Invalid"), page.count("Compiled")) == (1, 1)
    assert "<script>alert" not in page
    specs = get_parts(browser).specs
    assert specs is not None
    assert browser.get("/platform/specs", params={"version": specs.version}).status_code == 204
