"""The application of kling-serve in a thread, for programs that speak to it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from kling_sandbox import Sandbox
from kling_serve.app import make_app
from kling_serve.settings import Settings
from kling_serve.studio import Studio
from kling_serve.tokens import Limits, Token

ALICE, BOB = "alice-" + "a" * 32, "bob-" + "b" * 32
PROMPT: dict[str, Any] = {"model": "kling-2", "prompt": "A lighthouse in fog"}


@dataclass(frozen=True)
class ServedApp:
    """An application that answers requests."""

    base_url: str
    token: str
    studio: Studio


@contextmanager
def serve_app(settings: Settings) -> Generator[ServedApp]:
    """Run the application until the block ends."""
    app: Any = make_app(settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            yield ServedApp(base_url, app.state.token, app.state.studio)
        finally:
            server.should_exit = True
            thread.join()


def make_settings(gateway: Sandbox, folder: Path, **limits: Any) -> Settings:
    """Return the settings of an application on a gateway, with the tokens of alice, who has limits, and bob."""
    return Settings(
        folder=folder,
        journal=folder / "journal.sqlite3",
        base_url=gateway.base_url,
        api_key=gateway.api_key,
        uses_account=True,
        uses_sandbox=False,
        tokens=(Token("alice", ALICE, Limits(**limits)), Token("bob", BOB)),
    )


def open_http(served: ServedApp, token: str = ALICE) -> httpx.Client:
    """Open a client with a token."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=served.base_url, headers=headers, timeout=30)


def count_submits(gateway: Sandbox) -> int:
    """Return the number of submits that a gateway has received."""
    return sum(request.method == "POST" and "/v2/kling" in request.path for request in gateway.requests)


def wait_for_end(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """Poll a job until it has ended, and return it."""
    while True:
        job: dict[str, Any] = http.get(f"/v1/videos/{job_id}").json()
        if job["status"] in ("completed", "failed"):
            return job


def make_sandbox_settings(folder: Path, **options: Any) -> Settings:
    """Return the settings of an application with a sandbox of its own, whose jobs end at once."""
    tokens = (Token("alice", ALICE), Token("bob", BOB))
    return Settings(folder=folder, sandbox_timing="at-once", tokens=tokens, **options)
