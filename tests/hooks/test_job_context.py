"""What a storage learns of the job whose file it stores."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import kling_adapters as ka
from kling_adapters.hookspecs import JobContext, Location, hookimpl
from tests.support.play import Play


class Filing:
    """Keeps the job of each file; with `is_down`, nothing can be stored."""

    def __init__(self) -> None:
        self.jobs: list[JobContext] = []
        self.is_down = False

    @hookimpl
    def kling_storage(self, url: str) -> Any:
        return self if url.startswith("filing:") else None

    def check(self) -> None: ...

    def open(self, name: str, content_type: str) -> Any:
        raise AssertionError("open_for is called instead")

    def open_for(self, job: JobContext, name: str, content_type: str) -> Any:
        if self.is_down:
            raise ka.StorageError("the cabinet is locked")
        self.jobs.append(job)
        return self

    def write(self, chunk: bytes) -> None: ...

    def commit(self, sha256: str) -> Location:
        return Location(f"filing:{len(self.jobs)}")

    def abort(self) -> None: ...


def test_storage_receives_the_job(play: Play, tmp_path: Path) -> None:
    filing = Filing()

    async def scenario(kling: Any) -> None:
        result = await kling.run("kling-2", prompt="a secret plan", duration=5, save_to="filing:")
        [job] = filing.jobs
        assert job == JobContext(
            result.request_id,
            "kling-2",
            {"prompt": "a secret plan", "duration": 5},
            result.metrics.cost,
            number=1,
            count=1,
        )
        assert job.cost is not None
        assert "secret" not in repr(job)

    play(scenario, plugins=[filing], journal=tmp_path / "journal")


def test_storage_receives_a_resumed_job(play: Play, tmp_path: Path) -> None:
    filing = Filing()
    options: dict[str, Any] = {"plugins": [filing], "journal": tmp_path / "journal"}

    async def interrupted(kling: Any) -> None:
        filing.is_down = True
        with pytest.raises(ka.StorageError):
            await kling.run("kling-2", prompt="x", save_to="filing:")

    async def resumed(kling: Any) -> None:
        filing.is_down = False
        resuming: Any = kling.resume()
        is_async = inspect.isasyncgen(resuming)
        outcomes: Any = [outcome async for outcome in resuming] if is_async else list(await resuming)
        assert [outcome.error for outcome in outcomes] == [None]

    play(interrupted, **options)
    play(resumed, **options)
    [job] = filing.jobs
    assert (job.model, job.params, job.number, job.count) == ("kling-2", {"prompt": "x"}, 1, 1)


def test_job_without_a_journal_has_no_params(play: Play) -> None:
    filing = Filing()

    async def scenario(kling: Any) -> None:
        await kling.run("kling-2", prompt="x", save_to="filing:")

    play(scenario, plugins=[filing], journal=None)
    assert [job.params for job in filing.jobs] == [None]
