"""Every page of the studio in a real browser: on a screen and on a telephone, light and dark, and for everyone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.studio.browsing import NARROW, TIMEOUT, Visitor, find_cut, find_violations
from tests.studio.conftest import OpenVisitor
from tests.studio.processes import StudioProcess

expect.set_options(timeout=TIMEOUT)
ROOT = Path(__file__).parents[2]
WORD = "Donaudampfschifffahrtsgesellschaftskapitaen" * 3
PAGES = {
    "models": "/",
    "form": "/models/kling-3-pro-image2video?example=0",
    "form-avatar": "/models/kling-v2-pro-avatar",
    "form-elements": "/models/kling-o1?example=0",
    "jobs": "/jobs",
    "no-jobs": "/jobs?text=nothing+like+this",
    "uncertain": "/jobs?state=uncertain",
    "job": "{job}",
    "compare": "/compare",
    "comparison": "/compare?ids={id}",
    "usage": "/usage",
    "platform": "/platform",
    "unknown-model": "/models/nonsense",
    "unknown-job": "/jobs/nonsense",
}


@pytest.fixture(scope="module")
def job(studio: StudioProcess, specs: Path, browser: Any, cookies: Any) -> str:
    """The address of a finished job whose prompt has very long words, beside specs that are valid and not."""
    text = (ROOT / "tests/golden/core/specs/full-1.5.yaml").read_text("utf-8")
    (specs / "full-1.5.yaml").write_text(text, "utf-8")
    (specs / "broken.yaml").write_text(f"slug: broken\ntitle: {WORD}\n", "utf-8")
    visitor = Visitor(browser, studio.base_url, storage_state=cookies)
    page = visitor.page
    page.goto("/models/kling-2")
    page.locator("#prompt").fill(f"{WORD} and more words after it. " * 4)
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile("/jobs/[a-z0-9]+$"))
    expect(page.locator(".badge")).to_have_text("Done")
    address = page.url.removeprefix(studio.base_url)
    page.goto("/platform")
    expect(page.locator("#specs")).to_contain_text("full-1.5.yaml", timeout=60_000)
    visitor.close()
    return address


@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole_and_accessible(name: str, open_visitor: OpenVisitor, cookies: Any, job: str) -> None:
    visitor = open_visitor(storage_state=cookies)
    page = visitor.page
    page.goto(PAGES[name].format(job=job, id=job.rpartition("/")[2]))
    if name.startswith("unknown"):
        visitor.complaints.clear()  # the browser notes the 404
    for details in page.locator("details").all():
        details.evaluate("details => { details.open = true; }")
    assert find_cut(page) == []
    assert find_violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert find_violations(page, "color-contrast") == []
    page.set_viewport_size(NARROW)
    assert find_cut(page) == []
    assert find_violations(page, "target-size", "scrollable-region-focusable") == []


def test_messages_are_whole_and_accessible(open_visitor: OpenVisitor, cookies: Any) -> None:
    page = open_visitor(storage_state=cookies, viewport=NARROW).page
    page.goto("/models/kling-3-pro-image2video")
    for add in page.locator("[data-add]").all():
        if add.is_visible():
            add.click()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".problem p").first).to_be_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert find_violations(page) == []
    assert find_cut(page) == []


def test_checks_find_what_is_wrong(open_visitor: OpenVisitor) -> None:
    visitor = open_visitor()
    page = visitor.page
    page.set_content(
        "<main style='background:#fff'><p style='color:#ddd'>pale</p><img src=''><b style='margin-left:3000px'>far</b>"
        "<p style='width:40px;overflow:hidden;white-space:nowrap'>cut off in the middle</p></main>"
    )
    assert {text.partition(":")[0] for text in find_violations(page)} >= {"color-contrast", "image-alt"}
    cut = " ".join(find_cut(page))
    assert "far" in cut
    assert "cut off in" in cut
    page.evaluate(
        "() => { console.error('wrong'); return fetch('http://example.com/away').catch(() => null); }"
    )
    assert any("wrong" in text for text in visitor.complaints)
    assert any("example.com/away" in text for text in visitor.complaints)
    visitor.complaints.clear()
