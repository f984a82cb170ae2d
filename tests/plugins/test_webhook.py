"""Webhooks, received by a real server and judged by the official library."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import kling_webhook
import pytest
import standardwebhooks
import uvicorn
from kling_sandbox import Sandbox
from kling_webhook import Webhook, WebhookEvent, WebhookRefused, receive
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kling_adapters import (
    Artifact,
    AsyncKling,
    Completed,
    ConfigError,
    Event,
    Expired,
    Failed,
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

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDOTHER+A="
README = Path(kling_webhook.__file__).parents[1].joinpath("README.md").read_text("utf-8")


class Receiver:
    """A server of the user's: it keeps what it was sent, and answers with what `answer` says, 204 unless told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self.answer: Callable[[dict[str, Any]], int] = lambda _: 204
        self.url = ""

    @property
    def told(self) -> list[tuple[str | None, str]]:
        """The job and the event of each request, in order of arrival."""
        found = [json.loads(body) for _, body in self.got]
        return [(each["data"]["request_id"], each["type"].removeprefix("kling.job.")) for each in found]

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]

    async def take(self, request: Request) -> Response:
        body = await request.body()
        self.got.append((dict(request.headers), body))
        self.paths.append(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
        status = await anyio.to_thread.run_sync(self.answer, json.loads(body))
        headers = {"location": "/elsewhere"} if 300 <= status < 400 else None
        return Response("hunter-body", status, headers)


@contextmanager
def serving(app: Any, port: int = 0) -> Iterator[str]:
    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            listening.set()

    listening = threading.Event()
    with socket.create_server(("127.0.0.1", port)) as listener:
        config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1)
        server = Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        listening.wait()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    app = Starlette(routes=[Route("/{path:path}", made.take, methods=["GET", "POST"])])
    with serving(app) as origin:
        made.url = f"{origin}/hook"
        yield made


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dead-letter file; nothing else of the environment counts."""
    for name in [name for name in os.environ if name.startswith("KLING_WEBHOOK")]:
        monkeypatch.delenv(name)
    path = tmp_path / "state" / "letters.jsonl"
    monkeypatch.setenv("KLING_WEBHOOK_DEAD_LETTERS", str(path))
    return path


def webhook(url: str, **options: Any) -> Webhook:
    return Webhook(url, **{"secret": SECRET, "clock": SimulatedClock(), **options})


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def nobody() -> str:
    """The URL of a receiver that is down."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/hook"


def result(**more: Any) -> ResultData:
    artifact = Artifact("https://example.com/1.mp4", "video", "video/mp4", 9)
    given: dict[str, Any] = {"output": artifact.url, "artifacts": (artifact,), "metrics": Metrics(cost=3.0)}
    return ResultData("r1", "kling-2", **{**given, "body": {"prompt": "a secret prompt"}, **more})


EVENTS: dict[str, Event] = {
    "submit_failed": SubmitFailed("kling-2", "it was refused", uncertain=False),
    "submit_uncertain": SubmitFailed("kling-2", "nobody knows", uncertain=True),
    "submitted": Submitted("r1", "kling-2", {"prompt": "a secret prompt"}, 0.5),
    "state_changed": StateChanged("r1", "kling-2", "PROCESSING"),
    "completed": Completed("r1", "kling-2", result(), 3),
    "failed": Failed("r1", None, "blocked", 3),
    "expired": Expired("r1", None, 3),
    "stored": Stored("r1", "kling-2", (StoredFile("file:///1.mp4", 9, "ab", "video/mp4", "https://l"),), 2.0),
}


