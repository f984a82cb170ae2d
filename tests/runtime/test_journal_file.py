"""The file of the journal in odd places: not writable, full, damaged, badly named, readable by other users."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

import kling_adapters as ka
from kling_adapters import Kling
from kling_adapters.journal.journal import Journal
from kling_adapters.journal.location import default_path
from kling_adapters.testing import FakeGateway

GATEWAY = "https://gateway.example"
KEY = "SG_0123456789"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal(tmp_path / "state" / "journal.sqlite3")) as journal:
        yield journal


def intend(journal: Journal, count: int = 1) -> list[int]:
    return [journal.intend(GATEWAY, "kling-2", {"prompt": "a secret film"}, KEY) for _ in range(count)]


def test_new_journal_opens_in_eight_threads(tmp_path: Path) -> None:
    workers = 8
    barrier = Barrier(workers)

    def open_new(path: Path) -> list[int]:
        with closing(Journal(path)) as journal:
            barrier.wait(30)
            return intend(journal)

    with ThreadPoolExecutor(workers) as threads:
        for number in range(25):
            entries = list(threads.map(open_new, [tmp_path / str(number) / "journal.sqlite3"] * workers))
            assert sorted(entries) == [[entry] for entry in range(1, workers + 1)]


def change(journal: Journal, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(journal.path)) as connection, connection:
        connection.execute(statement, values)


# Root can write everything, so the process becomes another user once its imports are done.
READING = """
import os, sys
import kling_adapters.models
from kling_adapters import StorageError
from kling_adapters.journal.journal import Journal

if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
journal = Journal(sys.argv[1])
for entry in journal.entries():
    print(entry.id, entry.state, entry.request_id)
try:
    journal.intend("https://gateway", "kling-2", {}, "SG_1")
except StorageError as error:
    print(error)
"""


@pytest.mark.parametrize("obstacle", ["folder", "file", "open elsewhere"])
def test_unwritable_journal_is_read(obstacle: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = Journal(folder / "state" / "a %41?b#c")
        numbers = intend(journal, 2)
        journal.update(numbers[0], request_id="job-1", state="QUEUED")
        if obstacle != "open elsewhere":
            journal.close()
        for path in (folder, folder / "state"):
            path.chmod(0o755)
        for path in (folder / "state").iterdir():
            path.chmod(0o444)
        if obstacle == "file":
            (folder / "state").chmod(0o777)
        elif os.geteuid() != 0:
            (folder / "state").chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", READING, journal.path],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        (folder / "state").chmod(0o755)
        journal.close()
    first, second, error = done.stdout.splitlines()
    assert first == "1 QUEUED job-1"
    # The owner of a file that cannot be opened may be alive.
    assert second == f"2 {'SUBMITTING' if obstacle == 'open elsewhere' else 'UNCERTAIN'} None"
    assert "Nothing was sent" in error
    assert "KLING_JOURNAL" in error


FULL = """
import resource, signal, sys
import kling_adapters.models
from kling_adapters import Kling, StorageError

url, key, journal = sys.argv[1:]
with Kling(base_url=url, api_key=key, journal=journal) as kling:
    kling.submit("kling-2", prompt="x")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        kling.submit("kling-2", prompt="y")
    except StorageError as error:
        print(error)
with Kling(base_url=url, api_key=key, journal=journal) as kling:
    print(len(kling.entries()))
