"""kling-webhook: delivery to a real server, verified by the official library."""

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

from kling_adapters import Artifact, AsyncKling, ConfigError, Kling, Metrics, ResultData, StoredFile
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

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECOND_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDOTHER+A="
README = Path(kling_webhook.__file__).parents[1].joinpath("README.md").read_text("utf-8")


class Receiver:
    """State of a receiver: records requests, and responds with the status that `answer` returns."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self.answer: Callable[[dict[str, Any]], int] = lambda _: 204
        self.url = ""

    @property
    def events(self) -> list[tuple[str | None, str]]:
        """The job and event type of the requests, in order of arrival."""
        payloads = [json.loads(body) for _, body in self.requests]
        return [(p["data"]["request_id"], p["type"].removeprefix("kling.job.")) for p in payloads]

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]

    async def handle(self, request: Request) -> Response:
        body = await request.body()
        self.requests.append((dict(request.headers), body))
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
    receiver = Receiver()
    app = Starlette(routes=[Route("/{path:path}", receiver.handle, methods=["GET", "POST"])])
    with serving(app) as origin:
        receiver.url = f"{origin}/hook"
        yield receiver


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the dead-letter file, in an environment without other webhook variables."""
    for name in [name for name in os.environ if name.startswith("KLING_WEBHOOK")]:
        monkeypatch.delenv(name)
    path = tmp_path / "state" / "letters.jsonl"
    monkeypatch.setenv("KLING_WEBHOOK_DEAD_LETTERS", str(path))
    return path


