"""Submit, wait and save, killed before each of their effects in turn: `resume` brings the file, and nothing is paid twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kling_adapters.journal import Journal, JournalEntry
from kling_adapters.testing import MP4, FakeGateway

from .mortal import Died, Nursery

# `make test` kills before every seventh effect; `make crash` before each.
STEP = 1 if os.environ.get("KLING_CRASH_SWEEP") else 7
MOST_EFFECTS = 2000


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as running:
        yield running


@pytest.mark.parametrize("place_from", ["submit", "save", "resume"])
def test_resume_brings_the_file_once(nursery: Nursery, tmp_path: Path, place_from: str) -> None:
    resumed = 0
    with FakeGateway() as gateway:
        for number in range(0, MOST_EFFECTS, STEP):
            home = tmp_path / str(number)
            left_behind, entry = kill_and_resume(nursery, gateway, home, number, place_from)
            submits = [request for request in gateway.requests if request.params == {"prompt": str(number)}]
            if entry is None or entry.request_id is None:
                # What was sent and not answered before the kill is reported, and never repeated.
                assert entry is not None or not submits
                assert entry is None or entry.state == "UNCERTAIN"
                continue
            assert len(submits) == 1
            if place_from == "save" and left_behind.save_to is None:
                # It was killed before `save`, and nobody has said where the file belongs.
                assert list((home / "out").glob("*")) == []
                continue
            [path] = (home / "out").iterdir()
            assert path.read_bytes() == MP4
            assert [file.path for file in entry.files] == [path]
            if left_behind.files:
                assert resumed
                return
            resumed += 1
    raise AssertionError("the process was never left alone until the end")


def kill_and_resume(
    nursery: Nursery, gateway: FakeGateway, home: Path, number: int, place_from: str
) -> tuple[Any, Any]:
    """Kill a process before the effect of this number and resume in another; return the entry before and after that."""
    home.mkdir()
    folder, journal = str(home / "out"), home / "journal"
    life = nursery.bear(gateway.base_url, gateway.api_key, journal, lambda _: None)
    arguments = ("kling-2", {"prompt": str(number)}, folder, folder if place_from == "submit" else None)
    with pytest.raises(Died):
        life.do("submit_wait_save", *arguments, now=0.0, dies_at=number)
    left_behind = entry_of(journal)
    life = nursery.bear(gateway.base_url, gateway.api_key, journal, lambda _: None)
    outcomes = life.do("resume", folder if place_from == "resume" else None, 1, now=0.0)
    life.end()
    assert all(error in (None, "SubmitUncertain") for _, error in outcomes)
    return left_behind, entry_of(journal)


def entry_of(path: Path) -> JournalEntry | None:
    with closing(Journal(path)) as journal:
        return next(iter(journal.entries()), None)