"""


def test_full_disk_stops_submits_but_not_reads(tmp_path: Path) -> None:
    with FakeGateway() as gateway:
        done = subprocess.run(
            [sys.executable, "-c", FULL, gateway.base_url, gateway.api_key, str(tmp_path / "journal")],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        posts = [request for request in gateway.requests if request.method == "POST"]
    error, count = done.stdout.splitlines()
    assert "cannot be used" in error
    assert "Nothing was sent" in error
    assert (len(posts), count) == (1, "1")


def test_readable_files_are_closed_to_other_users(journal: Journal) -> None:
    old = os.umask(0)
    try:
        intend(journal)
        files = [path for path in journal.path.parent.iterdir() if path.name.startswith(journal.path.name)]
        assert len(files) == 4
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700
        for path in files:
            path.chmod(0o666)
        with closing(Journal(journal.path)) as second:
            intend(second)
        assert {stat.S_IMODE(path.stat().st_mode) for path in files if path.suffix != ".alive"} == {0o600}
    finally:
        os.umask(old)


@pytest.mark.parametrize(
    "damage",
    [
        "params = '{'",
        "params = '[]'",
        "result = 'x'",
        "files = '[{\"url\": 7}]'",
        "files = '[{}]'",
        "files = '7'",
        "created = 'yesterday'",
        "cost = 'much'",
        "model = x'ff'",
    ],
)
def test_damaged_entry_is_left_out_with_a_warning(
    damage: str, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = intend(journal, 3)
    change(journal, f"UPDATE jobs SET {damage} WHERE id = ?", numbers[1])
    assert [entry.id for entry in journal.entries()] == [numbers[0], numbers[2]]
    assert f"entry {numbers[1]} of the journal" in caplog.text


def test_text_with_lone_surrogates_is_kept(journal: Journal) -> None:
    folder = os.fsdecode(b"/films/\xff")
    number = journal.intend(GATEWAY, "kling-2", {"prompt": "half \ud83d"}, KEY, folder, "tag \udcfe")
    journal.update(number, request_id="job \ud83d", state="QUEUED")
    journal.update_job(GATEWAY, "job \ud83d", state="PROCESSING", reason="reason \ud83d")
    [entry] = journal.entries()
    assert (entry.params, entry.save_to, entry.tag) == ({"prompt": "half \ud83d"}, folder, "tag \udcfe")
    assert (entry.request_id, entry.state, entry.reason) == ("job \ud83d", "PROCESSING", "reason \ud83d")
    assert journal.find(GATEWAY, "job \ud83d") == entry


def test_deleted_entries_are_overwritten(journal: Journal) -> None:
    first, second, third = intend(journal, 3)
    journal.update(first, state="REFUSED", reason="no")
    journal.update(second, state="REFUSED", reason="no")
    # A submit that is under way stays: its answer must find it.
    assert journal.forget([first, first, second, third, 99]) == 2
    assert [entry.id for entry in journal.entries()] == [third]
    journal.update(third, state="REFUSED", reason="no")
    assert journal.forget([third]) == 1
    files = [path for path in journal.path.parent.iterdir() if path.suffix != ".alive"]
    assert not any(b"a secret film" in path.read_bytes() for path in files)


def test_forget_creates_no_file(journal: Journal) -> None:
    assert journal.forget([1]) == 0
    assert not journal.path.exists()


@pytest.mark.parametrize("days", ["nan", "-1", "-inf", "", "ten"])
def test_invalid_days_are_refused_before_the_submit(
    days: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLING_JOURNAL_DAYS", days)
    with FakeGateway() as gateway:
        with (
            Kling(base_url=gateway.base_url, api_key=gateway.api_key, journal=tmp_path / "journal") as kling,
            pytest.raises(ka.ConfigError, match=r"KLING_JOURNAL_DAYS is .* Nothing was sent"),
        ):
            kling.submit("kling-2", prompt="x")
        assert gateway.requests == []


@pytest.mark.parametrize("days", ["inf", "1e300", "0.5"])
def test_large_and_fractional_days_are_accepted(
    days: str, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    [entry] = intend(journal)
    journal.update(entry, state="REFUSED", reason="no")
    journal.close()
    monkeypatch.setenv("KLING_JOURNAL_DAYS", days)
    assert len(journal.entries()) == 1


@pytest.mark.parametrize(
    "name", ["file:x?mode=memory", ":memory:", "a%41?b#c", os.fsdecode(b"\xff"), "-journal", " "]
)
def test_odd_names_are_file_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(Journal(name)) as journal:
        intend(journal)
        journal.close()
        assert [path.name for path in tmp_path.iterdir()] == [name]
        monkeypatch.chdir("/")
        assert [entry.state for entry in journal.entries()] == ["UNCERTAIN"] or len(journal.entries()) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders")
def test_pipe_at_the_path_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    main = "from kling_adapters.cli import main; main()"
    command = [sys.executable, "-c", main, "jobs", "--journal", str(tmp_path / "pipe")]
    # A process of its own: SQLite opens the pipe again after each signal, so that nothing but SIGKILL would end it.
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 5
    assert "it is not a plain file" in done.stderr


@pytest.mark.parametrize("name", ["a\0b", "~no-user-of-this-name/journal", "lone \ud83d"])
def test_impossible_file_name_is_refused(name: str) -> None:
    with pytest.raises(ka.ConfigError, match=r"journal.*Nothing was sent"):
        Kling(api_key=KEY, journal=name)


@pytest.mark.parametrize("name", [".", "x" * 300, "file/journal"])
def test_impossible_place_is_a_storage_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    mode = tmp_path.stat().st_mode
    with closing(Journal(tmp_path / name)) as journal:
        with pytest.raises(ka.StorageError, match=r"cannot be used.*Nothing was sent.*KLING_JOURNAL"):
            intend(journal)
        with pytest.raises(ka.StorageError, match=r"cannot be used.*KLING_JOURNAL"):
            journal.entries()
        with pytest.raises(ka.StorageError, match=r"cannot be used.*Nothing was sent.*KLING_JOURNAL"):
            journal.lock_batch("0123")
    assert tmp_path.stat().st_mode == mode


@pytest.mark.skipif(sys.platform == "win32", reason="the state folder is not that of HOME there")
@pytest.mark.parametrize("state", ["", "relative/folder"])
def test_user_without_home_gets_the_variable_to_set(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KLING_JOURNAL")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999_999 - 10)
    if state:
        monkeypatch.setenv("XDG_STATE_HOME", state)
    with pytest.raises(ka.ConfigError, match=r"HOME nor XDG_STATE_HOME.*KLING_JOURNAL.*Nothing was sent"):
        default_path()


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is open cannot be removed there")
@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_submit_is_recorded_after_the_journal_was_moved(change: str, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    path = folder / "journal"
    with FakeGateway() as gateway:
        options: dict[str, Any] = {"base_url": gateway.base_url, "api_key": gateway.api_key}
        with Kling(**options, journal=path) as kling:
            first = kling.submit("kling-2", prompt="first").request_id
            folder.rename(elsewhere)
            if change == "replaced":
                with Kling(**options, journal=path) as second_client:
                    second_client.submit("kling-2", prompt="other")
            second = kling.submit("kling-2", prompt="second").request_id
            assert [entry.request_id for entry in kling.entries()][-1] == second
    with closing(Journal(path)) as journal:
        entries = journal.entries()
    assert [entry.params["prompt"] for entry in entries] == ["other"] * (change == "replaced") + ["second"]
    with closing(Journal(elsewhere / "journal")) as journal:
        assert [entry.request_id for entry in journal.entries()] == [first]


def test_lock_files_of_another_journal_stay(tmp_path: Path) -> None:
    nearby = tmp_path / "jobs-2026-0123.batch"
    nearby.touch()
    with closing(Journal(tmp_path / "jobs")) as journal:
        intend(journal)
        journal.entries()
    assert nearby.exists()
    with closing(Journal(tmp_path / "jobs-2026")) as journal:
        intend(journal)
        journal.entries()
    assert not nearby.exists()
