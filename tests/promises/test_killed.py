"""A process that is killed at any moment loses nothing that was paid for, and what it left is finished by the next."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from kling_adapters.journal.journal import Journal
from kling_adapters.testing import MP4, FakeGateway

# What `make test` has time for; `make crash` has 500 jobs, and kills a hundred times.
JOBS = int(os.environ.get("KLING_CRASH_JOBS", "60"))
KILLS = int(os.environ.get("KLING_CRASH_KILLS", "10"))

WORKER = """
import sys

import anyio

from kling_adapters import AsyncKling

url, key, journal, folder, count = sys.argv[1:]


async def main():
    requests = ({"model": "kling-2", "prompt": f"job {number}"} for number in range(int(count)))
    async with AsyncKling(base_url=url, api_key=key, journal=journal) as kling:
        print("ready", flush=True)
        async for _ in kling.map(requests, name="all of them", save_to=folder, concurrency=8):
            pass


anyio.run(main)
"""


def test_jobs_survive_repeated_kills_of_a_process(tmp_path: Path) -> None:
    chance = random.Random(JOBS * KILLS)
    journal, folder = tmp_path / "journal.sqlite3", tmp_path / "out"
    with FakeGateway() as gateway:
        options = (gateway.base_url, gateway.api_key, journal, folder, JOBS)
        command = [sys.executable, "-c", WORKER, *map(str, options)]
        kills = 0
        while kills < KILLS:
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
                time.sleep(chance.uniform(0.0, 0.6))
                if process.poll() is None:
                    kills += 1
                    process.send_signal(signal.SIGKILL)
                    continue
            # It was done before it could be killed: kill it while it looks at what is done.
            kills += 1
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    posts = Counter(request.params["prompt"] for request in gateway.requests if request.method == "POST")
    entries = Journal(journal).entries()
    states = Counter(entry.state for entry in entries)
    sys.stdout.write(f"{JOBS} jobs, {KILLS} kills: {dict(states)}, {posts.total()} submits\n")
    assert posts.total() == len(posts), (
        f"sent more than once: {[prompt for prompt in posts if posts[prompt] > 1]}"
    )
    assert {entry.params["prompt"] for entry in entries} == {f"job {number}" for number in range(JOBS)}
    assert set(states) <= {"COMPLETED", "UNCERTAIN"}
    assert states["UNCERTAIN"] <= KILLS
    assert states["COMPLETED"] + states["UNCERTAIN"] == JOBS
    for entry in entries:
        if entry.state == "COMPLETED":
            [file] = entry.files
            assert file.path.read_bytes() == MP4
    assert len([path for path in folder.iterdir() if path.suffix == ".mp4"]) == states["COMPLETED"]