def of(job: str, *kinds: str) -> list[Event]:
    return [replace(EVENTS[kind], request_id=job) for kind in kinds]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_a_receiver_is_told_of_a_job_from_beginning_to_end(
    kind: type[Kling | AsyncKling], receiver: Receiver, letters: Path, tmp_path: Path
) -> None:
    prompt = "nobody is to read this"
    plugin = Webhook(receiver.url, secret=[SECRET, OTHER])

    async def main(sandbox: Sandbox) -> str:
        about: dict[str, Any] = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
        client = kind(**about, clock=SimulatedClock(), plugins=[plugin])
        given: dict[str, Any] = {"prompt": prompt, "save_to": tmp_path / "out"}
        if isinstance(client, Kling):
            with client:
                return client.run("kling-2", **given).request_id
        async with client:
            return (await client.run("kling-2", **given)).request_id

    with Sandbox(timing="polls:2") as sandbox:
        request_id = anyio.run(main, sandbox)
    kinds = [kind for _, kind in receiver.told]
    assert kinds[0] == "submitted"
    assert kinds[-2:] == ["completed", "stored"]
    assert {job for job, _ in receiver.told} == {request_id}
    for headers, body in receiver.got:
        for secret in (SECRET, OTHER):
            payload = standardwebhooks.Webhook(secret).verify(body, headers)
            assert payload["data"]["model"] == "kling-2"
        everything = body.decode() + str(headers)
        assert not any(word in everything for word in (sandbox.api_key, prompt, SECRET, OTHER))
    stored = json.loads(receiver.got[-1][1])["data"]["files"][0]
    assert stored["url"].startswith("file:")
    assert stored["bytes"] > 0
    assert not letters.exists()


def test_the_table_of_the_readme_is_what_is_sent(receiver: Receiver, letters: Path) -> None:
    plugin = webhook(receiver.url)
    for event in EVENTS.values():
        plugin.kling_event(event)
        plugin.kling_close()
    rows = re.findall(r"^\| `kling\.job\.(\w+)` \|[^|]*\| ?(.*)\|$", README, re.MULTILINE)
    assert [kind for kind, _ in rows] == list(EVENTS) == [kind for _, kind in receiver.told]
    for (kind, cell), (_, body) in zip(rows, receiver.got, strict=True):
        payload = json.loads(body)
        assert set(payload) == {"type", "timestamp", "data"}
        assert datetime.fromisoformat(payload["timestamp"]).tzinfo == UTC
        data = payload["data"]
        named = re.findall(r"`(\w+)`", cell)
        inner = [name for file in data.get("files", ()) for name in file] + ["cost"] * (kind == "completed")
        assert set(named) == {*data, *inner} - {"request_id", "model"}, kind
        assert "secret prompt" not in body.decode()


def test_an_output_that_nobody_looked_at_is_not_sent(receiver: Receiver, letters: Path) -> None:
    plugin = webhook(receiver.url)
    for output in ("a text", {"prompt": "a secret prompt"}):
        plugin.kling_event(Completed("r1", "kling-2", result(output=output), 1))
    plugin.kling_close()
    assert [json.loads(body)["data"]["output"] for _, body in receiver.got] == ["a text", None]


def test_without_a_url_nothing_happens(letters: Path) -> None:
    before = threading.active_count()
    plugin = Webhook()
    plugin.kling_event(EVENTS["completed"])
    plugin.kling_close()
    assert threading.active_count() == before
    assert not letters.parent.exists()


