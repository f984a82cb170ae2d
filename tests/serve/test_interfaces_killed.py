"""A server that is killed at any moment, while three kinds of clients wait: no job is lost, and none is billed twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest
from kling_sandbox import Fault, Sandbox
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from kling_adapters.journal.journal import Journal
from tests.support.serving import ALICE

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API")

# What `make test` has time for; `make serve-crash` kills twenty times.
KILLS = int(os.environ.get("KLING_SERVE_KILLS", "2"))
KLING = Path(sys.executable).with_name("kling")
# Submits are slow, so that many kills strike while one is under way.
FAULTS = (Fault("latency", 1, "POST", "/v2/*", seconds=0.2),)
SECONDS = 120.0
WAIT_SECONDS = 4.0
"""Seconds after which a client starts its next job, because one that was never sent has no end."""


class Server:
    """`kling serve` in a process that is killed and started again at the same address."""

    def __init__(self, gateway: Sandbox, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.journal = folder / "journal.sqlite3"
        tokens = folder / "tokens.toml"
        tokens.write_text(f'[alice]\ntoken = "{ALICE}"\n')
        options = [
            "--folder",
            str(folder),
            "--journal",
            str(self.journal),
            "--tokens",
            str(tokens),
            "--no-sandbox",
        ]
        self.command = [str(KLING), "serve", "--port", str(self.port), *options]
        self.environment = {
            **os.environ,
            "SEGMIND_API_KEY": gateway.api_key,
            "KLING_BASE_URL": gateway.base_url,
        }

    @contextmanager
    def run(self, end: signal.Signals) -> Iterator[None]:
        """Run the server until the block ends, which sends it a signal."""
        process = subprocess.Popen(self.command, env=self.environment, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            while b"http" not in process.stdout.readline():
                assert process.poll() is None
            yield
        finally:
            process.send_signal(end)
            process.communicate()


class Waiter(threading.Thread):
    """A client that starts jobs one after the other, and asks for each until it has ended."""

    def __init__(self, name: str, run: Callable[[str], str | None], stopping: threading.Event) -> None:
        super().__init__(name=name)
        self._run, self._stopping = run, stopping
        self.handles: dict[str, str] = {}
        """The handle of each job by its prompt."""

    def run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            prompt = f"{self.name} {number}"
            number += 1
            handle = None
            while handle is None:
                with suppress(httpx.HTTPError, openai.APIConnectionError, MCPError, ExceptionGroup, OSError):
                    handle = self._run(prompt)
                time.sleep(0.05)
            self.handles[prompt] = handle


def wait(show: Callable[[], str], stopping: threading.Event) -> None:
    """Ask for a status until the job has ended, no more jobs are started, or it is time for the next one."""
    end = time.monotonic() + WAIT_SECONDS
    while show() in ("queued", "in_progress") and not stopping.is_set() and time.monotonic() < end:
        time.sleep(0.1)


def make_waiters(base_url: str, stopping: threading.Event) -> list[Waiter]:
    def run_openai(prompt: str) -> str:
        client: Any
        with openai.OpenAI(base_url=f"{base_url}/v1", api_key=ALICE, timeout=20) as client:
            video = client.videos.create(
                model="kling-2", prompt=prompt, extra_headers={"Idempotency-Key": prompt}
            )
            wait(lambda: str(client.videos.retrieve(video.id).status), stopping)
            return str(video.id)

    def run_http(prompt: str) -> str:
        headers = {"Authorization": f"Bearer {ALICE}", "Idempotency-Key": prompt}
        with httpx.Client(base_url=base_url, headers=headers, timeout=20) as client:
            job = (
                client.post("/v1/videos", json={"model": "kling-2", "prompt": prompt})
                .raise_for_status()
                .json()
            )
            wait(
                lambda: str(client.get(f"/v1/videos/{job['id']}").raise_for_status().json()["status"]),
                stopping,
            )
            return str(job["id"])

    def run_mcp(prompt: str) -> str:
        return asyncio.run(run_mcp_session(base_url, prompt, stopping))

    runs = {"openai": run_openai, "http": run_http, "mcp": run_mcp}
    return [Waiter(f"{name} {number}", run, stopping) for name, run in runs.items() for number in range(2)]


async def run_mcp_session(base_url: str, prompt: str, stopping: threading.Event) -> str:
    headers = {"Authorization": f"Bearer {ALICE}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=20) as http,
        Client(streamable_http_client(f"{base_url}/mcp", http_client=http)) as client,
    ):
        arguments = {"prompt": prompt, "idempotency_key": prompt}
        job: dict[str, Any] = (await client.call_tool("kling-2", arguments)).structured_content
        if not stopping.is_set():
            await client.call_tool("wait", {"job_id": job["job_id"], "seconds": WAIT_SECONDS})
        return str(job["job_id"])


def test_killed_server_loses_and_doubles_no_job(tmp_path: Path) -> None:
    moments = random.Random(18)
    with Sandbox(timing="polls:1", faults=FAULTS, credits=1e6) as gateway:
        server, stopping = Server(gateway, tmp_path), threading.Event()
        waiters = make_waiters(server.base_url, stopping)
        for waiter in waiters:
            waiter.start()
        try:
            for number in range(KILLS):
                before, end = count_accepted(gateway).total(), time.monotonic() + SECONDS
                with server.run(signal.SIGKILL):
                    # Some kills strike while the first submits are under way, and some while jobs run.
                    while number % 3 and count_accepted(gateway).total() == before and time.monotonic() < end:
                        time.sleep(0.01)
                    time.sleep(moments.uniform(0.0, 1.5))
            with server.run(signal.SIGTERM):
                stopping.set()
                for waiter in waiters:
                    waiter.join(SECONDS)
                check_jobs(server, gateway, waiters)
        finally:
            stopping.set()


def check_jobs(server: Server, gateway: Sandbox, waiters: list[Waiter]) -> None:
    handles = {prompt: handle for waiter in waiters for prompt, handle in waiter.handles.items()}
    deadline, statuses = time.monotonic() + SECONDS, dict.fromkeys(handles, "")
    with httpx.Client(base_url=server.base_url, headers={"Authorization": f"Bearer {ALICE}"}) as client:
        while True:
            statuses = {
                prompt: client.get(f"/v1/videos/{handle}").raise_for_status().json()["status"]
                for prompt, handle in handles.items()
            }
            accepted, unsent = count_accepted(gateway), find_uncertain(server.journal)
            unsent -= accepted.keys()
            if time.monotonic() > deadline or all(
                status == "completed" or prompt in unsent for prompt, status in statuses.items()
            ):
                break
            time.sleep(0.2)
    print(f"{KILLS} kills: {len(handles)} jobs, {len(accepted)} billed, {len(unsent)} never sent")  # noqa: T201
    assert handles
    assert {*accepted} <= {*handles}  # none is lost
    assert accepted.total() == len(accepted)  # none is doubled
    assert {prompt for prompt, status in statuses.items() if status == "completed"} == {*accepted}
    assert {*handles} - {*accepted} <= unsent  # killed before the request was sent


def count_accepted(gateway: Sandbox) -> Counter[str]:
    """Return how often the gateway has accepted each prompt."""
    return Counter(
        request.json["prompt"]
        for request in gateway.requests
        if request.method == "POST" and request.path == "/v2/kling-2" and request.status == 200
    )


def find_uncertain(path: Path) -> set[str]:
    with closing(Journal(path)) as journal:
        return {entry.params["prompt"] for entry in journal.entries() if entry.state == "UNCERTAIN"}


def test_killed_session_finds_its_job_again(tmp_path: Path) -> None:
    asyncio.run(run_killed_session(tmp_path))


async def run_killed_session(folder: Path) -> None:
    with Sandbox(timing="polls:1") as gateway:
        pid = folder / "pid"
        script = (
            f"echo $$ > {pid}; exec {KLING} mcp --folder {folder} --journal {folder}/journal --no-sandbox"
        )
        environment = {**os.environ, "SEGMIND_API_KEY": gateway.api_key, "KLING_BASE_URL": gateway.base_url}
        environment["KLING_MCP_UNKNOWN_PRICE"] = "1"
        parameters = StdioServerParameters(command="/bin/sh", args=["-c", script], env=environment)
        arguments = {"prompt": "A kite", "idempotency_key": "one"}
        with suppress(ExceptionGroup, MCPError):
            async with Client(parameters) as client:
                job: Any = (await client.call_tool("kling-2", arguments)).structured_content
                # A job has its id before the request is sent; one killed before that has no end to wait for.
                async with asyncio.timeout(SECONDS):
                    while not count_accepted(gateway):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                os.kill(int(pid.read_text()), signal.SIGKILL)
                await client.call_tool("wait", {"job_id": job["job_id"]})
        async with Client(parameters) as client:
            repeated: Any = (await client.call_tool("kling-2", arguments)).structured_content
            async with asyncio.timeout(SECONDS):
                status = "in_progress"
                # A job that was killed before the answer came is looked up in the history.
                while status == "in_progress":
                    waited: Any = (
                        await client.call_tool("wait", {"job_id": job["job_id"]})
                    ).structured_content
                    status = waited["status"]
        assert (repeated["job_id"], status) == (job["job_id"], "completed")
        assert count_accepted(gateway).total() == 1
