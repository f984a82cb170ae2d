"""Hostile requests, texts, files and links, against a real process and in a real browser."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.studio.browsing import TIMEOUT, Visitor
from tests.studio.processes import StudioProcess
from tests.support.scripted_server import KEY, Reply, Request, ScriptedServer

expect.set_options(timeout=TIMEOUT)
MARKUP = '"\'><img src=x onerror="window.owned=1"><script>window.owned=1</script>{{7*7}}'
SPEC = """\
slug: hostile-9
title: {markup}
summary: {sentence}
returns: image
latency_seconds: null
source: {{page: https://example.com/models/plain, document: plain.txt, read: 2026-01-31}}
input:
  required: [prompt]
  properties:
    prompt: {{type: string, description: {markup}}}
    style: {{type: string, enum: [{markup}, plain], description: {markup}}}
examples:
  - name: {markup}
    input: {{prompt: {markup}}}
"""


def send_raw(studio: StudioProcess, request: str) -> str:
    """Return the head of the response to bytes that no HTTP library sends."""
    port = int(studio.base_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request.encode("latin-1"))
        received = b""
        while b"\r\n\r\n" not in received and (chunk := connection.recv(65536)):
            received += chunk
    return received.decode("latin-1")


@pytest.mark.parametrize(
    "path",
    [
        "/uploads/../token",
        "/uploads/..%2ftoken",
        "/uploads/%2e%2e%2ftoken",
        "/uploads/%00",
        "/static/../settings.py",
        "/static/%2e%2e/settings.py",
        "/static/..%2fsettings.py",
        "/static//etc/passwd",
        "/static/%00",
        "/static/",
        "/jobs/..%2f..%2ftoken/files/0",
        "/jobs/x/files/-1",
        "/jobs/x/files/99999999999999999999",
        "/models/%00",
        "/models/..%2ftoken",
        "/jobs/%ff%fe",
    ],
)
def test_paths_lead_to_nothing(path: str, studio: StudioProcess) -> None:
    head = send_raw(
        studio, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {studio.token}\r\n\r\n"
    )
    assert re.match(r"HTTP/1\.1 (307|404|405) ", head), head
    assert re.search("content-security-policy: default-src 'none'", head, re.IGNORECASE)


@pytest.mark.parametrize(
    "headers",
    [
        "Host: evil.example",
        "Host: 127.0.0.1.evil.example",
        "Host: localhost.evil.example",
        "Host: 127.0.0.1@evil.example",
        "Host: 0.0.0.0",
        "Host: 2130706433",
        "Host:",
        "Host: 127.0.0.1\r\nHost: evil.example",
    ],
)
def test_rebound_names_are_refused(headers: str, studio: StudioProcess) -> None:
    head = send_raw(studio, f"GET /static/form.js HTTP/1.1\r\n{headers}\r\n\r\n")
    assert re.match(r"HTTP/1\.1 4(21|00) ", head), head


def test_secrets_and_uploads_are_of_this_user(studio: StudioProcess) -> None:
    assert studio.folder.stat().st_mode & 0o077 == 0
    for name in ("token", "session"):
        assert (studio.folder / name).stat().st_mode & 0o077 == 0


def test_cookie_is_kept_from_scripts_and_other_sites(
    browser: Browser, studio: StudioProcess, page: Page
) -> None:
    page.goto("/")
    [cookie] = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] in {"Strict", "Lax"}
    assert page.evaluate("document.cookie") == ""


def test_page_of_other_site_reaches_nothing(
    open_visitor: Callable[..., Visitor], studio: StudioProcess, page: Page
) -> None:
    """Another port is another origin of the same site, so its cookies are sent: only the checks protect."""
    page.goto("/")
    state = page.context.storage_state()
    body = f"""<form action="{studio.base_url}/links" method="post"><button>send</button></form>""".encode()
    with ScriptedServer(lambda _: Reply(body=body, headers={"content-type": "text/html"})) as site:
        visitor = open_visitor(storage_state=state)
        visitor.page.goto(site.url)
        fetched = visitor.page.evaluate(
            "url => fetch(url, {credentials: 'include', mode: 'no-cors'}).then((r) => r.text(), (e) => 'refused')",
            f"{studio.base_url}/jobs",
        )
        assert fetched in {"", "refused"}
        with visitor.page.expect_navigation() as navigation:
            visitor.page.get_by_role("button").click()
        assert navigation.value.status == 403
        visitor.complaints.clear()


def test_link_from_other_site_signs_in(
    open_visitor: Callable[..., Visitor], studio: StudioProcess, page: Page
) -> None:
    """A link in a terminal in the browser, or in a notebook, is one from another site."""
    page.goto("/")
    page.get_by_role("button", name="Open elsewhere").click()
    link = page.locator("#link").inner_text()
    body = f'<a href="{link}">open</a>'.encode()
    with ScriptedServer(lambda _: Reply(body=body, headers={"content-type": "text/html"})) as site:
        visitor = open_visitor()
        visitor.page.goto(site.url.replace("127.0.0.1", "localhost"))
        visitor.page.get_by_role("link").click()
        expect(visitor.page.get_by_role("heading", name="Models", exact=True)).to_be_visible()
        visitor.complaints.clear()


def test_markup_stays_text(page: Page, specs: Path, studio: StudioProcess) -> None:
    (specs / "hostile-9.yaml").write_text(
        SPEC.format(markup=json.dumps(MARKUP), sentence=json.dumps(f"{MARKUP}.")), "utf-8"
    )
    (specs / "<img src=x onerror=alert(1)>.yaml").write_text(f"{json.dumps(MARKUP)}: 1\n", "utf-8")
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.goto("/models/kling-2")
    page.locator("#prompt").fill(MARKUP)
    page.locator("#cfg_scale").fill(MARKUP)
    expect(page.locator("#problem-cfg_scale p").first).to_be_visible()
    expect(page.locator("#problem-cfg_scale")).to_contain_text("<script>")
    page.locator("#cfg_scale").fill("0.5")
    page.locator("#start_image").fill("")
    name = "<img src=x onerror=alert(1)>.png"
    page.locator("[data-drop=image] [data-file]").set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": page.screenshot()}
    )
    expect(page.locator("[data-drop=image] [data-note]")).to_contain_text(name)
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile("/jobs/[a-z0-9]+$"))
    expect(page.locator(".badge")).to_have_text("Done")
    expect(page.locator("dl.params")).to_contain_text(MARKUP)
    job = page.url.rpartition("/")[2]
    page.goto("/platform")
    expect(page.locator("#specs")).to_contain_text("onerror=alert(1)")
    expect(page.locator("#specs a[href='/models/hostile-9']")).to_be_visible()
    addresses = ("/", "/jobs", f"/jobs?text={httpx.QueryParams({'t': MARKUP})['t']}", f"/compare?ids={job}")
    for address in (
        *addresses,
        f"/models/kling-2?from={job}",
        "/models/hostile-9?example=0",
        "/usage",
        "/platform",
    ):
        page.goto(address)
        assert not page.evaluate("'owned' in window")
        assert page.locator("[onerror], main script").count() == 0, address
    for path in specs.iterdir():
        path.unlink()


@pytest.fixture(scope="module")
def hostile(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """A studio whose gateway answers each submit with its key, and with markup."""

    def refuse(_: Request) -> Reply:
        text = f"refused for {KEY} {MARKUP}"
        return Reply(400, json.dumps({"error": text}).encode(), {"content-type": "application/json"})

    folder = tmp_path_factory.mktemp("hostile")
    with ScriptedServer(refuse) as gateway:
        environment = {"KLING_BASE_URL": gateway.url, "SEGMIND_API_KEY": KEY}
        options = ("--journal", str(folder / "journal.sqlite3"))
        with StudioProcess(folder / "studio", *options, environment=environment) as studio:
            visitor = Visitor(browser, studio.base_url)
            visitor.page.goto(studio.link)
            yield visitor
            visitor.close()
    stored = [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert not stored


def test_key_and_markup_of_gateway_are_in_no_page(hostile: Visitor) -> None:
    page = hostile.page
    contents: list[str] = []
    page.goto("/models/kling-2")
    page.locator("#prompt").fill("a fox")
    page.get_by_role("button", name="Run", exact=True).click()
    confirm = page.locator("#confirm button")
    expect(confirm).to_be_visible()
    contents.append(page.content())
    confirm.click()
    page.wait_for_url(re.compile("/jobs/[a-z0-9]+$"))
    expect(page.locator(".badge")).to_have_text("Refused")
    expect(page.get_by_text("refused for", exact=False).first).to_be_visible()
    contents.append(page.content())
    for address in (
        "/",
        "/jobs",
        "/models/kling-2?example=0",
        "/compare",
        "/usage?gateway=account",
        "/platform",
    ):
        page.goto(address)
        contents.append(page.content())
        assert page.locator("[onerror], main script").count() == 0
        assert not page.evaluate("'owned' in window")
    assert not [text for text in contents if KEY in text]
    assert not hostile.complaints