def webhook(url: str, **options: Any) -> Webhook:
    return Webhook(url, **{"secret": SECRET, "clock": SimulatedClock(), **options})


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def unreachable_url() -> str:
    """Return the URL of a receiver that is down."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/hook"


def result(**fields: Any) -> ResultData:
    artifact = Artifact("https://example.com/1.mp4", "video", "video/mp4", 9)
    defaults: dict[str, Any] = {
        "output": artifact.url,
        "artifacts": (artifact,),
        "metrics": Metrics(cost=3.0),
    }
    return ResultData("r1", "kling-2", **{**defaults, "body": {"prompt": "a secret prompt"}, **fields})


EVENTS: dict[str, Event] = {
    "submit_failed": SubmitFailed("kling-2", "it was refused", uncertain=False),
    "submit_uncertain": SubmitFailed("kling-2", "unknown outcome", uncertain=True),
    "submitted": Submitted("r1", "kling-2", {"prompt": "a secret prompt"}, 0.5),
    "state_changed": StateChanged("r1", "kling-2", "PROCESSING"),
    "completed": Completed("r1", "kling-2", result(), 3),
    "failed": Failed("r1", None, "blocked", 3),
    "expired": Expired("r1", None, 3),
    "stored": Stored("r1", "kling-2", (StoredFile("file:///1.mp4", 9, "ab", "video/mp4", "https://l"),), 2.0),
}


def events_of(job: str, *kinds: str) -> list[Event]:
    return [replace(EVENTS[kind], request_id=job) for kind in kinds]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_receiver_gets_all_events_of_job(
    kind: type[Kling | AsyncKling], receiver: Receiver, letters: Path, tmp_path: Path
) -> None:
    prompt = "a private prompt"
    plugin = Webhook(receiver.url, secret=[SECRET, SECOND_SECRET])

    async def main(sandbox: Sandbox) -> str:
        options: dict[str, Any] = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
        client = kind(**options, clock=SimulatedClock(), plugins=[plugin])
        arguments: dict[str, Any] = {"prompt": prompt, "save_to": tmp_path / "out"}
        if isinstance(client, Kling):
            with client:
                return client.run("kling-2", **arguments).request_id
        async with client:
            return (await client.run("kling-2", **arguments)).request_id

    with Sandbox(timing="polls:2") as sandbox:
        request_id = anyio.run(main, sandbox)
    kinds = [kind for _, kind in receiver.events]
    assert kinds[0] == "submitted"
    assert kinds[-2:] == ["completed", "stored"]
    assert {job for job, _ in receiver.events} == {request_id}
    for headers, body in receiver.requests:
        for secret in (SECRET, SECOND_SECRET):
            payload = standardwebhooks.Webhook(secret).verify(body, headers)
            assert payload["data"]["model"] == "kling-2"
        request_text = body.decode() + str(headers)
        assert not any(word in request_text for word in (sandbox.api_key, prompt, SECRET, SECOND_SECRET))
    stored = json.loads(receiver.requests[-1][1])["data"]["files"][0]
    assert stored["url"].startswith("file:")
    assert stored["size"] > 0
    assert not letters.exists()


def test_readme_table_matches_payloads(receiver: Receiver, letters: Path) -> None:
    plugin = webhook(receiver.url)
    for event in EVENTS.values():
        plugin.kling_event(event)
        plugin.kling_close()
    rows = re.findall(r"^\| `kling\.job\.(\w+)` \|[^|]*\| ?(.*)\|$", README, re.MULTILINE)
    assert [kind for kind, _ in rows] == list(EVENTS) == [kind for _, kind in receiver.events]
    for (kind, cell), (_, body) in zip(rows, receiver.requests, strict=True):
        payload = json.loads(body)
        assert set(payload) == {"type", "timestamp", "data"}
        assert datetime.fromisoformat(payload["timestamp"]).tzinfo == UTC
        data = payload["data"]
        documented = re.findall(r"`(\w+)`", cell)
        inner = [name for file in data.get("files", ()) for name in file] + ["cost"] * (kind == "completed")
        assert set(documented) == {*data, *inner} - {"request_id", "model"}, kind
        assert "secret prompt" not in body.decode()


def test_only_text_output_is_sent(receiver: Receiver, letters: Path) -> None:
    plugin = webhook(receiver.url)
    for output in ("a text", {"prompt": "a secret prompt"}):
        plugin.kling_event(Completed("r1", "kling-2", result(output=output), 1))
    plugin.kling_close()
    assert [json.loads(body)["data"]["output"] for _, body in receiver.requests] == ["a text", None]


def test_plugin_without_url_does_nothing(letters: Path) -> None:
    before = threading.active_count()
    plugin = Webhook()
    plugin.kling_event(EVENTS["completed"])
    plugin.kling_close()
    assert threading.active_count() == before
    assert not letters.parent.exists()


def test_environment_configures_plugin(
    receiver: Receiver, letters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLING_WEBHOOK_URL", receiver.url)
    monkeypatch.setenv("KLING_WEBHOOK_SECRET", f"{SECOND_SECRET} {SECRET}")
    with Sandbox() as sandbox, Kling(base_url=sandbox.base_url, api_key=sandbox.api_key) as kling:
        kling.submit("kling-2", prompt="x")
    [(headers, body)] = receiver.requests
    standardwebhooks.Webhook(SECRET).verify(body, headers)
    standardwebhooks.Webhook(SECOND_SECRET).verify(body, headers)


@pytest.mark.parametrize(
    ("url", "secret", "message"),
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
        ("https://example.com/", [SECRET, "tok3n and other text that is not base64"], "secret 2 of the"),
        ("https://example.com/", "whsec_dG9rM24=", "secret 1 of the webhook"),
    ],
)
def test_invalid_configuration_error_hides_secrets(
    letters: Path, caplog: pytest.LogCaptureFixture, url: str, secret: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        Webhook(url, secret=secret)
    assert "tok3n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_invalid_configuration_breaks_plugin(letters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_WEBHOOK_URL", "http://hooks.example.com/tok3n")
    monkeypatch.setenv("KLING_WEBHOOK_SECRET", SECRET)
    with Kling() as kling:
        [info] = [info for info in kling.plugins if info.name == "webhook"]
    assert info.state == "broken"
    assert "must be https" in info.reason
    assert "tok3n" not in info.reason


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_temporary_failure_is_retried_with_backoff(receiver: Receiver, letters: Path, status: int) -> None:
    answers = iter([status] * 5)
    receiver.answer = lambda _: next(answers, 204)
    clock = SimulatedClock()
    plugin = webhook(receiver.url, clock=clock)
    plugin.kling_event(EVENTS["completed"])
    drain(plugin)
    assert len(receiver.requests) == 6
    assert len(set(receiver.ids)) == 1
    for slept, delay in zip(clock.slept, (1, 4, 16, 64, 256), strict=True):
        assert delay / 2 <= slept <= delay
    assert not letters.exists()


def drain(plugin: Webhook) -> None:
    """Wait until the queue is empty; closing would not wait for retries that are due in (simulated) minutes."""
    with plugin._changed:
        assert plugin._changed.wait_for(lambda: not plugin._lanes, 30)
    plugin.kling_close()


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410, 422])
def test_permanent_failure_is_not_retried(receiver: Receiver, letters: Path, status: int) -> None:
    receiver.answer = lambda _: status
    plugin = webhook(receiver.url)
    plugin.kling_event(EVENTS["completed"])
    drain(plugin)
    assert receiver.paths == ["/hook"]
    [letter] = read(letters)
    assert f"the receiver returned status {status}" in letter["reason"]


def test_retries_keep_order_of_job(receiver: Receiver, letters: Path) -> None:
    fails = iter([503, 204, 500, 500, 204, 404, 204])
    receiver.answer = lambda _: next(fails)
    plugin = webhook(receiver.url)
    for event in events_of("a", "submitted", "state_changed", "completed", "stored"):
        plugin.kling_event(event)
    drain(plugin)
    kinds = [kind for _, kind in receiver.events]
    assert kinds == ["submitted"] * 2 + ["state_changed"] * 3 + ["completed", "stored"]
    assert [letter["payload"]["type"] for letter in read(letters)] == ["kling.job.completed"]


class StoppableClock(SimulatedClock):
    """A clock that stops at a sleep of more than `longest` seconds, until `go` is set."""

    def __init__(self, longest: float = 0.0) -> None:
        super().__init__()
        self._longest = longest
        self.stopped, self.go = threading.Event(), threading.Event()

    def sleep(self, seconds: float) -> None:
        if seconds > self._longest:
            self.stopped.set()
            self.go.wait(30)
        super().sleep(seconds)


def test_failing_job_does_not_delay_others(receiver: Receiver, letters: Path) -> None:
    release = threading.Event()
    statuses = iter([503])

    def answer(payload: dict[str, Any]) -> int:
        match payload["data"]["request_id"]:
            case "fails":
                return next(statuses, 204)
            case "hangs":
                release.wait(30)
        return 204

    receiver.answer = answer
    clock = StoppableClock()
    plugin = webhook(receiver.url, clock=clock)
    plugin.kling_event(events_of("fails", "submitted")[0])
    assert clock.stopped.wait(30)
    for event in (
        events_of("fails", "completed")
        + events_of("hangs", "submitted", "completed")
        + events_of("fine", "completed")
    ):
        plugin.kling_event(event)
    wait_for(lambda: ("fine", "completed") in receiver.events)
    assert ("fails", "completed") not in receiver.events
    assert ("hangs", "completed") not in receiver.events
    release.set()
    clock.go.set()
    drain(plugin)
    for job in ("fails", "hangs"):
        kinds = [kind for request_id, kind in receiver.events if request_id == job]
        assert kinds in (["submitted", "submitted", "completed"], ["submitted", "completed"])
    assert not letters.exists()


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("the condition is still false after 30 seconds")


def test_close_delivers_or_stores_every_message(receiver: Receiver, letters: Path) -> None:
    receiver.answer = lambda payload: 503 if payload["data"]["request_id"] == "a" else 204
    clock = StoppableClock(longest=30.0)
    plugin = webhook(receiver.url, clock=clock)
    for event in events_of("a", "submitted", "completed") + events_of("b", "completed"):
        plugin.kling_event(event)
    assert clock.stopped.wait(30)  # the next attempt is due in a minute
    plugin.kling_close()
    assert ("b", "completed") in receiver.events
    assert [letter["payload"]["type"] for letter in read(letters)] == [
        "kling.job.submitted",
        "kling.job.completed",
    ]
    assert "closed" in read(letters)[0]["reason"]
    receiver.answer = lambda _: 204
    before = len(receiver.requests)
    clock.go.set()
    plugin.kling_event(events_of("c", "completed")[0])  # a plugin shared with another client continues
    drain(plugin)
    assert receiver.events[before:] == [("c", "completed")]
    assert len(read(letters)) == 2


UNCLOSED = """
import sys, threading
from kling_adapters import Metrics, ResultData
from kling_adapters.events import Completed, Submitted
from kling_adapters.testing import SimulatedClock
from kling_webhook import Webhook

