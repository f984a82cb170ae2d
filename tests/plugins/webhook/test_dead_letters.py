"""Messages that could not be delivered: stored when the client closes, and delivered again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

from tests.plugins.webhook.conftest import (
    EVENTS,
    SECRET,
    Receiver,
    StoppableClock,
    drain,
    make_events,
    make_webhook,
    read_letters,
    unreachable_url,
)


def test_close_delivers_or_stores_every_message(receiver: Receiver, letters: Path) -> None:
    receiver.answer = lambda payload: 503 if payload["data"]["request_id"] == "a" else 204
    clock = StoppableClock(longest=30.0)
    plugin = make_webhook(receiver.url, clock=clock)
    for event in make_events("a", "submitted", "completed") + make_events("b", "completed"):
        plugin.kling_event(event)
    assert clock.stopped.wait(30)  # the next attempt is due in a minute
    plugin.kling_close()
    assert ("b", "completed") in receiver.events
    assert [letter["payload"]["type"] for letter in read_letters(letters)] == [
        "kling.job.submitted",
        "kling.job.completed",
    ]
    assert "closed" in read_letters(letters)[0]["reason"]
    receiver.answer = lambda _: 204
    before = len(receiver.requests)
    clock.go.set()
    plugin.kling_event(make_events("c", "completed")[0])  # a plugin shared with another client continues
    drain(plugin)
    assert receiver.events[before:] == [("c", "completed")]
    assert len(read_letters(letters)) == 2


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


def run_process(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "KLING_WEBHOOK_SECRET": SECRET, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_unclosed_process_loses_no_message(receiver: Receiver, letters: Path) -> None:
    done = run_process(sys.executable, "-c", UNCLOSED, receiver.url)
    assert done.returncode == 0, done.stderr
    assert receiver.events == [("r1", "submitted"), ("r1", "completed")]
    assert not letters.exists()
    done = run_process(sys.executable, "-c", UNCLOSED, unreachable_url(), "down")
    assert done.returncode == 0, done.stderr
    assert [letter["payload"]["type"] for letter in read_letters(letters)] == [
        "kling.job.submitted",
        "kling.job.completed",
    ]


def test_redeliver_sends_dead_letters(receiver: Receiver, letters: Path) -> None:
    plugin = make_webhook(unreachable_url())
    for event in (
        make_events("a", "submitted", "completed") + make_events("b", "failed") + [EVENTS["submit_uncertain"]]
    ):
        plugin.kling_event(event)
    drain(plugin)
    undelivered = read_letters(letters)
    assert {letter["reason"].split(":")[0] for letter in undelivered} == {"ConnectError"}
    assert letters.stat().st_mode & 0o777 == 0o600
    kling = str(Path(sys.executable).with_name("kling"))

    still_down = run_process(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=unreachable_url())
    assert still_down.returncode == 3
    assert "0 of 4 delivered" in still_down.stdout
    assert read_letters(letters) == undelivered

    receiver.answer = lambda payload: 500 if payload["type"] == "kling.job.submitted" else 204
    partly = run_process(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url)
    assert partly.returncode == 3
    assert "2 of 4 delivered" in partly.stdout
    assert "an earlier webhook of the same job" in partly.stderr
    letters_of_a = [letter for letter in undelivered if letter["payload"]["data"]["request_id"] == "a"]
    assert read_letters(letters) == letters_of_a  # the order of the job is unchanged

    receiver.answer = lambda _: 204
    before = len(receiver.requests)
    rest = run_process(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url)
    assert (rest.returncode, rest.stderr) == (0, "")
    assert receiver.ids[before:] == [letter["id"] for letter in letters_of_a]
    for headers, body in receiver.requests[before:]:
        standardwebhooks.Webhook(SECRET).verify(body, headers)
    assert letters.read_text() == ""
    assert letters.stat().st_mode & 0o777 == 0o600
    assert run_process(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url).returncode == 0
    unset = run_process(kling, "webhooks", "redeliver")
    assert (unset.returncode, "set KLING_WEBHOOK_URL" in unset.stderr) == (2, True)


def test_redeliver_keeps_new_dead_letters(receiver: Receiver, letters: Path) -> None:
    plugin = make_webhook(unreachable_url())
    plugin.kling_event(make_events("a", "completed")[0])
    drain(plugin)

    def answer(_: dict[str, Any]) -> int:
        later = make_webhook(unreachable_url())
        later.kling_event(make_events("b", "completed")[0])
        drain(later)
        return 204

    receiver.answer = answer
    kling = str(Path(sys.executable).with_name("kling"))
    assert run_process(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url).returncode == 0
    assert [letter["payload"]["data"]["request_id"] for letter in read_letters(letters)] == ["b"]


def test_unreadable_line_does_not_block_others(receiver: Receiver, letters: Path) -> None:
    letters.parent.mkdir()
    letters.write_text('{"id": "msg_1", "reas')  # an interrupted write
    plugin = make_webhook(unreachable_url())
    plugin.kling_event(make_events("a", "completed")[0])
    drain(plugin)
    assert len(letters.read_text().splitlines()) == 2
    assert letters.stat().st_mode & 0o777 == 0o600
    kling = str(Path(sys.executable).with_name("kling"))
    done = run_process(kling, "webhooks", "redeliver", KLING_WEBHOOK_URL=receiver.url)
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
    ids = [letter["id"] for letter in read_letters(letters)]
    assert len(ids) == 2 * 147
    for name in "ab":
        own_ids = [letter_id for letter_id in ids if letter_id.startswith(name)]
        assert own_ids == [f"{name}-{n}" for n in range(150) if n % 50 != 49]


def test_unwritable_dead_letter_file_is_logged(
    tmp_path: Path, letters: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.joinpath("file").touch()
    plugin = make_webhook(unreachable_url(), dead_letters=tmp_path / "file" / "letters")
    plugin.kling_event(EVENTS["completed"])
    drain(plugin)
    assert "these webhooks are lost" in caplog.text
    assert "kling.job.completed r1" in caplog.text
