"""`kling serve` as a process: its start, its live events, and its end by SIGKILL while jobs run."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from kling_sandbox import Sandbox

Start = Callable[..., "Server"]
KLING = Path(sys.executable).with_name("kling")


class Server:
    """A studio in a process of its own, and a program that uses it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        self.address, self.link = (line.split()[1] for line in lines[:2])
        token = Path(lines[2].split()[1]).read_text("ascii")
        self.http = httpx.Client(
            base_url=self.address, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def run(self, **values: str) -> str:
        response = self.http.post("/models/kling-2/run", data={"-confirmed": "unknown", **values})
        assert response.status_code == 204, response.text
        return response.headers["HX-Redirect"].removeprefix("/jobs/")

    def read_events(self, address: str, ends: str) -> str:
        """Read events until a text is in one."""
        text = ""
        with self.http.stream("GET", address) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            for line in response.iter_lines():
                text += f"{line}\n"
                if ends in line:
                    return text
                assert ": idle" not in line, text
        raise AssertionError(text)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(sandbox: Sandbox | None = None, *options: str) -> Server:
            environment = os.environ | {
                "KLING_JOURNAL": str(tmp_path / "journal.sqlite3"),
                "PYTHONUNBUFFERED": "1",
            }
            if sandbox is not None:
                environment |= {"KLING_BASE_URL": sandbox.base_url, "SEGMIND_API_KEY": sandbox.api_key}
                options += ("--no-sandbox",)
            process = subprocess.Popen(
                [KLING, "serve", "--port", "0", "--folder", tmp_path / "studio", *options],
                env=environment, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            stack.enter_context(process)
            stack.callback(process.kill)
            server = Server(process)
            stack.callback(server.http.close)
            return server

        yield run


def test_command_prints_link_and_ends_at_signal(start: Start) -> None:
    server = start()
    with httpx.Client(follow_redirects=True, trust_env=False) as browser:
        page = browser.get(server.link)
        assert page.status_code == 200
        assert "Kling Studio" in page.text
    server.process.terminate()
    assert server.process.wait(timeout=60) in (0, -signal.SIGTERM, 130)


def test_change_reaches_open_pages(start: Start) -> None:
    server = start(None, "--timing", "at-once")
    since = re.search(r'data-since="([^"]+)"', server.http.get("/jobs").text)
    assert since is not None
    job_id = server.run(prompt="a fox")
    text = server.read_events(f"/events?view=rows&since={since[1]}", ends=">Done<")
    assert f'id="job-{job_id}"' in text
    hidden = server.read_events(f"/events?view=rows&state=failed&since={since[1]}", ends="data-gone")
    assert f'id="job-{job_id}"' in hidden


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_killed_server_loses_and_doubles_nothing(start: Start) -> None:
    with Sandbox(timing="polls:3") as sandbox:
        ids: list[str] = []
        for number in range(4):
            server = start(sandbox)
            ids.append(server.run(prompt=f"fox {number}"))
            if number % 2:
                server.read_events(f"/events?view=job&ids={ids[-1]}&since=0", ends="Request id")
            server.kill()
        server = start(sandbox)
        prompts = [submit.json["prompt"] for submit in sandbox.submits if submit.json]
        for number, job_id in enumerate(ids):
            # The job of a submit whose answer was lost is found in the request history.
            end = ">Done<" if f"fox {number}" in prompts else ">Uncertain<"
            server.read_events(f"/events?view=job&ids={job_id}&since=0", ends=end)
        # A submit that the kill has cut has no body, and starts no job.
        assert len(sandbox.billed) == len(prompts) == len(set(prompts)) >= 2
        assert server.http.get("/jobs").text.count('<tr role="row" id="job-') == 4


def test_help_imports_no_server(start: Start) -> None:
    code = "import sys; import kling_serve.plugin, kling_serve.cli; sys.exit('starlette' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--no-sandbox"], "no gateway to run jobs on: set SEGMIND_API_KEY, or leave out --no-sandbox"),
        (["--timing", "soon"], "timing must be at-once"),
        (["--base-url", "ftp://x"], "the base URL must be a plain http or https URL"),
        (["--host", "192.0.2.1"], "the address 192.0.2.1 cannot be used"),
    ],
)
def test_studio_that_cannot_start_says_why(tmp_path: Path, options: list[str], reason: str) -> None:
    command: list[str | Path] = [KLING, "serve", "--port", "0", "--folder", tmp_path / "studio", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert reason in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command: list[str | Path] = [
            KLING,
            "serve",
            "--port",
            str(listener.getsockname()[1]),
            "--folder",
            tmp_path,
        ]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, "another program uses the port" in ended.stderr) == (2, True)