class StoppingClock(SimulatedClock):
    def sleep(self, seconds):
        if seconds > 30:
            stopped.set()
            threading.Event().wait()
        super().sleep(seconds)

stopped = threading.Event()
plugin = Webhook(sys.argv[1], clock=StoppingClock())
plugin.kling_event(Submitted("r1", "kling-2", {}, 1.0))
plugin.kling_event(Completed("r1", "kling-2", ResultData("r1", "kling-2", None, (), Metrics(), {}), 1))
if sys.argv[2:] == ["down"]:
    stopped.wait(30)
"""


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "KLING_WEBHOOK_SECRET": SECRET, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_unclosed_process_loses_no_message(receiver: Receiver, letters: Path) -> None:
    done = run(sys.executable, "-c", UNCLOSED, receiver.url)
    assert done.returncode == 0, done.stderr
    assert receiver.events == [("r1", "submitted"), ("r1", "completed")]
    assert not letters.exists()
    done = run(sys.executable, "-c", UNCLOSED, unreachable_url(), "down")
    assert done.returncode == 0, done.stderr
    assert [letter["payload"]["type"] for letter in read(letters)] == [
        "kling.job.submitted",
        "kling.job.completed",
    ]


def test_redeliver_sends_dead_letters(receiver: Receiver, letters: Path) -> None:
    plugin = webhook(unreachable_url())
    for event in (
        events_of("a", "submitted", "completed") + events_of("b", "failed") + [EVENTS["submit_uncertain"]]
    ):
        plugin.kling_event(event)
    drain(plugin)
    undelivered = read(letters)
    assert {letter["reason"].split(":")[0] for letter in undelivered} == {"ConnectError"}
    assert letters.stat().st_mode & 0o777 == 0o600
    kling = str(Path(sys.executable).with_name("kling"))

    still_down = run(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=unreachable_url())
    assert still_down.returncode == 3
    assert "0 of 4 delivered" in still_down.stdout
    assert read(letters) == undelivered

    receiver.answer = lambda payload: 500 if payload["type"] == "kling.job.submitted" else 204
    partly = run(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url)
    assert partly.returncode == 3
    assert "2 of 4 delivered" in partly.stdout
    assert "an earlier webhook of the same job" in partly.stderr
    letters_of_a = [letter for letter in undelivered if letter["payload"]["data"]["request_id"] == "a"]
    assert read(letters) == letters_of_a  # the order of the job is unchanged

    receiver.answer = lambda _: 204
    before = len(receiver.requests)
    rest = run(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url)
    assert (rest.returncode, rest.stderr) == (0, "")
    assert receiver.ids[before:] == [letter["id"] for letter in letters_of_a]
    for headers, body in receiver.requests[before:]:
        standardwebhooks.Webhook(SECRET).verify(body, headers)
    assert letters.read_text() == ""
    assert letters.stat().st_mode & 0o777 == 0o600
    assert run(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url).returncode == 0
    unset = run(kling, "webhooks", "redeliver")
    assert (unset.returncode, "set KLING_WEBHOOK_URL" in unset.stderr) == (2, True)


def test_redeliver_keeps_new_dead_letters(receiver: Receiver, letters: Path) -> None:
    plugin = webhook(unreachable_url())
    plugin.kling_event(events_of("a", "completed")[0])
    drain(plugin)

    def answer(_: dict[str, Any]) -> int:
        later = webhook(unreachable_url())
        later.kling_event(events_of("b", "completed")[0])
        drain(later)
        return 204

    receiver.answer = answer
    kling = str(Path(sys.executable).with_name("kling"))
    assert run(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url).returncode == 0
    assert [letter["payload"]["data"]["request_id"] for letter in read(letters)] == ["b"]


def test_unreadable_line_does_not_block_others(receiver: Receiver, letters: Path) -> None:
    letters.parent.mkdir()
    letters.write_text('{"id": "msg_1", "reas')  # an interrupted write
    plugin = webhook(unreachable_url())
    plugin.kling_event(events_of("a", "completed")[0])
    drain(plugin)
    assert len(letters.read_text().splitlines()) == 2
    assert letters.stat().st_mode & 0o777 == 0o600
    kling = str(Path(sys.executable).with_name("kling"))
    done = run(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url)
    assert (done.returncode, len(receiver.requests)) == (3, 1)
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


def test_processes_share_dead_letter_file(letters: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", APPEND, name]) for name in "ab"]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    ids = [letter["id"] for letter in read(letters)]
    assert len(ids) == 2 * 147
    for name in "ab":
        own_ids = [letter_id for letter_id in ids if letter_id.startswith(name)]
        assert own_ids == [f"{name}-{n}" for n in range(150) if n % 50 != 49]


def test_unwritable_dead_letter_file_is_logged(
    tmp_path: Path, letters: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.joinpath("file").touch()
    plugin = webhook(unreachable_url(), dead_letters=tmp_path / "file" / "letters")
    plugin.kling_event(EVENTS["completed"])
    drain(plugin)
    assert "these webhooks are lost" in caplog.text
    assert "kling.job.completed r1" in caplog.text


def test_logs_reprs_and_files_hide_secrets(
    receiver: Receiver, letters: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = receiver.url.replace("//", "//user:hunter2pass@") + "/tok3n-path?key=tok3n-query"
    answers = iter([503, 301, 410, 204])
    receiver.answer = lambda _: next(answers)
    plugin = webhook(url)
    for event in events_of("a", "submitted", "completed", "stored"):
        plugin.kling_event(event)
    down = webhook(unreachable_url() + "/tok3n-path")
    down.kling_event(EVENTS["completed"])
    drain(plugin)
    drain(down)
    assert receiver.paths == ["/hook/tok3n-path?key=tok3n-query"] * 4
    assert receiver.requests[0][0]["authorization"].startswith("Basic ")
    # The log of the receiver itself may contain its URL.
    messages = [
        f"{record.getMessage()} {record.exc_text}"
        for record in caplog.records
        if "uvicorn" not in record.name
    ]
    text = "\n".join(messages) + letters.read_text() + repr(plugin) + repr(down)
    assert "webhook msg_" in text
    for secret in (SECRET, SECRET[6:], "hunter2pass", "tok3n-path", "tok3n-query", "hunter-body"):
        assert secret not in text


# Receiving


class FakeRequest:
    """A request with the attributes that `receive` uses."""

    def __init__(self, body: bytes, headers: dict[str, str]) -> None:
        self.headers = headers
        self._body = body

    async def body(self) -> bytes:
        return self._body


BODY = '{"type":"kling.job.expired","timestamp":"2026-11-21T12:00:00Z","data":{"request_id":"r1"}}'


def sign_request(body: str = BODY, secret: str = SECRET, age: float = 0.0, **headers: str) -> FakeRequest:
    now = datetime.now(UTC) - timedelta(seconds=age)
    signed_headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(secret).sign("msg_1", now, body),
    }
    return FakeRequest(
        body.encode(), signed_headers | {name.replace("_", "-"): value for name, value in headers.items()}
    )


def receive_now(request: FakeRequest, secret: Any = SECRET) -> WebhookEvent:
    return anyio.run(receive, request, secret)


def test_valid_webhook_is_accepted(letters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event = receive_now(sign_request())
    assert (event.id, event.type, event.data) == ("msg_1", "kling.job.expired", {"request_id": "r1"})
    assert event.timestamp == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert receive_now(sign_request(secret=SECOND_SECRET), [SECRET, SECOND_SECRET]) == event
    assert receive_now(sign_request(age=240)) == event
    monkeypatch.setenv("KLING_WEBHOOK_SECRET", f"{SECOND_SECRET} {SECRET}")
    assert anyio.run(receive, sign_request()) == event
    with pytest.raises(AttributeError):
        event.type = "another"  # type: ignore[misc]


def tampered_request() -> FakeRequest:
    request = sign_request()
    return FakeRequest(BODY.replace("r1", "r2").encode(), request.headers)


@pytest.mark.parametrize(
    ("status", "sign"),
    [
        (401, tampered_request),
        (401, lambda: sign_request(secret=SECOND_SECRET)),
        (401, lambda: sign_request(age=600)),
        (401, lambda: sign_request(age=-600)),
        (401, lambda: sign_request(webhook_id="msg_2")),
        (401, lambda: sign_request(webhook_timestamp="soon")),
        (401, lambda: sign_request(webhook_signature="v1")),
        (401, lambda: sign_request(webhook_signature="v1,\u00e9")),
        (401, lambda: sign_request(webhook_signature="v1,a,b v2,c")),
        (401, lambda: FakeRequest(b"\xff", sign_request().headers)),
        (401, lambda: sign_request(webhook_signature="")),
        (401, lambda: FakeRequest(BODY.encode(), {})),
        (400, lambda: sign_request("not json")),
        (400, lambda: sign_request("[]")),
        (400, lambda: sign_request(BODY.replace("2026-11-21T12:00:00Z", "noon"))),
        (400, lambda: sign_request(BODY.replace('{"request_id":"r1"}', "1"))),
    ],
)
def test_invalid_webhook_is_refused(status: int, sign: Callable[[], FakeRequest]) -> None:
    # Signed in the test, because a signature expires and collection may be long before.
    with pytest.raises(WebhookRefused) as caught:
        receive_now(sign())
    assert caught.value.status == status
    assert SECRET not in str(caught.value)


def test_invalid_receiver_secret_is_config_error(letters: Path) -> None:
    for secret in ("short", "", None):
        with pytest.raises(ConfigError):
            receive_now(sign_request(), secret)


def test_readme_examples_run(
    letters: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, app = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    namespace: dict[str, Any] = {"secret": SECRET}
    exec(app, namespace)
    monkeypatch.chdir(tmp_path)
    with serving(namespace["app"]) as origin, Sandbox() as sandbox:
        client = f"Kling(base_url={sandbox.base_url!r}, api_key={sandbox.api_key!r}, "
        code = sender.replace("https://example.com", origin).replace("Kling(plugins", f"{client}plugins")
        exec(code, {"secret": SECRET})
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines][-2:] == ["kling.job.completed", "kling.job.stored"]
        assert httpx.post(f"{origin}/hooks/kling", content=b"{}").status_code == 401
        forged = sign_request(secret=SECOND_SECRET)
        response = httpx.post(f"{origin}/hooks/kling", content=BODY.encode(), headers=forged.headers)
        assert response.status_code == 401
    assert not letters.exists()