def test_it_is_configured_by_the_environment(
    receiver: Receiver, letters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLING_WEBHOOK_URL", receiver.url)
    monkeypatch.setenv("KLING_WEBHOOK_SECRET", f"{OTHER} {SECRET}")
    with Sandbox() as sandbox, Kling(base_url=sandbox.base_url, api_key=sandbox.api_key) as kling:
        kling.submit("kling-2", prompt="x")
    [(headers, body)] = receiver.got
    standardwebhooks.Webhook(SECRET).verify(body, headers)
    standardwebhooks.Webhook(OTHER).verify(body, headers)


@pytest.mark.parametrize(
    ("url", "secret", "says"),
    [
        ("http://hooks.example.com/tok3n", SECRET, "must be https"),
        ("http://user:tok3n@10.0.0.1/", SECRET, "must be https"),
        ("http://127.0.0.1.example.com/tok3n", SECRET, "must be https"),
        ("ftp://127.0.0.1/tok3n", SECRET, "must be https"),
        ("tok3n", SECRET, "must be https"),
        ("https://tok3n\x00/", SECRET, "must be https"),
        ("https://tok3n..example/", SECRET, "must be https"),
        (f"https://tok3n{'a' * 60}.example/", SECRET, "must be https"),
        ("https://xn--tok3n/", SECRET, "must be https"),
        ("https://h:tok3n/", SECRET, "must be https"),
        ("https://example.com/", "", "no secret to sign with"),
        ("https://example.com/", "tok3n", "secret 1 of the webhook"),
        ("https://example.com/", [SECRET, "tok3n and some more that is no base64 at all"], "secret 2 of the"),
        ("https://example.com/", "whsec_dG9rM24=", "secret 1 of the webhook"),
    ],
)
def test_what_cannot_be_used_is_said_without_secrets(
    letters: Path, caplog: pytest.LogCaptureFixture, url: str, secret: Any, says: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        Webhook(url, secret=secret)
    assert "tok3n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_bad_configuration_makes_the_plugin_a_broken_one(
    letters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLING_WEBHOOK_URL", "http://hooks.example.com/tok3n")
    monkeypatch.setenv("KLING_WEBHOOK_SECRET", SECRET)
    with Kling() as kling:
        [info] = [info for info in kling.plugins if info.name == "webhook"]
    assert info.state == "broken"
    assert "must be https" in info.reason
    assert "tok3n" not in info.reason


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_pass_is_tried_again_with_growing_pauses(
    receiver: Receiver, letters: Path, status: int
) -> None:
    answers = iter([status] * 5)
    receiver.answer = lambda _: next(answers, 204)
    clock = SimulatedClock()
    plugin = webhook(receiver.url, clock=clock)
    plugin.kling_event(EVENTS["completed"])
    drain(plugin)
    assert len(receiver.got) == 6
    assert len(set(receiver.ids)) == 1
    for slept, pause in zip(clock.slept, (1, 4, 16, 64, 256), strict=True):
        assert pause / 2 <= slept <= pause
    assert not letters.exists()


def drain(plugin: Webhook) -> None:
    """Wait until nothing is queued; closing would not wait for what is due in minutes, even simulated ones."""
    with plugin._changed:
        assert plugin._changed.wait_for(lambda: not plugin._lanes, 30)
    plugin.kling_close()


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410, 422])
def test_what_will_not_pass_is_given_up_at_once(receiver: Receiver, letters: Path, status: int) -> None:
    receiver.answer = lambda _: status
    plugin = webhook(receiver.url)
    plugin.kling_event(EVENTS["completed"])
    drain(plugin)
    assert receiver.paths == ["/hook"]
    [letter] = read(letters)
    assert f"it answered {status}" in letter["reason"]


def test_a_job_keeps_its_order_while_the_receiver_fails(receiver: Receiver, letters: Path) -> None:
    fails = iter([503, 204, 500, 500, 204, 404, 204])
    receiver.answer = lambda _: next(fails)
    plugin = webhook(receiver.url)
    for event in of("a", "submitted", "state_changed", "completed", "stored"):
        plugin.kling_event(event)
    drain(plugin)
    kinds = [kind for _, kind in receiver.told]
    assert kinds == ["submitted"] * 2 + ["state_changed"] * 3 + ["completed", "stored"]
    assert [letter["payload"]["type"] for letter in read(letters)] == ["kling.job.completed"]


class StandingClock(SimulatedClock):
    """Time passes until a pause of more than `most` seconds; then it stands until `go`."""

    def __init__(self, most: float = 0.0) -> None:
        super().__init__()
        self._most = most
        self.stands, self.go = threading.Event(), threading.Event()

    def sleep(self, seconds: float) -> None:
        if seconds > self._most:
            self.stands.set()
            self.go.wait(30)
        super().sleep(seconds)


def test_a_job_that_fails_holds_up_no_other(receiver: Receiver, letters: Path) -> None:
    release = threading.Event()
    tries = iter([503])

    def answer(payload: dict[str, Any]) -> int:
        match payload["data"]["request_id"]:
            case "fails":
                return next(tries, 204)
            case "hangs":
                release.wait(30)
        return 204

    receiver.answer = answer
    clock = StandingClock()
    plugin = webhook(receiver.url, clock=clock)
    plugin.kling_event(of("fails", "submitted")[0])
    assert clock.stands.wait(30)
    for event in of("fails", "completed") + of("hangs", "submitted", "completed") + of("fine", "completed"):
        plugin.kling_event(event)
    wait_for(lambda: ("fine", "completed") in receiver.told)
    assert ("fails", "completed") not in receiver.told
    assert ("hangs", "completed") not in receiver.told
    release.set()
    clock.go.set()
    drain(plugin)
    for job in ("fails", "hangs"):
        kinds = [kind for each, kind in receiver.told if each == job]
        assert kinds in (["submitted", "submitted", "completed"], ["submitted", "completed"])
    assert not letters.exists()


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came")


