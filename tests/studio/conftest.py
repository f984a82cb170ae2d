"""A studio with a sandbox in a process of its own, and a browser for each module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.studio.browsing import Visitor, open_browser
from tests.studio.processes import StudioProcess

OpenVisitor = Callable[..., Visitor]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium; not for the whole session, because its event loop would disturb tests of others."""
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of specs that the studio looks at."""
    return tmp_path_factory.mktemp("specs")


@pytest.fixture(scope="module")
def studio(
    browser: Browser, specs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StudioProcess]:
    """A studio with a sandbox whose jobs end after a second or two."""
    folder = tmp_path_factory.mktemp("data") / "studio"
    with StudioProcess(folder, "--timing", "latency:0.005", "--specs", str(specs)) as process:
        yield process


@pytest.fixture(scope="module")
def cookies(browser: Browser, studio: StudioProcess) -> Any:
    """The cookies of the browser that opened the printed link."""
    visitor = Visitor(browser, studio.base_url)
    visitor.page.goto(studio.link)
    state = visitor.context.storage_state()
    visitor.close()
    return state


@pytest.fixture
def open_visitor(browser: Browser, studio: StudioProcess) -> Iterator[OpenVisitor]:
    """Return a function that opens a browser with options of its own; none may complain about a page."""
    visitors: list[Visitor] = []

    def open_visitor(**options: Any) -> Visitor:
        visitors.append(Visitor(browser, studio.base_url, **options))
        return visitors[-1]

    yield open_visitor
    complaints = [complaint for visitor in visitors for complaint in visitor.complaints]
    for visitor in visitors:
        visitor.close()
    assert not complaints


@pytest.fixture
def page(open_visitor: OpenVisitor, cookies: Any) -> Page:
    """A page of a browser that is signed in."""
    return open_visitor(storage_state=cookies).page
