"""A client that is carried across a fork, and across event loops: nothing is shared that must not be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kling_sandbox import Sandbox

from kling_adapters.journal.journal import Journal
from kling_adapters.testing import PNG, FakeGateway
from tests.support.scripted_server import (
    Action,
    Reply,
    Request,
    ScriptedServer,
    Silence,
    json_reply,
    submit_reply,
)

# What `make test` has time for; 2,000 is the whole.
WAITS = int(os.environ.get("KLING_FORK_WAITS", "160"))
CHILDREN = 8


def command(code: str, *arguments: object) -> list[str]:
    # Python 3.12 and later warn of every fork of a process that has threads.
    return [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *map(str, arguments)]


def run(code: str, *arguments: object) -> str:
    done = subprocess.run(command(code, *arguments), capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def complete_job(request: Request) -> Reply:
    """Return the result of the job in the path; its output contains the request id."""
    request_id = request.path.split("/")[3]
    output = f"https://files.example/{request_id}.mp4"
    return json_reply(200, {"status": "COMPLETED", "request_id": request_id, "output": output})


WAITING = """
import asyncio, os, sys
import kling_adapters

kind, url, journal, children, waits = sys.argv[1:]
kling = getattr(kling_adapters, kind)(base_url=url, api_key="SG_0123456789abcdef", journal=journal)

def wait(ids):
    if kind == "Kling":
        return [kling.job(request_id, "kling-2").wait(60).output for request_id in ids]
    return asyncio.run(wait_async(ids))

async def wait_async(ids):
    return [(await kling.job(request_id, "kling-2").wait(60)).output for request_id in ids]

wait(["first"])
processes = []
for child in range(int(children)):
    if (process := os.fork()) == 0:
        count = int(waits) // int(children)
        ids = [f"job-{child}-{number}" for number in range(count)]
        foreign = sum(request_id not in output for request_id, output in zip(ids, wait(ids)))
        os.write(1, f"{count} {foreign}\\n".encode())
        os._exit(0)
    processes.append(process)
assert all(os.waitpid(process, 0)[1] == 0 for process in processes)
assert "first" in wait(["first"])[0]
kling.close() if kind == "Kling" else asyncio.run(kling.close())
"""


@pytest.mark.parametrize("kind", ["Kling", "AsyncKling"])
def test_forked_children_get_their_own_results(kind: str, tmp_path: Path) -> None:
    with ScriptedServer(complete_job) as server:
        lines = run(WAITING, kind, server.url, tmp_path / "journal", CHILDREN, WAITS).splitlines()
    counts = [tuple(map(int, line.split())) for line in lines]
    sys.stdout.write(f"{kind}: {sum(count for count, _ in counts)} waits\n")
    assert [foreign for _, foreign in counts] == [0] * CHILDREN
    assert sum(count for count, _ in counts) == WAITS // CHILDREN * CHILDREN
    assert server.connections > CHILDREN


LOOPS = """
import asyncio, sys
import anyio
from kling_adapters import AsyncKling

url, key, journal, backend, folder = sys.argv[1:]

async def work(number):
    return (await kling.run("kling-2", prompt=f"film {number}", save_to=folder)).request_id

class Clock:
    now = staticmethod(lambda: 0.0)
    sleep = staticmethod(lambda seconds: None)
    async def sleep_async(self, seconds):
        await anyio.sleep(0)

kling = AsyncKling(base_url=url, api_key=key, journal=journal, clock=Clock())
for number in range(10):
    print(anyio.run(work, number, backend=backend))
