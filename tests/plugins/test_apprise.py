"""Notifications through Apprise, to a real mail server and a real HTTP server."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import kling_apprise
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from kling_apprise import Apprise
from kling_apprise.text import as_text
from kling_sandbox import BLOCKED_TEXT, Sandbox

from kling_adapters import (
    Artifact,
    AsyncKling,
    Completed,
    ConfigError,
    Event,
    Expired,
    Failed,
    JobFailed,
    Kling,
    Metrics,
    ResultData,
    StateChanged,
    Stored,
    StoredFile,
    SubmitFailed,
    Submitted,
)
from kling_adapters.testing import SimulatedClock

README = Path(kling_apprise.__file__).parents[1].joinpath("README.md").read_text("utf-8")

EVENTS: dict[str, Event] = {
    "submit_failed": SubmitFailed("kling-2", "the gateway answered 401", uncertain=False),
    "submitted": Submitted("r1", "kling-2", {"prompt": "a secret prompt"}, 0.5),
    "state_changed": StateChanged("r1", "kling-2", "PROCESSING"),
    "completed": Completed(
        "r1",
        "kling-2",
        ResultData(
            "r1", "kling-2", None, (Artifact("https://e.com/1.mp4", "video"),), Metrics(cost=30.0), {}
        ),
        3,
    ),
    "failed": Failed("r1", None, "blocked", 3),
    "expired": Expired("r1", "kling-2", 3),
    "stored": Stored("r1", "kling-2", (StoredFile("s3://b/1.mp4", 9, "ab", "video/mp4", "https://l"),), 2.0),
}


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("KLING_APPRISE", "KLING_WEBHOOK"))]:
        monkeypatch.delenv(name)


class Hook:
    """An HTTP server that keeps what Apprise's json:// posts, and answers `status` once `go` is set."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.status = 200
        self.go = threading.Event()
        self.go.set()
        self.host = ""

    @property
    def titles(self) -> list[str]:
        return [each["title"] for each in self.got]


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.go.wait(30)
            made.paths.append(self.path)
            made.got.append(json.loads(body))
            self.send_response(made.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        made.host = f"127.0.0.1:{server.server_port}"
        yield made
        server.shutdown()
        thread.join()


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[tuple[list[str], bytes]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.mails.append((envelope.rcpt_tos, envelope.content))
        return "250 OK"


def test_a_job_is_told_by_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(mailbox, hostname="127.0.0.1", port=port)
    server.start()
    url = f"mailto://127.0.0.1:{port}/renders@example.com?from=kling@example.com&mode=insecure"
    monkeypatch.setenv("KLING_APPRISE_URLS", url)
    try:
        with (
            Sandbox() as sandbox,
            Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, clock=SimulatedClock()) as kling,
        ):
            result = kling.run("kling-2", prompt="nobody is to read <b>this</b>")
    finally:
        server.stop()
    [(to, content)] = mailbox.mails
    mail = message_from_bytes(content, policy=policy.default)
    assert to == ["renders@example.com"]
    assert mail["subject"] == "kling-2: completed"
    text = mail.get_body(("plain", "html"))
    assert text is not None
    words = text.get_content()
    assert result.request_id in words
    assert f"Cost: {result.metrics.cost:g} credits" in words
    assert str(result.output) in words
    assert b"nobody is to read" not in content
    assert sandbox.api_key.encode() not in content


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_a_job_that_fails_is_told(kind: type[Kling | AsyncKling], hook: Hook) -> None:
    async def main(sandbox: Sandbox) -> None:
        plugin = Apprise([f"json://{hook.host}/hook"])
        about: dict[str, Any] = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
        client = kind(**about, clock=SimulatedClock(), plugins=[plugin])
        if isinstance(client, Kling):
            with client:
                client.run("kling-2", prompt=BLOCKED_TEXT)
        else:
            async with client:
                await client.run("kling-2", prompt=BLOCKED_TEXT)

    with Sandbox() as sandbox, pytest.raises(JobFailed) as caught:
        anyio.run(main, sandbox)
    [told] = hook.got
    assert (told["title"], told["type"]) == ("kling-2: failed", "failure")
    assert caught.value.request_id in told["message"]
    assert "A failed job is not billed" in told["message"]


def tell(plugin: Apprise, *events: Event) -> None:
    for event in events:
        plugin.kling_event(event)
    plugin.kling_close()


def test_what_is_told_unless_asked_otherwise(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"json://{hook.host}/"
    uncertain = SubmitFailed("kling-2", "no answer", uncertain=True)
    tell(Apprise([url]), *EVENTS.values(), uncertain)
    assert [(each["title"], each["type"]) for each in hook.got] == [
        ("kling-2: the submit failed", "failure"),
        ("kling-2: completed", "success"),
        ("job: failed", "failure"),
        ("kling-2: expired", "warning"),
        ("kling-2: a job may be running", "warning"),
    ]
    bodies = [each["message"] for each in hook.got]
    assert bodies[0] == "No job was started.\nthe gateway answered 401"
    assert bodies[1] == "Request id: r1\nCost: 30 credits\nOutput, for seven days: https://e.com/1.mp4"
    assert bodies[2] == (
        "Request id: r1\nReason: blocked\nA failed job is not billed. Change the input and submit again."
    )
    assert "If it completed, it was billed" in bodies[3]
    assert bodies[4] == "It may be billed.\nno answer"

    hook.got.clear()
    monkeypatch.setenv("KLING_APPRISE_EVENTS", "stored, submitted state_changed")
    tell(Apprise([url]), *EVENTS.values())
    assert hook.titles == ["kling-2: submitted", "kling-2: processing", "kling-2: stored"]
    assert hook.got[2]["message"] == "Request id: r1\nFile: s3://b/1.mp4\nLink: https://l"
    assert "secret prompt" not in str(hook.got)

    hook.got.clear()
    tell(Apprise([url], events=["expired"]), *EVENTS.values())
    assert hook.titles == ["kling-2: expired"]
    with pytest.raises(ConfigError, match=r"no event finished; there is: submit_failed, submitted"):
        Apprise([url], events=["finished"])


def test_words_of_the_gateway_are_plain_text() -> None:
    words = "@everyone <!channel> [win](https://evil.example) `x` *b*\nCost: 0\u202e credits\x1b[0m"
    for event in (
        Failed("r\n<@U1>", "m@n", words, 3),
        SubmitFailed("kling-2", words, uncertain=True),
        SubmitFailed("kling-2", words, uncertain=False),
        StateChanged("r1", "kling-2", words),
    ):
        text = as_text(event)
        shown = text.title + "\n" + text.body
        assert not set("<>[]`*\u202e\x1b") & set(shown)
        assert "@everyone" not in shown.casefold()
        assert "\nCost: 0" not in shown
    assert len(as_text(Failed("r1", None, "x" * 5000, 3)).body) < 1200


def test_url_of_the_gateway_carries_no_markup() -> None:
    artifact = Artifact("https://e.com/1.mp4?a=b&c=%20> <https://evil.example|x> @here", "video")
    data = ResultData("r1", "kling-2", None, (artifact,), Metrics(cost=3.0), {})
    body = as_text(Completed("r1", "kling-2", data, 3)).body
    assert "https://e.com/1.mp4?a=b&c=%20%3E%20%3Chttps://evil.example%7Cx%3E%20%40here" in body


def test_the_events_of_the_readme_are_those_there_are() -> None:
    [row] = re.findall(r"^\| `KLING_APPRISE_EVENTS`.*$", README, re.MULTILINE)
    assert re.findall(r"`(\w+)`", row)[2:] == list(EVENTS)


def test_without_urls_nothing_happens_and_apprise_is_not_imported() -> None:
    code = "import sys, kling_apprise; kling_apprise.Apprise(); sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
    tell(Apprise([]), *EVENTS.values())


def test_urls_come_from_a_file(hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("urls").write_text(f"json://{hook.host}/a\njson://{hook.host}/b\n")
    monkeypatch.setenv("KLING_APPRISE_URLS_FILE", str(tmp_path / "urls"))
    tell(Apprise(), EVENTS["expired"])
    assert hook.paths == ["/a", "/b"]
    monkeypatch.setenv("KLING_APPRISE_URLS_FILE", str(tmp_path / "tok3n"))
    with pytest.raises(ConfigError, match="URLS_FILE cannot be read: FileNotFoundError") as caught:
        Apprise()
    assert "tok3n" not in str(caught.value)


def test_a_job_does_not_wait(hook: Hook) -> None:
    hook.go.clear()
    plugin = Apprise([f"json://{hook.host}/"])
    start = time.monotonic()
    for _ in range(3):
        plugin.kling_event(EVENTS["expired"])
    assert time.monotonic() - start < 1
    assert hook.got == []
    hook.go.set()
    plugin.kling_close()
    assert len(hook.got) == 3


def test_closing_does_not_wait_for_ever(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("kling_apprise.plugin.CLOSE_SECONDS", 0.1)
    hook.go.clear()
    plugin = Apprise([f"json://{hook.host}/"])
    for _ in range(3):
        plugin.kling_event(EVENTS["expired"])
    plugin.kling_close()
    assert "3 notifications were not sent: the client was closed" in caplog.text
    # What was under way may still arrive; nothing follows it.
    hook.go.set()
    plugin.kling_close()
    assert len(hook.got) <= 1


UNCLOSED = """
import sys
from kling_adapters import Expired
from kling_apprise import Apprise
from kling_apprise.text import as_text
Apprise([sys.argv[1]]).kling_event(Expired("r1", "kling-2", 1))
"""


def test_a_process_that_never_closes_still_tells(hook: Hook) -> None:
    url = f"json://{hook.host}/"
    done = subprocess.run([sys.executable, "-c", UNCLOSED, url], timeout=60, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert hook.titles == ["kling-2: expired"]


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("nosuch://tok3nuser:tok3npass@tok3nhost", "URL 2 (nosuch://…)"),
        ("slack://tok3n", "URL 2 (slack://…)"),
        ("tok3n-without-anything", "URL 2 (without a scheme)"),
        ("!tok3n://x", "URL 2 (without a scheme)"),
    ],
)
def test_a_url_that_apprise_does_not_understand(
    url: str, named: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    with pytest.raises(ConfigError, match=re.escape(named)) as caught:
        Apprise(["json://127.0.0.1/", url])
    assert "tok3n" not in str(caught.value) + caplog.text
    monkeypatch.setenv("KLING_APPRISE_URLS", f"json://127.0.0.1/ {url}")
    with Kling() as kling:
        [info] = [info for info in kling.plugins if info.name == "apprise"]
    assert info.state == "broken"
    assert named in info.reason
    assert "tok3n" not in info.reason + caplog.text


def test_a_failure_is_logged_and_secrets_are_nowhere(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        down = f"127.0.0.1:{free.getsockname()[1]}"
    urls = [
        f"json://tok3nuser:hunter2pass@{hook.host}/tok3n-path?+X-Token=tok3n-header",
        f"json://{hook.host}?-key=tok3n-query",
        f"json://user:hunter2%2Fpass@{down}/tok3n-path",
        f"mailto://user:hunter2pass@{down}/a@example.com?from=b@example.com&mode=insecure",
    ]
    hook.status = 500
    plugin = Apprise(urls)
    tell(plugin, EVENTS["failed"])
    hook.status = 200
    tell(plugin, EVENTS["expired"])
    assert hook.paths[0].startswith("/tok3n-path")
    assert f"URL 1 (json://****@{hook.host}/…) could not be told 'job: failed'" in caplog.text
    assert "error=500" in caplog.text  # Apprise's own reason, which has no secret
    assert f"URL 1 (json://****@{hook.host}/…) was told: kling-2: expired" in caplog.text
    for number in (3, 4):
        assert re.search(rf"WARNING .*URL {number} .* could not be told 'kling-2: expired'", caplog.text)
    for secret in ("hunter2", "tok3n", "aHVudGVyMnBhc3M"):
        assert secret not in caplog.text + repr(plugin)


def test_a_service_that_tells_its_url_is_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    import apprise

    Apprise(["json://127.0.0.1/"])  # has Apprise load its modules, one of which warns
    caplog.set_level(1)
    said: list[str] = []

    def leak(body: str, title: str, *_: Any, **__: Any) -> bool:
        said.append(title)
        for url in ("leaky://user:hunter2@host/", "Tok3n/x", "nothing of it"):
            apprise.logger.warning("no way to %s", url)
        if "expired" in title:
            raise ValueError("leaky://user:hunter2@host/tok3n%2Fx")
        return False

    untyped: Any = apprise
    untyped.decorators.notify(on="leaky")(leak)
    try:
        tell(Apprise(["leaky://user:hunter2@host/tok3n%2Fx"]), EVENTS["failed"], EVENTS["expired"])
    finally:
        untyped.manager_plugins.NotificationManager().remove("leaky")
    assert said == ["job: failed", "kling-2: expired"]
    assert caplog.text.count("could not be told") == 2
    assert "no way to nothing of it" in caplog.text
    assert "hunter2" not in caplog.text
    assert "tok3n" not in caplog.text.casefold()


def test_what_others_have_apprise_log_is_left_alone(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    import apprise

    tell(Apprise([f"json://{hook.host}/"]), EVENTS["expired"])
    with caplog.at_level(logging.WARNING, "apprise"):
        assert apprise.Apprise.instantiate("nosuch://host") is None
    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == ["apprise"]


def test_the_example_of_the_readme_runs(hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    with Sandbox() as sandbox:
        about = f"Kling(base_url={sandbox.base_url!r}, api_key={sandbox.api_key!r}, plugins"
        exec(code.replace("Kling(plugins", about), {"url": f"json://{hook.host}/"})
    assert hook.titles == ["kling-2: stored"]
    assert "File: file://" in hook.got[0]["message"]
