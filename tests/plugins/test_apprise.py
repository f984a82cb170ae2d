"""kling-apprise: notifications to a real mail server and a real HTTP server."""

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
    ConfigError,
    JobFailed,
    Kling,
    Metrics,
    ResultData,
    StoredFile,
)
from kling_adapters.events import (
    Completed,
    Event,
    Expired,
    Failed,
    StateChanged,
    Stored,
    SubmitFailed,
    Submitted,
)
from kling_adapters.testing import SimulatedClock
from tests.support.scripted_server import Reply, Request, ScriptedServer

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
def _clear_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("KLING_APPRISE", "KLING_WEBHOOK"))]:
        monkeypatch.delenv(name)


class Hook:
    """State of an HTTP server that records json:// posts of Apprise and replies `status` once `go` is set."""

    def __init__(self) -> None:
        self.notifications: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.status = 200
        self.go = threading.Event()
        self.go.set()
        self.host = ""

    @property
    def titles(self) -> list[str]:
        return [notification["title"] for notification in self.notifications]


@pytest.fixture
def hook() -> Iterator[Hook]:
    state = Hook()

    def record(request: Request) -> Reply:
        state.go.wait(30)
        state.paths.append(request.path)
        state.notifications.append(json.loads(request.body))
        return Reply(state.status)

    with ScriptedServer(record) as scripted_server:
        state.host = f"127.0.0.1:{scripted_server.port}"
        yield state


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[tuple[list[str], bytes]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.mails.append((envelope.rcpt_tos, envelope.content))
        return "250 OK"


def test_completed_job_sends_mail(monkeypatch: pytest.MonkeyPatch) -> None:
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
            result = kling.run("kling-2", prompt="a private <b>prompt</b>")
    finally:
        server.stop()
    [(to, content)] = mailbox.mails
    mail = message_from_bytes(content, policy=policy.default)
    assert to == ["renders@example.com"]
    assert mail["subject"] == "kling-2: completed"
    text = mail.get_body(("plain", "html"))
    assert text is not None
    content_text = text.get_content()
    assert result.request_id in content_text
    assert f"Cost: {result.metrics.cost:g} credits" in content_text
    assert str(result.output) in content_text
    assert b"a private" not in content
    assert sandbox.api_key.encode() not in content


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_failed_job_sends_notification(kind: type[Kling | AsyncKling], hook: Hook) -> None:
    async def main(sandbox: Sandbox) -> None:
        plugin = Apprise([f"json://{hook.host}/hook"])
        options: dict[str, Any] = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
        client = kind(**options, clock=SimulatedClock(), plugins=[plugin])
        if isinstance(client, Kling):
            with client:
                client.run("kling-2", prompt=BLOCKED_TEXT)
        else:
            async with client:
                await client.run("kling-2", prompt=BLOCKED_TEXT)

    with Sandbox() as sandbox, pytest.raises(JobFailed) as caught:
        anyio.run(main, sandbox)
    [notification] = hook.notifications
    assert (notification["title"], notification["type"]) == ("kling-2: failed", "failure")
    assert caught.value.request_id in notification["message"]
    assert "A failed job is not billed" in notification["message"]


def send(plugin: Apprise, *events: Event) -> None:
    for event in events:
        plugin.kling_event(event)
    plugin.kling_close()


def test_default_and_selected_events_are_sent(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"json://{hook.host}/"
    uncertain = SubmitFailed("kling-2", "no answer", uncertain=True)
    send(Apprise([url]), *EVENTS.values(), uncertain)
    assert [(notification["title"], notification["type"]) for notification in hook.notifications] == [
        ("kling-2: the submit failed", "failure"),
        ("kling-2: completed", "success"),
        ("job: failed", "failure"),
        ("kling-2: expired", "warning"),
        ("kling-2: a job may be running", "warning"),
    ]
    bodies = [notification["message"] for notification in hook.notifications]
    assert bodies[0] == "No job was started.\nthe gateway answered 401"
    assert bodies[1] == "Request id: r1\nCost: 30 credits\nOutput, for seven days: https://e.com/1.mp4"
    assert bodies[2] == (
        "Request id: r1\nReason: blocked\nA failed job is not billed. Change the input and submit again."
    )
    assert "If it completed, it was billed" in bodies[3]
    assert bodies[4] == "It may be billed.\nno answer"

    hook.notifications.clear()
    monkeypatch.setenv("KLING_APPRISE_EVENTS", "stored, submitted state_changed")
    send(Apprise([url]), *EVENTS.values())
    assert hook.titles == ["kling-2: submitted", "kling-2: processing", "kling-2: stored"]
    assert hook.notifications[2]["message"] == "Request id: r1\nFile: s3://b/1.mp4\nLink: https://l"
    assert "secret prompt" not in str(hook.notifications)

    hook.notifications.clear()
    send(Apprise([url], events=["expired"]), *EVENTS.values())
    assert hook.titles == ["kling-2: expired"]
    with pytest.raises(ConfigError, match=r"unknown event finished; expected: submit_failed, submitted"):
        Apprise([url], events=["finished"])


def test_gateway_text_has_no_markup() -> None:
    gateway_text = "@everyone <!channel> [win](https://evil.example) `x` *b*\nCost: 0\u202e credits\x1b[0m"
    for event in (
        Failed("r\n<@U1>", "m@n", gateway_text, 3),
        SubmitFailed("kling-2", gateway_text, uncertain=True),
        SubmitFailed("kling-2", gateway_text, uncertain=False),
        StateChanged("r1", "kling-2", gateway_text),
    ):
        text = as_text(event)
        output = text.title + "\n" + text.body
        assert not set("<>[]`*\u202e\x1b") & set(output)
        assert "@everyone" not in output.casefold()
        assert "\nCost: 0" not in output
    assert len(as_text(Failed("r1", None, "x" * 5000, 3)).body) < 1200


def test_gateway_url_has_no_markup() -> None:
    artifact = Artifact("https://e.com/1.mp4?a=b&c=%20> <https://evil.example|x> @here", "video")
    data = ResultData("r1", "kling-2", None, (artifact,), Metrics(cost=3.0), {})
    body = as_text(Completed("r1", "kling-2", data, 3)).body
    assert "https://e.com/1.mp4?a=b&c=%20%3E%20%3Chttps://evil.example%7Cx%3E%20%40here" in body


def test_readme_lists_all_events() -> None:
    [row] = re.findall(r"^\| `KLING_APPRISE_EVENTS`.*$", README, re.MULTILINE)
    assert re.findall(r"`(\w+)`", row)[2:] == list(EVENTS)


def test_no_urls_imports_no_apprise() -> None:
    code = "import sys, kling_apprise; kling_apprise.Apprise(); sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
    send(Apprise([]), *EVENTS.values())


def test_urls_come_from_a_file(hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("urls").write_text(f"json://{hook.host}/a\njson://{hook.host}/b\n")
    monkeypatch.setenv("KLING_APPRISE_URLS_FILE", str(tmp_path / "urls"))
    send(Apprise(), EVENTS["expired"])
    assert hook.paths == ["/a", "/b"]
    monkeypatch.setenv("KLING_APPRISE_URLS_FILE", str(tmp_path / "tok3n"))
    with pytest.raises(ConfigError, match="URLS_FILE cannot be read: FileNotFoundError") as caught:
        Apprise()
    assert "tok3n" not in str(caught.value)


def test_job_does_not_wait_for_notifications(hook: Hook) -> None:
    hook.go.clear()
    plugin = Apprise([f"json://{hook.host}/"])
    start = time.monotonic()
    for _ in range(3):
        plugin.kling_event(EVENTS["expired"])
    assert time.monotonic() - start < 1
    assert hook.notifications == []
    hook.go.set()
    plugin.kling_close()
    assert len(hook.notifications) == 3


def test_close_stops_waiting_at_deadline(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("kling_apprise.plugin.CLOSE_SECONDS", 0.1)
    hook.go.clear()
    plugin = Apprise([f"json://{hook.host}/"])
    for _ in range(3):
        plugin.kling_event(EVENTS["expired"])
    plugin.kling_close()
    assert "3 notifications were not sent: the client was closed" in caplog.text
    # The pending request may still arrive, but no later one.
    hook.go.set()
    plugin.kling_close()
    assert len(hook.notifications) <= 1


UNCLOSED = """
import sys
from kling_adapters.events import Expired
from kling_apprise import Apprise
from kling_apprise.text import as_text
Apprise([sys.argv[1]]).kling_event(Expired("r1", "kling-2", 1))
"""


def test_unclosed_process_sends_at_exit(hook: Hook) -> None:
    url = f"json://{hook.host}/"
    done = subprocess.run([sys.executable, "-c", UNCLOSED, url], timeout=60, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert hook.titles == ["kling-2: expired"]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("nosuch://tok3nuser:tok3npass@tok3nhost", "URL 2 (nosuch://…)"),
        ("slack://tok3n", "URL 2 (slack://…)"),
        ("tok3n-without-anything", "URL 2 (without a scheme)"),
        ("!tok3n://x", "URL 2 (without a scheme)"),
    ],
)
def test_unsupported_url_is_config_error(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    with pytest.raises(ConfigError, match=re.escape(name)) as caught:
        Apprise(["json://127.0.0.1/", url])
    assert "tok3n" not in str(caught.value) + caplog.text
    monkeypatch.setenv("KLING_APPRISE_URLS", f"json://127.0.0.1/ {url}")
    with Kling() as kling:
        [info] = [info for info in kling.plugins if info.name == "apprise"]
    assert info.state == "broken"
    assert name in info.reason
    assert "tok3n" not in info.reason + caplog.text


def test_failure_is_logged_without_secrets(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
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
    send(plugin, EVENTS["failed"])
    hook.status = 200
    send(plugin, EVENTS["expired"])
    assert hook.paths[0].startswith("/tok3n-path")
    assert f"could not send to URL 1 (json://****@{hook.host}/…): 'job: failed'" in caplog.text
    assert "error=500" in caplog.text  # the reason from Apprise, which contains no secret
    assert f"sent to URL 1 (json://****@{hook.host}/…): kling-2: expired" in caplog.text
    for number in (3, 4):
        assert re.search(rf"WARNING .*could not send to URL {number} .*: 'kling-2: expired'", caplog.text)
    for secret in ("hunter2", "tok3n", "aHVudGVyMnBhc3M"):
        assert secret not in caplog.text + repr(plugin)


def test_service_errors_that_contain_url_are_hidden(caplog: pytest.LogCaptureFixture) -> None:
    import apprise

    Apprise(["json://127.0.0.1/"])  # loads the modules of Apprise, some of which warn
    caplog.set_level(1)
    titles: list[str] = []

    def leak(body: str, title: str, *_: Any, **__: Any) -> bool:
        titles.append(title)
        for url in ("leaky://user:hunter2@host/", "Tok3n/x", "no secret"):
            apprise.logger.warning("no way to %s", url)
        if "expired" in title:
            raise ValueError("leaky://user:hunter2@host/tok3n%2Fx")
        return False

    untyped: Any = apprise
    untyped.decorators.notify(on="leaky")(leak)
    try:
        send(Apprise(["leaky://user:hunter2@host/tok3n%2Fx"]), EVENTS["failed"], EVENTS["expired"])
    finally:
        untyped.manager_plugins.NotificationManager().remove("leaky")
    assert titles == ["job: failed", "kling-2: expired"]
    assert caplog.text.count("could not send to") == 2
    assert "no way to no secret" in caplog.text
    assert "hunter2" not in caplog.text
    assert "tok3n" not in caplog.text.casefold()


def test_apprise_logs_of_other_callers_pass(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    import apprise

    send(Apprise([f"json://{hook.host}/"]), EVENTS["expired"])
    with caplog.at_level(logging.WARNING, "apprise"):
        assert apprise.Apprise.instantiate("nosuch://host") is None
    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == ["apprise"]


def test_readme_example_runs(hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    with Sandbox() as sandbox:
        client = f"Kling(base_url={sandbox.base_url!r}, api_key={sandbox.api_key!r}, plugins"
        exec(code.replace("Kling(plugins", client), {"url": f"json://{hook.host}/"})
    assert hook.titles == ["kling-2: stored"]
    assert "File: file://" in hook.notifications[0]["message"]