def test_closing_delivers_what_can_be_and_keeps_the_rest(receiver: Receiver, letters: Path) -> None:
    receiver.answer = lambda payload: 503 if payload["data"]["request_id"] == "a" else 204
    clock = StandingClock(most=30.0)
    plugin = webhook(receiver.url, clock=clock)
    for event in of("a", "submitted", "completed") + of("b", "completed"):
        plugin.kling_event(event)
    assert clock.stands.wait(30)  # the next attempt is in a minute
    plugin.kling_close()
    assert ("b", "completed") in receiver.told
    assert [letter["payload"]["type"] for letter in read(letters)] == [
        "kling.job.submitted",
        "kling.job.completed",
    ]
    assert "closed" in read(letters)[0]["reason"]
    receiver.answer = lambda _: 204
    before = len(receiver.got)
    clock.go.set()
    plugin.kling_event(of("c", "completed")[0])  # a plugin that is shared with another client goes on
    drain(plugin)
    assert receiver.told[before:] == [("c", "completed")]
    assert len(read(letters)) == 2


UNCLOSED = """
import sys, threading
from kling_adapters import Submitted, Completed, ResultData, Metrics
from kling_adapters.testing import SimulatedClock
from kling_webhook import Webhook

class Stops(SimulatedClock):
    def sleep(self, seconds):
        if seconds > 30:
            stands.set()
            threading.Event().wait()
        super().sleep(seconds)

stands = threading.Event()
plugin = Webhook(sys.argv[1], clock=Stops())
plugin.kling_event(Submitted("r1", "kling-2", {}, 1.0))
plugin.kling_event(Completed("r1", "kling-2", ResultData("r1", "kling-2", None, (), Metrics(), {}), 1))
if sys.argv[2:] == ["down"]:
    stands.wait(30)
"""


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "KLING_WEBHOOK_SECRET": SECRET, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_a_process_that_never_closes_loses_nothing(receiver: Receiver, letters: Path) -> None:
    done = run(sys.executable, "-c", UNCLOSED, receiver.url)
    assert done.returncode == 0, done.stderr
    assert receiver.told == [("r1", "submitted"), ("r1", "completed")]
    assert not letters.exists()
    done = run(sys.executable, "-c", UNCLOSED, nobody(), "down")
    assert done.returncode == 0, done.stderr
    assert [letter["payload"]["type"] for letter in read(letters)] == [
        "kling.job.submitted",
        "kling.job.completed",
    ]


def test_a_receiver_that_is_down_gets_it_later(receiver: Receiver, letters: Path) -> None:
    plugin = webhook(nobody())
    for event in of("a", "submitted", "completed") + of("b", "failed") + [EVENTS["submit_uncertain"]]:
        plugin.kling_event(event)
    drain(plugin)
    kept = read(letters)
    assert {letter["reason"].split(":")[0] for letter in kept} == {"ConnectError"}
    assert letters.stat().st_mode & 0o777 == 0o600
    kling = str(Path(sys.executable).with_name("kling"))

    still_down = run(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=nobody())
    assert still_down.returncode == 3
    assert "0 of 4 delivered" in still_down.stdout
    assert read(letters) == kept

    receiver.answer = lambda payload: 500 if payload["type"] == "kling.job.submitted" else 204
    partly = run(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url)
    assert partly.returncode == 3
    assert "2 of 4 delivered" in partly.stdout
    assert "one before it of the same job" in partly.stderr
    of_a = [letter for letter in kept if letter["payload"]["data"]["request_id"] == "a"]
    assert read(letters) == of_a  # the order of the job is kept

    receiver.answer = lambda _: 204
    before = len(receiver.got)
    rest = run(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url)
    assert (rest.returncode, rest.stderr) == (0, "")
    assert receiver.ids[before:] == [letter["id"] for letter in of_a]
    for headers, body in receiver.got[before:]:
        standardwebhooks.Webhook(SECRET).verify(body, headers)
    assert letters.read_text() == ""
    assert letters.stat().st_mode & 0o777 == 0o600
    assert run(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url).returncode == 0
    unset = run(kling, "webhooks", "redeliver")
    assert (unset.returncode, "set KLING_WEBHOOK_URL" in unset.stderr) == (2, True)


