"""`kling` on a terminal: bars on standard error where files and pipes get lines, and Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from kling_adapters.cli.progress import Progress
from kling_adapters.testing import FakeGateway
from kling_adapters.testing.server import GatewayAnswer
from tests.support.waiting import wait_until

from .conftest import Acme

COMMAND = "from kling_adapters.cli import main; main()"
WIDTH = 40


class Gateway(FakeGateway):
    """A gateway; while it `hangs`, no job ends."""

    hangs = False

    @property
    def is_asked(self) -> bool:
        return any(request.path.endswith("/status") for request in self.requests)

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> GatewayAnswer:
        answer = super().answer(method, path, headers, body)
        return GatewayAnswer.of(200, {"status": "QUEUED"}) if self.hangs and self.is_asked else answer


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


class Terminal:
    """`kling` with a terminal for standard error; `shown` is the text on it, without control sequences."""

    def __init__(self, gateway: FakeGateway, folder: Path, *arguments: str) -> None:
        ours, theirs = pty.openpty()
        self._screen = os.fdopen(ours, "rb", buffering=0)
        self._raw = bytearray()
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments, "--base-url", gateway.base_url],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
                "PYTHONWARNINGS": "error",
                "SEGMIND_API_KEY": gateway.api_key,
                "KLING_JOURNAL": str(folder / "journal.sqlite3"),
                "TERM": "xterm",
                "COLUMNS": "120",
                "NO_COLOR": "1",  # the rest of a bar is blank then
            },
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # Linux raises it once the other side is closed
            while chunk := self._screen.read(4096):
                self._raw += chunk

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> int:
        self.printed, _ = self.process.communicate(timeout=60)
        self._reader.join()
        self._screen.close()
        self.shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._raw.decode()).replace("\r", "\n")
        assert "Traceback" not in self.shown, self.shown
        return self.process.returncode

    def bars(self, state: str) -> set[int]:
        """Return the lengths of the bar while the job was in a state."""
        frames = (line for line in self.shown.splitlines() if f" {state} " in line)
        return {frame.count("━") for frame in frames}


def test_bar_fills_over_the_usual_time_of_the_model(gateway: Gateway, tmp_path: Path, acme: Acme) -> None:
    # A model whose usual time is over long before the job has ended.
    acme("__init__.py", "latency=30.0", "latency=0.5")
    slow = Terminal(gateway, tmp_path, "run", "kling-2", "prompt=x", "--save-to", "out")
    quick = Terminal(gateway, tmp_path, "run", "acme-1", "prompt=x")
    unknown = Terminal(gateway, tmp_path, "run", "kling-2.5-turbo", "prompt=x")
    for terminal in (slow, quick, unknown):
        assert terminal.end() == 0, terminal.shown
        assert "cost in credits" in terminal.printed
        # Lines are for files and pipes.
        assert ": submitted" not in terminal.shown
    assert max(slow.bars("processing")) < WIDTH / 4
    assert slow.bars("stored") == quick.bars("completed") == unknown.bars("completed") == {WIDTH}
    assert 0 < max(quick.bars("processing")) < WIDTH
    # Without a usual time, something moves.
    assert 0 < max(unknown.bars("processing")) < WIDTH


def test_json_output_has_nothing_beside_it(gateway: Gateway, tmp_path: Path) -> None:
    terminal = Terminal(gateway, tmp_path, "run", "kling-2", "prompt=x", "--json")
    assert (terminal.end(), terminal.shown) == (0, "")
    assert json.loads(terminal.printed)["model"] == "kling-2"


@pytest.mark.parametrize(
    ("has_journal", "advice"),
    [(True, "`kling reconcile` looks for its job"), (False, "the requests of your account")],
)
def test_interrupted_submit_names_what_can_find_its_job(
    has_journal: bool, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit), Progress(quiet=True, has_journal=has_journal):
        raise KeyboardInterrupt
    assert advice in capsys.readouterr().err


def test_job_can_be_waited_for_after_ctrl_c(gateway: Gateway, tmp_path: Path) -> None:
    gateway.hangs = True
    terminal = Terminal(gateway, tmp_path, "run", "kling-2", "prompt=x")
    wait_until(lambda: gateway.is_asked)
    terminal.interrupt()
    assert (terminal.end(), terminal.printed) == (4, "")
    [request_id] = re.findall("kling wait ([-0-9a-f]+) --save-to DIR", terminal.shown)
    assert f"job {request_id} continues and will be billed" in terminal.shown
    gateway.hangs = False
    again = Terminal(gateway, tmp_path, "wait", request_id)
    assert again.end() == 0, again.shown
    assert request_id in again.printed


def test_batch_is_one_bar_below_its_messages(tmp_path: Path) -> None:
    (tmp_path / "films.jsonl").write_text('{"model": "kling-2", "prompt": "x"}\n' * 2)
    with Gateway(fails="[bold]blocked[/bold]") as gateway:
        terminal = Terminal(gateway, tmp_path, "batch", "films.jsonl")
        assert terminal.end() == 1
    lines = [line.strip() for line in terminal.shown.splitlines() if line.strip()]
    assert any(line.startswith("2 failed; 0 credits 2/2 0:") for line in lines), lines
    assert lines[-1] == "2/2: 2 failed; 0 credits"
    # Brackets of the gateway are text.
    messages = [
        line for line in lines if re.match(r"kling-2 \S+: job \S+ failed: \[bold\]blocked\[/bold\]", line)
    ]
    assert len(messages) == 2


def test_jobs_can_be_resumed_after_ctrl_c(gateway: Gateway, tmp_path: Path) -> None:
    submitted = Terminal(gateway, tmp_path, "submit", "kling-2", "prompt=x")
    assert submitted.end() == 0
    gateway.hangs = True
    terminal = Terminal(gateway, tmp_path, "resume")
    wait_until(lambda: gateway.is_asked)
    terminal.interrupt()
    assert terminal.end() == 4
    assert "submitted jobs continue; run `kling resume` again within the hour" in terminal.shown
    gateway.hangs = False
    again = Terminal(gateway, tmp_path, "resume", "--json")
    assert again.end() == 0
    assert json.loads(again.printed)["request_id"] == submitted.printed.strip()
