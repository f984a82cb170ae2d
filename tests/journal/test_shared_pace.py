"""Processes that share a journal and a key share its rate limit."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from kling_adapters import Kling, RateLimited
from kling_adapters.journal.journal import Journal
from kling_adapters.testing import SimulatedClock

CLIENT = """
import json, sys, time
import httpx
from kling_adapters import Kling

times = []

def answer(request):
    times.append(time.time())
    return httpx.Response(200, json={"credits": 1.0, "free-credits": 0.0})

transport = httpx.MockTransport(answer)
with Kling(api_key="SG_shared", journal=sys.argv[1], transport=transport, rate_limit=600) as kling:
    print("ready", flush=True)
    sys.stdin.read()
    for _ in range(10):
        kling.credits()
print(json.dumps(times))
"""
SUBMIT = """
import sys
from kling_adapters import Kling

Kling(api_key="SG_shared", journal=sys.argv[1]).submit("kling-2", prompt="x", timeout=5)
"""
SPACING = 0.1
"""Seconds between two requests, at 600 a minute."""


def check_spacing(times: list[float]) -> None:
    """Check that requests are spaced like those of one process; of two that share nothing they take half as long."""
    assert len(times) == 20
    assert max(times) - min(times) > 0.75 * SPACING * (len(times) - 1)


def refuse(_: httpx.Request) -> httpx.Response:
    return httpx.Response(429, headers={"retry-after": "500"})


def meet_limit(path: Path) -> None:
    """Let a client learn that its key is limited for eight minutes."""
    transport = httpx.MockTransport(refuse)
    with Kling(api_key="SG_shared", journal=path, transport=transport, clock=SimulatedClock()) as kling:
        with pytest.raises(RateLimited):
            kling.credits()
        assert kling.entries() == []


def test_given_limit_is_kept_by_processes_together(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", CLIENT, str(tmp_path / "journal")]
    pipe, times = subprocess.PIPE, list[float]()
    with (
        subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True) as first,
        subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True) as second,
    ):
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in (first, second):
            assert process.stdin is not None
            process.stdin.close()
        for process in (first, second):
            assert process.stdout is not None
            times += json.loads(process.stdout.read())
    check_spacing(times)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_keeps_the_limit(tmp_path: Path) -> None:
    script = CLIENT.replace("sys.stdin.read()", "import os; child = os.fork()").replace(
        'print("ready", flush=True)', ""
    )
    script = script.replace("dumps(times))", "dumps(times), flush=True)\nif child:\n    os.wait()")
    arguments = [sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "journal")]
    process = subprocess.run(arguments, capture_output=True, text=True, check=True)
    check_spacing([time for line in process.stdout.splitlines() for time in json.loads(line)])


def test_another_process_knows_a_learnt_limit(tmp_path: Path) -> None:
    meet_limit(tmp_path / "journal")
    arguments = [sys.executable, "-c", SUBMIT, str(tmp_path / "journal")]
    process = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert "RateLimited" in process.stderr
    assert "longer than this submit may wait" in process.stderr


def test_key_is_in_the_journal_as_a_fingerprint(tmp_path: Path) -> None:
    meet_limit(tmp_path / "journal")
    assert b"SG_shared" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["x", "[]", "{}", "9" * 20000, b"\xff\xff", 5, 1.5])
def test_damaged_pace_stops_no_request(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "journal"
    meet_limit(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("UPDATE paces SET pace = ?", (damage,)).rowcount == 1
        connection.commit()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"credits": 2.0, "free-credits": 0.0}))
    clock = SimulatedClock()
    with Kling(api_key="SG_shared", journal=path, transport=transport, clock=clock, rate_limit=5) as kling:
        assert kling.credits().credits == 2.0
        assert clock.now() < 1


def test_journal_of_an_earlier_version_gets_the_table(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with closing(Journal(path)) as journal:
        journal.intend("https://gateway.example", "kling-2", {}, "SG_shared")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE paces")
        connection.commit()
    with closing(Journal(path)) as journal:
        assert journal.paces.find("gateway", "key") is None
        journal.paces.exchange("gateway", "key", lambda _: "pace")
        assert journal.paces.find("gateway", "key") == "pace"
        assert len(journal.entries()) == 1
