"""A real Chromium, and pages that must not complain or leave this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    ViewportSize,
    sync_playwright,
)

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE = ViewportSize(width=1280, height=800)
NARROW = ViewportSize(width=390, height=844)
TIMEOUT = 90_000.0
"""Milliseconds for an action or an expectation, also on a machine with many other tests."""

# Elements that leave the window, and texts that their box cuts off. What scrolls by itself, is for screen readers
# only, or ends in dots on purpose, is not cut off.
FIND_CUT = """() => {
  const width = document.documentElement.clientWidth, cut = [];
  const name = (one) => `${one.tagName.toLowerCase()}#${one.id}.${one.getAttribute("class")}: ${one.textContent.trim().slice(0, 40)}`;
  if (document.documentElement.scrollWidth > width) cut.push(`the page scrolls to ${document.documentElement.scrollWidth}`);
  for (const one of document.querySelectorAll("body *")) {
    const box = one.getBoundingClientRect(), style = getComputedStyle(one);
    if (!box.width || !box.height || style.visibility === "hidden" || one.closest(".hidden, .skip, svg, option")) continue;
    let scrolls = false;
    for (let around = one.parentElement; around; around = around.parentElement) {
      scrolls ||= ["auto", "scroll"].includes(getComputedStyle(around).overflowX);
    }
    if (!scrolls && (box.right > width + 1 || box.left < -1)) cut.push(`${name(one)} is at ${box.left} to ${box.right}`);
    const clips = style.overflowX === "hidden" || style.overflowX === "clip";
    const dots = style.textOverflow === "ellipsis" || style.webkitLineClamp !== "none";
    if (clips && !dots && one.scrollWidth > one.clientWidth + 1) cut.push(`${name(one)} is cut off`);
  }
  for (const text of document.querySelectorAll("svg text")) {
    const box = text.getBoundingClientRect(), around = text.ownerSVGElement.getBoundingClientRect();
    if (box.right > around.right + 1 || box.left < around.left - 1) cut.push(`${name(text)} leaves its picture`);
  }
  return cut;
}"""


def find_chromium() -> str | None:
    """Return the path of a Chromium of this machine."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a Chromium. Skip the test without one; in CI, fail it, because nothing else tries the pages."""
    path = find_chromium()
    if path is None:
        reason = f"no Chromium: none of {', '.join(NAMES)} is installed"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(reason)
        pytest.skip(reason)
    # Every name of another machine is unknown, so not even the browser itself can send anything away.
    arguments = [
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        "--mute-audio",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """A browser with cookies of its own, which notes every complaint of a page and every request.

    Attributes:
        page: Its first page.
        complaints: What pages wrote to the console as an error or a warning, and requests to elsewhere.

    """

    def __init__(self, browser: Browser, base_url: str, **options: Any) -> None:
        self.base_url = base_url
        self.complaints: list[str] = []
        options = {"viewport": WIDE, "reduced_motion": "reduce", **options}
        self.context: BrowserContext = browser.new_context(base_url=base_url, **options)
        self.context.set_default_timeout(TIMEOUT)
        self.context.on("console", self._note_message)
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.context.on("request", self._note_request)
        self.page: Page = self.context.new_page()

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.page and message.page.url}: {message.text}")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.base_url}/", "blob:", "data:")):
            self.complaints.append(f"a request to {request.url}")

    def close(self) -> None:
        """Close it."""
        self.context.close()


def find_violations(page: Page, *rules: str) -> list[str]:
    """Return the serious and critical violations that axe finds on a page, by all rules or some."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": list(rules)}
    response = Axe().run(page, options=options).response
    return [
        f"{violation['id']}: {node['target']} {node['html']} {node['failureSummary']}"
        for violation in response["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]


def find_cut(page: Page) -> list[str]:
    """Return what leaves the window of a page, or is cut off in it."""
    cut: list[str] = page.evaluate(FIND_CUT)
    return cut
