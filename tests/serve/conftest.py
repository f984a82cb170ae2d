"""A studio with a sandbox, and browsers and programs that use it through its HTTP interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from kling_sandbox import Sandbox
from kling_serve.app import make_app
from kling_serve.settings import Settings
from kling_serve.studio import Studio
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.support import serving

OpenStudio: TypeAlias = Callable[..., TestClient]
HOST = "127.0.0.1:8421"


def make_settings(folder: Path, **options: Any) -> Settings:
    return Settings(
        folder=folder, journal=folder / "account.sqlite3", **{"sandbox_timing": "at-once", **options}
    )


def open_browser(app: Starlette, studio: TestClient | None = None) -> TestClient:
    """Return a browser; one beside the first of a studio shares its event loop."""
    browser = TestClient(app, base_url=f"http://{HOST}")
    browser.portal = None if studio is None else studio.portal
    return browser


def sign_in(browser: TestClient) -> TestClient:
    """Follow a link of the studio."""
    response = browser.get(f"/enter?code={get_parts(browser).links.create()}")
    assert response.status_code == 200, response.text
    return browser


def get_parts(browser: TestClient) -> Studio:
    app: Any = browser.app
    parts: Studio = app.state.studio
    return parts


@pytest.fixture
def open_studio(tmp_path: Path) -> Iterator[OpenStudio]:
    """Start a studio on the folder of the test, and return a browser that is signed in."""
    with ExitStack() as stack:

        def start(**options: Any) -> TestClient:
            app = make_app(make_settings(tmp_path, **options))
            return sign_in(stack.enter_context(open_browser(app)))

        yield start


@pytest.fixture
def browser(open_studio: OpenStudio) -> TestClient:
    return open_studio()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A browser of a studio that all tests of a module share, because they run no job."""
    app = make_app(make_settings(tmp_path_factory.mktemp("studio")))
    with open_browser(app) as browser:
        yield sign_in(browser)


class FormReader(HTMLParser):
    """Reads what a browser would send for the form of a page, without the templates of list items."""

    def __init__(self) -> None:
        super().__init__()
        self.controls: list[tuple[str, str]] = []
        self._templates = 0
        self._area: str | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self._templates += tag == "template"
        if self._templates:
            return
        name, kind = values.get("name") or "", values.get("type")
        if tag == "textarea":
            self._area = name
            self.controls.append((name, ""))
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in values:
            self.controls.append((self._select, values.get("value") or ""))
        elif tag == "input" and name and (kind not in ("radio", "checkbox") or "checked" in values):
            self.controls.append((name, values.get("value") or ""))

    def handle_endtag(self, tag: str) -> None:
        self._templates -= tag == "template"
        if tag == "textarea":
            self._area = None
        if tag == "select":
            self._select = None

    def handle_data(self, data: str) -> None:
        if self._area is not None and not self._templates:
            name, text = self.controls[-1]
            self.controls[-1] = (name, text + data)


def read_form(page: str) -> list[tuple[str, str]]:
    """Return the names and values of the controls of a page, in their order."""
    reader = FormReader()
    reader.feed(page)
    return reader.controls


def run_job(browser: TestClient, slug: str, **values: str) -> str:
    """Run a model, whatever it costs, and return the id of the job."""
    response = browser.post(f"/models/{slug}/run", data={"-confirmed": "unknown", **values})
    assert response.status_code == 204, response.text
    return response.headers["HX-Redirect"].removeprefix("/jobs/")


def finish_job(browser: TestClient, job_id: str, state: str = "Done") -> str:
    """Wait until the page of a job shows a state, and return the page."""
    assert browser.portal is not None
    browser.portal.call(get_parts(browser).jobs.wait, job_id, 60.0)
    page = browser.get(f"/jobs/{job_id}").text
    assert state in page, page
    return page


@pytest.fixture(scope="module")
def gateway() -> Iterator[Sandbox]:
    """A gateway for the tests of a module that use the OpenAI interface."""
    with Sandbox(timing="polls:1", credits=1e6) as running:
        yield running


@pytest.fixture(scope="module")
def served(gateway: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.ServedApp]:
    with serving.serve_app(serving.make_settings(gateway, tmp_path_factory.mktemp("studio"))) as running:
        yield running


@pytest.fixture
def client(served: serving.ServedApp) -> Iterator[Any]:
    import openai  # takes a second, and most tests need none

    with openai.OpenAI(base_url=f"{served.base_url}/v1", api_key=serving.ALICE) as client:
        yield client
