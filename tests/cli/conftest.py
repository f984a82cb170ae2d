"""`kling` as a process with a gateway, and an installed distribution with a model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kling_adapters.journal.journal import Journal
from kling_adapters.testing import FakeGateway
from kling_adapters.testing.server import GatewayAnswer
from tests.support.acme import install_acme

Acme = Callable[[str, str, str], None]


@pytest.fixture
def acme(tmp_path: Path) -> Acme:
    """Install it in the folder of the test, which PYTHONPATH has to name, with a change in one of its files."""

    def install(name: str, text_before: str, text_after: str) -> None:
        install_acme(tmp_path)
        file = tmp_path / "acme_kling" / "models" / name
        text = file.read_text("utf-8")
        assert text_before in text
        file.write_text(text.replace(text_before, text_after), "utf-8")

    return install


def run_kling(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `kling` with environment variables; without a key unless one of them sets it."""
    clean = {name: value for name, value in os.environ.items() if name != "SEGMIND_API_KEY"}
    return subprocess.run(
        [sys.executable, "-c", "from kling_adapters.cli import main; main()", *arguments],
        env={**clean, "PYTHONWARNINGS": "error", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Gateway(FakeGateway):
    """A gateway; while it `hangs`, no job ends and `polls` counts the requests for its state."""

    hangs = False
    polls = 0

    @property
    def submits(self) -> list[Any]:
        return [request.params["prompt"] for request in self.requests if request.method == "POST"]

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> GatewayAnswer:
        if self.hangs and path.endswith("/status"):
            self.polls += 1
            return GatewayAnswer.of(200, {"status": "QUEUED"})
        return super().answer(method, path, headers, body)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


class Command:
    """Runs `kling` in a folder, with a gateway and a journal of its own."""

    def __init__(self, folder: Path, gateway: Gateway) -> None:
        self.journal = folder / "state" / "journal.sqlite3"
        self.gateway = gateway
        self.folder = folder

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        options = (
            ["--base-url", self.gateway.base_url]
            if arguments[0] in ("batch", "credits", "resume", "run", "status", "submit", "wait")
            else []
        )
        return subprocess.Popen(
            [sys.executable, "-c", "from kling_adapters.cli import main; main()", *arguments, *options],
            env={
                **os.environ,
                "PYTHONWARNINGS": "error",
                "SEGMIND_API_KEY": self.gateway.api_key,
                "KLING_JOURNAL": str(self.journal),
            },
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.end(self.start(*arguments))

    @staticmethod
    def end(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
        out, err = process.communicate(timeout=90)
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess([], process.returncode, out, err)

    def states(self) -> list[str]:
        with closing(Journal(self.journal)) as journal:
            return [entry.state for entry in journal.entries()]


@pytest.fixture
def kling(tmp_path: Path, gateway: Gateway) -> Command:
    return Command(tmp_path, gateway)


def write(file: Path, count: int) -> Path:
    file.write_text(
        "".join(json.dumps({"model": "kling-2", "prompt": str(number)}) + "\n" for number in range(count))
    )
    return file


def outcomes_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.outcomes.jsonl")


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outcomes_file(file).read_text().splitlines()]