def test_what_came_while_it_was_redelivered_stays(receiver: Receiver, letters: Path) -> None:
    plugin = webhook(nobody())
    plugin.kling_event(of("a", "completed")[0])
    drain(plugin)

    def answer(_: dict[str, Any]) -> int:
        late = webhook(nobody())
        late.kling_event(of("b", "completed")[0])
        drain(late)
        return 204

    receiver.answer = answer
    kling = str(Path(sys.executable).with_name("kling"))
    assert run(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url).returncode == 0
    assert [letter["payload"]["data"]["request_id"] for letter in read(letters)] == ["b"]


def test_a_line_that_cannot_be_read_harms_no_other(receiver: Receiver, letters: Path) -> None:
    letters.parent.mkdir()
    letters.write_text('{"id": "msg_1", "reas')  # a process died while it wrote
    plugin = webhook(nobody())
    plugin.kling_event(of("a", "completed")[0])
    drain(plugin)
    assert len(letters.read_text().splitlines()) == 2
    assert letters.stat().st_mode & 0o777 == 0o600
    kling = str(Path(sys.executable).with_name("kling"))
    done = run(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url)
    assert (done.returncode, len(receiver.got)) == (3, 1)
    assert letters.read_text() == '{"id": "msg_1", "reas\n'


APPEND = """
import sys
from kling_webhook.deadletters import DeadLetters
from kling_webhook.message import Message
for n in range(150):
    data = {"request_id": sys.argv[1], "text": "x" * 9000}
    DeadLetters().append([Message(f"{sys.argv[1]}-{n}", {"type": "t", "timestamp": "", "data": data})], "no")
    if n % 50 == 49:
        last = [line for line, message in DeadLetters().read().items() if message.id == f"{sys.argv[1]}-{n}"]
        DeadLetters().remove(last)
"""