anyio.run(kling.close, backend=backend)
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_async_client_works_in_ten_event_loops(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    journal = tmp_path / "journal"
    with FakeGateway() as gateway:
        arguments = (gateway.base_url, gateway.api_key, str(journal), backend, str(tmp_path / "out"))
        # Connections that their loop did not close are warned of on stderr.
        done = subprocess.run(
            [sys.executable, "-W", "always::ResourceWarning", "-c", LOOPS, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
    posts = [request for request in gateway.requests if request.method == "POST"]
    assert len(posts) == 10
    entries = Journal(journal).entries()
    assert [entry.request_id for entry in entries] == done.stdout.split()
    assert all(entry.files[0].path.exists() for entry in entries)


@contextmanager
def gateway_that_accepts(count: int) -> Iterator[tuple[str, threading.Semaphore]]:
    """A gateway that answers `count` submits and no other; the semaphore counts those that wait."""
    arrived = threading.Semaphore(0)

    def accept(request: Request) -> Action:
        if request.connection <= count:
            return submit_reply(f"job-{request.connection}")
        arrived.release()
        return Silence()

    with ScriptedServer(accept) as server:
        yield server.url, arrived


CARRIED = """
import os, subprocess, sys, threading, time
from kling_adapters import Kling

url, journal, what = sys.argv[1:]
kling = Kling(base_url=url, api_key="SG_0123456789abcdef", journal=journal)
kling.submit("kling-2", prompt="a")

def submit():
    kling.submit("kling-2", prompt="b")

def start_child(act):
    process = os.fork()
    if process == 0:
        act()
        sys.exit(0)
    return process

if what == "child submits":
    print(start_child(submit), flush=True)
    time.sleep(60)
threading.Thread(target=submit, daemon=True).start()
sys.stdin.readline()
if what == "child closes":
    os.waitpid(start_child(kling.close), 0)
    print("done", flush=True)
elif what == "child ends":
    os.waitpid(start_child(int), 0)
    print("done", flush=True)
elif what == "child lives on":
    # The child writes: it has closed what it must not keep.
    start_child(lambda: (print(os.getpid(), flush=True), time.sleep(60)))
elif what == "program lives on":
    print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False).pid, flush=True)
time.sleep(60)
"""


@contextmanager
def run_open_submit(scenario: str, journal: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process with a submit that is not answered, and the line that it wrote."""
    with (
        gateway_that_accepts(1) as (url, arrived),
        subprocess.Popen(
            command(CARRIED, url, journal, scenario), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert arrived.acquire(timeout=60)
            process.stdin.write("\n")
            process.stdin.flush()
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def states(journal: Path) -> list[str]:
    return [entry.state for entry in Journal(journal).entries()]


@pytest.mark.parametrize("scenario", ["child closes", "child ends"])
def test_child_ignores_the_submit_of_its_parent(scenario: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with run_open_submit(scenario, journal) as (_, line):
        assert line == "done"
        assert states(journal) == ["QUEUED", "SUBMITTING"]
        assert len(list(tmp_path.glob("*.alive"))) == 1


@pytest.mark.parametrize("scenario", ["child lives on", "program lives on"])
def test_child_does_not_keep_a_dead_parent_alive(scenario: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with run_open_submit(scenario, journal) as (process, line):
        try:
            assert states(journal) == ["QUEUED", "SUBMITTING"]
            process.kill()
            process.wait()
            assert states(journal) == ["QUEUED", "UNCERTAIN"]
            os.kill(int(line), 0)
        finally:
            os.kill(int(line), signal.SIGKILL)
    assert not list(tmp_path.glob("*.alive"))


def test_submit_of_a_killed_child_is_uncertain(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with run_open_submit("child submits", journal) as (process, line):
        assert states(journal) == ["QUEUED", "SUBMITTING"]
        os.kill(int(line), signal.SIGKILL)
        end = time.monotonic() + 20
        while "SUBMITTING" in states(journal) and time.monotonic() < end:
            time.sleep(0.01)
        assert states(journal) == ["QUEUED", "UNCERTAIN"]
        assert process.poll() is None


PARENT_CLOSES = """
import os, sys
from kling_adapters.journal.journal import Journal

def write(who):
    for number in range(20):
        journal.update(journal.intend("https://gateway", "kling-2", {}, "SG_1"), request_id=f"{who}-{number}", state="QUEUED")

journal = Journal(sys.argv[1])
write("before")
start, go = os.pipe()
ready, report = os.pipe()
if (process := os.fork()) == 0:
    write("child")
    os.write(report, b"1")
    os.read(start, 1)
    write("child after the parent had closed")
    journal.close()
    os._exit(0)
os.read(ready, 1)
write("parent")
journal.close()
os.write(go, b"1")
assert os.waitpid(process, 0)[1] == 0
"""


QUIET = """
import os, sys
from kling_adapters import Kling
kling = Kling(base_url=sys.argv[1], api_key=sys.argv[2], journal=None)
kling.credits()
if child := os.fork():
    print(os.waitpid(child, 0)[1])
kling.credits()
kling.close()
"""


def test_child_drops_the_connections_of_its_parent_without_a_warning() -> None:
    with Sandbox() as sandbox:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", QUIET, sandbox.base_url, sandbox.api_key],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_records_of_a_child_are_not_lost(tmp_path: Path) -> None:
    run(PARENT_CLOSES, tmp_path / "journal")
    entries = Journal(tmp_path / "journal").entries()
    assert len({entry.request_id for entry in entries}) == 80


HELD = """
import os, signal, sys, threading, time
from pathlib import Path
from kling_adapters import Kling
from kling_adapters.protocol import uploads
from kling_adapters.hookspecs import hookimpl

url, journal, image, what = sys.argv[1:]
parent = os.getpid()
held = threading.Event()

def hold():
    if os.getpid() == parent:
        held.set()
        time.sleep(60)

class Auth:
    def api_key(self):
        return "SG_0123456789abcdef"

class Plugin:
    @hookimpl
    def kling_auth(self):
        if what == "finding the key":
            hold()
        return Auth()

class Clock:
    now = staticmethod(time.monotonic)
    def sleep(self, seconds):
        time.sleep(min(seconds, 0.01))
    async def sleep_async(self, seconds):
        raise NotImplementedError

kling = Kling(base_url=url, journal=journal, plugins=[Plugin()], clock=Clock())
if what == "an upload":
    make_data_url = uploads.make_data_url
    uploads.make_data_url = lambda *arguments: hold() or make_data_url(*arguments)
elif what == "a transaction":
    def transaction():
        with kling._session.journal._database.write():
            held.set()
            time.sleep(0.5)

def submit():
    kling.submit_raw("some-model", {"image": Path(image)})

threading.Thread(target=transaction if what == "a transaction" else submit, daemon=True).start()
held.wait()
if (process := os.fork()) == 0:
    signal.alarm(30)
    kling.submit_raw("some-model", {"image": Path(image)})
    os._exit(0)
assert os.waitpid(process, 0)[1] == 0, "the child was stuck"
os._exit(0)
"""


@pytest.mark.parametrize("scenario", ["finding the key", "an upload", "a transaction"])
def test_locks_held_at_a_fork_are_free_in_the_child(scenario: str, tmp_path: Path) -> None:
    image = tmp_path / "start.png"
    image.write_bytes(PNG)
    with FakeGateway() as gateway:
        run(HELD, gateway.base_url, tmp_path / "journal", image, scenario)
    [entry] = Journal(tmp_path / "journal").entries()
    assert entry.state == "QUEUED"


TAKING_TURNS = """
import os, sys
from kling_adapters.journal.journal import Journal

journal, owned = Journal(sys.argv[1]), sys.argv[1] + ".owned"
count = 0
for number in range(1500):
    lock = journal.lock_batch("0123")
    if lock is None:
        continue
    os.close(os.open(owned, os.O_CREAT | os.O_EXCL))
    os.unlink(owned)
    count += 1
    lock.release()
    if number % 10 == 0:
        journal.entries()
journal.close()
print(count)
"""


def test_one_process_at_a_time_runs_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    processes = [
        subprocess.Popen(command(TAKING_TURNS, path), stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    counts = [int(process.communicate(timeout=120)[0] or "0") for process in processes]
    assert [process.returncode for process in processes] == [0] * 3
    assert all(count > 0 for count in counts)
    assert not list(tmp_path.glob("*.batch"))


LEFT_OPEN = """
import os, sys
from kling_adapters import Kling

url, key, journal, name, ending = sys.argv[1:]
kling = Kling(base_url=url, api_key=key, journal=journal)
kling.submit("kling-2", prompt="x")
outcomes = kling.map([{"model": "kling-2", "prompt": name}, {"model": "kling-2", "prompt": "y"}], name=name)
if ending == "killed":
    next(outcomes)
    os.kill(os.getpid(), 9)
elif ending == "sys.exit":
    sys.exit(0)
"""


@pytest.mark.parametrize("ending", ["end", "sys.exit"])
def test_unclosed_client_leaves_no_lock_file(ending: str, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with FakeGateway() as gateway:
        run(LEFT_OPEN, gateway.base_url, gateway.api_key, path, "night", ending)
    assert {file.suffix for file in tmp_path.iterdir()} == {""}


def test_lock_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with FakeGateway() as gateway:
        for number in range(2):
            arguments = (gateway.base_url, gateway.api_key, path, f"night {number}", "killed")
            done = subprocess.run(command(LEFT_OPEN, *arguments), check=False, timeout=60)
            assert done.returncode == -signal.SIGKILL
    assert {file.suffix for file in tmp_path.iterdir()} >= {".alive", ".batch"}
    journal = Journal(path)
    lock = journal.lock_batch("0123")
    assert lock is not None
    journal.entries()
    assert [file.suffix for file in tmp_path.iterdir() if file.suffix] == [".batch"]
    lock.release()
    journal.close()
    assert {file.suffix for file in tmp_path.iterdir()} == {""}


CLOSING = """
import sys, threading
from kling_adapters import Kling

kling = Kling(base_url=sys.argv[1], api_key=sys.argv[2], journal=sys.argv[3])
kling.submit("kling-2", prompt="x")
threads = [threading.Thread(target=kling.close) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_several_threads_can_close_a_client(tmp_path: Path) -> None:
    with FakeGateway() as gateway:
        run(CLOSING, gateway.base_url, gateway.api_key, tmp_path / "journal")
    assert {file.suffix for file in tmp_path.iterdir()} == {""}
