"""A receiver of webhooks, the dead-letter file, events of jobs, and signed requests."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
import standardwebhooks
import uvicorn
from kling_webhook import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kling_adapters import Artifact, Metrics, ResultData, StoredFile
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
def serve_receiver(app: Any, port: int = 0) -> Iterator[str]:
    """Serve an application in a thread; yield its origin."""

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
    with serve_receiver(app) as origin:
        receiver.url = f"{origin}/hook"
        yield receiver


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the dead-letter file, in an environment without other webhook variables."""
    for name in [name for name in os.environ if name.startswith("KLING_WEBHOOK")]:
        monkeypatch.delenv(name)
    path = tmp_path / "state" / "letters.jsonl"
    monkeypatch.setenv("KLING_WEBHOOK_DEAD_LETTERS", str(path))
    return path


def make_webhook(url: str, **options: Any) -> Webhook:
    """Return the plugin with a secret and a simulated clock."""
    return Webhook(url, **{"secret": SECRET, "clock": SimulatedClock(), **options})


def read_letters(path: Path) -> list[dict[str, Any]]:
    """Return the content of the dead-letter file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def unreachable_url() -> str:
    """Return the URL of a receiver that is down."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/hook"


def make_result(**fields: Any) -> ResultData:
    """Return the result of a job; `fields` replace its own."""
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
    "completed": Completed("r1", "kling-2", make_result(), 3),
    "failed": Failed("r1", None, "blocked", 3),
    "expired": Expired("r1", None, 3),
    "stored": Stored("r1", "kling-2", (StoredFile("file:///1.mp4", 9, "ab", "video/mp4", "https://l"),), 2.0),
}


def make_events(job: str, *kinds: str) -> list[Event]:
    """Return events of a job by their kinds."""
    return [replace(EVENTS[kind], request_id=job) for kind in kinds]  # type: ignore[arg-type]


def drain(plugin: Webhook) -> None:
    """Wait until the queue is empty; closing would not wait for retries that are due in (simulated) minutes."""
    with plugin._changed:
        assert plugin._changed.wait_for(lambda: not plugin._lanes, 30)
    plugin.kling_close()


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


class FakeRequest:
    """A request with the attributes that `receive` uses."""

    def __init__(self, body: bytes, headers: dict[str, str]) -> None:
        self.headers = headers
        self._body = body

    async def body(self) -> bytes:
        return self._body


BODY = '{"type":"kling.job.expired","timestamp":"2026-11-21T12:00:00Z","data":{"request_id":"r1"}}'


def sign_request(body: str = BODY, secret: str = SECRET, age: float = 0.0, **headers: str) -> FakeRequest:
    """Return a signed request, `age` seconds old; `headers` replace its own."""
    now = datetime.now(UTC) - timedelta(seconds=age)
    signed_headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(secret).sign("msg_1", now, body),
    }
    return FakeRequest(
        body.encode(), signed_headers | {name.replace("_", "-"): value for name, value in headers.items()}
    )