def test_two_processes_share_the_file(letters: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", APPEND, name]) for name in "ab"]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    ids = [letter["id"] for letter in read(letters)]
    assert len(ids) == 2 * 147
    for name in "ab":
        mine = [each for each in ids if each.startswith(name)]
        assert mine == [f"{name}-{n}" for n in range(150) if n % 50 != 49]


def test_a_file_that_cannot_be_written_is_said(
    tmp_path: Path, letters: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.joinpath("file").touch()
    plugin = webhook(nobody(), dead_letters=tmp_path / "file" / "letters")
    plugin.kling_event(EVENTS["completed"])
    drain(plugin)
    assert "these webhooks are lost" in caplog.text
    assert "kling.job.completed r1" in caplog.text


def test_secrets_are_nowhere(receiver: Receiver, letters: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = receiver.url.replace("//", "//user:hunter2pass@") + "/tok3n-path?key=tok3n-query"
    answers = iter([503, 301, 410, 204])
    receiver.answer = lambda _: next(answers)
    plugin = webhook(url)
    for event in of("a", "submitted", "completed", "stored"):
        plugin.kling_event(event)
    down = webhook(nobody() + "/tok3n-path")
    down.kling_event(EVENTS["completed"])
    drain(plugin)
    drain(down)
    assert receiver.paths == ["/hook/tok3n-path?key=tok3n-query"] * 4
    assert receiver.got[0][0]["authorization"].startswith("Basic ")
    # What the receiver itself logs is its own affair.
    logged = [f"{each.getMessage()} {each.exc_text}" for each in caplog.records if "uvicorn" not in each.name]
    text = "\n".join(logged) + letters.read_text() + repr(plugin) + repr(down)
    assert "webhook msg_" in text
    for secret in (SECRET, SECRET[6:], "hunter2pass", "tok3n-path", "tok3n-query", "hunter-body"):
        assert secret not in text


# The receiver's side


class Posted:
    """A request as Starlette has it, of which only this much is needed."""

    def __init__(self, body: bytes, headers: dict[str, str]) -> None:
        self.headers = headers
        self._body = body

    async def body(self) -> bytes:
        return self._body


BODY = '{"type":"kling.job.expired","timestamp":"2026-11-21T12:00:00Z","data":{"request_id":"r1"}}'


def signed(body: str = BODY, secret: str = SECRET, age: float = 0.0, **headers: str) -> Posted:
    now = datetime.now(UTC) - timedelta(seconds=age)
    given = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(secret).sign("msg_1", now, body),
    }
    return Posted(body.encode(), given | {name.replace("_", "-"): value for name, value in headers.items()})


def received(request: Posted, secret: Any = SECRET) -> WebhookEvent:
    return anyio.run(receive, request, secret)


def test_a_genuine_webhook_is_taken(letters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event = received(signed())
    assert (event.id, event.type, event.data) == ("msg_1", "kling.job.expired", {"request_id": "r1"})
    assert event.timestamp == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert received(signed(secret=OTHER), [SECRET, OTHER]) == event
    assert received(signed(age=240)) == event
    monkeypatch.setenv("KLING_WEBHOOK_SECRET", f"{OTHER} {SECRET}")
    assert anyio.run(receive, signed()) == event
    with pytest.raises(AttributeError):
        event.type = "another"  # type: ignore[misc]


def tampered() -> Posted:
    request = signed()
    return Posted(BODY.replace("r1", "r2").encode(), request.headers)


@pytest.mark.parametrize(
    ("status", "sign"),
    [
        (401, tampered),
        (401, lambda: signed(secret=OTHER)),
        (401, lambda: signed(age=600)),
        (401, lambda: signed(age=-600)),
        (401, lambda: signed(webhook_id="msg_2")),
        (401, lambda: signed(webhook_timestamp="soon")),
        (401, lambda: signed(webhook_signature="v1")),
        (401, lambda: signed(webhook_signature="v1,\u00e9")),
        (401, lambda: signed(webhook_signature="v1,a,b v2,c")),
        (401, lambda: Posted(b"\xff", signed().headers)),
        (401, lambda: signed(webhook_signature="")),
        (401, lambda: Posted(BODY.encode(), {})),
        (400, lambda: signed("no json")),
        (400, lambda: signed("[]")),
        (400, lambda: signed(BODY.replace("2026-11-21T12:00:00Z", "noon"))),
        (400, lambda: signed(BODY.replace('{"request_id":"r1"}', "1"))),
    ],
)
def test_what_is_not_genuine_is_refused(status: int, sign: Callable[[], Posted]) -> None:
    # Signed here: a slow run collects its tests long before, and a signature ages.
    with pytest.raises(WebhookRefused) as caught:
        received(sign())
    assert caught.value.status == status
    assert SECRET not in str(caught.value)


def test_a_secret_that_cannot_be_used_is_no_fault_of_the_sender(letters: Path) -> None:
    for secret in ("short", "", None):
        with pytest.raises(ConfigError):
            received(signed(), secret)


def test_the_examples_of_the_readme_run(
    letters: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, app = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    there: dict[str, Any] = {"secret": SECRET}
    exec(app, there)
    monkeypatch.chdir(tmp_path)
    with serving(there["app"]) as origin, Sandbox() as sandbox:
        about = f"Kling(base_url={sandbox.base_url!r}, api_key={sandbox.api_key!r}, "
        code = sender.replace("https://example.com", origin).replace("Kling(plugins", f"{about}plugins")
        exec(code, {"secret": SECRET})
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines][-2:] == ["kling.job.completed", "kling.job.stored"]
        assert httpx.post(f"{origin}/hooks/kling", content=b"{}").status_code == 401
        forged = signed(secret=OTHER)
        answer = httpx.post(f"{origin}/hooks/kling", content=BODY.encode(), headers=forged.headers)
        assert answer.status_code == 401
    assert not letters.exists()
