"""Access to the studio: keys, links, hosts and origins, and what pages may load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kling_serve.access import POLICY
from kling_serve.app import make_app
from starlette.testclient import TestClient

from tests.serve.conftest import (
    HOST,
    OpenStudio,
    finish_job,
    get_parts,
    make_settings,
    open_browser,
    run_job,
    sign_in,
)

KEY = "SG_0123456789abcdef"
PAGES = ("/", "/models/kling-3-pro-image2video", "/jobs", "/compare", "/usage", "/platform")


def test_without_cookie_nothing_is_shown(tmp_path: Path) -> None:
    app = make_app(make_settings(tmp_path))
    with open_browser(app) as stranger:
        for path in (*PAGES, "/events?view=rows", "/uploads/0", "/nothing"):
            response = stranger.get(path)
            assert response.status_code == 401, path
            assert "Kling 2" not in response.text
        assert stranger.post("/models/kling-2/run", data={"prompt": "a fox"}).status_code == 401


def test_link_works_once(browser: TestClient) -> None:
    link = f"/enter?code={get_parts(browser).links.create()}"
    assert browser.get(link, follow_redirects=False).status_code == 303
    assert browser.get(link).status_code == 401


def test_link_of_page_signs_second_browser_in(browser: TestClient) -> None:
    page = browser.post("/links").text
    link = re.search(r"http://\S+/enter\?code=[\w-]+", page)
    assert link is not None
    second = open_browser(browser.app, browser)  # type: ignore[arg-type]
    assert second.get("/jobs").status_code == 401
    assert second.get(link[0]).status_code == 200
    assert second.get("/jobs").status_code == 200


def test_cookie_is_valid_after_restart(tmp_path: Path) -> None:
    with open_browser(make_app(make_settings(tmp_path))) as first:
        cookies = dict(sign_in(first).cookies)
    with open_browser(make_app(make_settings(tmp_path))) as second:
        second.cookies.update(cookies)
        assert second.get("/jobs").status_code == 200
    for name in ("session", "token"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0


def test_program_uses_token(tmp_path: Path) -> None:
    app = make_app(make_settings(tmp_path))
    with open_browser(app) as program:
        token = app.state.token
        assert program.get("/jobs", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert program.get("/jobs", headers={"Authorization": f"Bearer {token}x"}).status_code == 401
        assert program.get("/jobs", headers={"Authorization": "Bearer"}).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8421", "10.0.0.1:8421", "", "a b", "[::2]:80"]
)
def test_other_host_is_refused(browser: TestClient, host: str) -> None:
    response = browser.get("/jobs", headers={"Host": host})
    assert response.status_code == 421


@pytest.mark.parametrize("host", ["localhost:8421", "127.0.0.1:8421", "[::1]:8421", "studio.lan:8421"])
def test_names_of_machine_are_accepted(open_studio: OpenStudio, host: str) -> None:
    browser = open_studio(allowed_hosts=("Studio.lan",))
    browser.headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    assert browser.get("/static/base.css", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://{HOST}", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:8422"},
    ],
)
def test_page_of_other_origin_cannot_submit(browser: TestClient, headers: dict[str, str]) -> None:
    for path in ("/models/kling-2/run", "/uploads", "/jobs/resume", "/links", "/compare"):
        assert browser.post(path, data={"prompt": "a fox"}, headers=headers).status_code == 403
    assert not get_parts(browser).jobs.watch.jobs


def test_pages_load_nothing_from_elsewhere_and_run_nothing_inline(browser: TestClient) -> None:
    job_id = run_job(browser, "kling-2", prompt="a fox")
    finish_job(browser, job_id)
    for path in (*PAGES, f"/jobs/{job_id}", "/compare?ids=" + job_id, "/models/nothing"):
        response = browser.get(path)
        assert response.headers["Content-Security-Policy"] == POLICY
        assert "'unsafe" not in POLICY
        page = response.text
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", page), path
        loaded = re.findall(r"<(?:script|link|img|video|audio|source)[^>]*?\s(?:src|href)=\"([^\"]*)", page)
        assert loaded
        assert all(address.startswith("/") for address in loaded)


def test_key_of_account_is_in_no_page(open_studio: OpenStudio, tmp_path: Path) -> None:
    browser = open_studio(api_key=KEY, uses_account=True, base_url="http://127.0.0.1:9")
    for path in (*PAGES, "/models/kling-2?example=1"):
        assert KEY not in browser.get(path).text
    checked = browser.post("/models/kling-2/check", data={"prompt": "a fox", "-gateway": "account"}).text
    assert "base_url=&#34;http://127.0.0.1:9&#34;,\n) as kling" in checked
    assert KEY not in checked
    stored = [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert not stored
