"""What a storage learns of the job whose file it stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters.hookspecs import JobContext, Location, hookimpl
from tests.support.clients import OpenClient


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


def test_storage_receives_the_job(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    filing = Filing()

    with open_client(sandbox, plugins=[filing], journal=tmp_path / "journal") as kling:
        result = kling.run("kling-2", prompt="a secret plan", duration=5, save_to="filing:")
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


def test_storage_receives_a_resumed_job(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    filing = Filing()
    options: dict[str, Any] = {"plugins": [filing], "journal": tmp_path / "journal"}

    with open_client(sandbox, **options) as kling:
        filing.is_down = True
        with pytest.raises(ka.StorageError):
            kling.run("kling-2", prompt="x", save_to="filing:")
    with open_client(sandbox, **options) as kling:
        filing.is_down = False
        assert [outcome.error for outcome in kling.resume()] == [None]
    [job] = filing.jobs
    assert (job.model, job.params, job.number, job.count) == ("kling-2", {"prompt": "x"}, 1, 1)


def test_job_without_a_journal_has_no_params(open_client: OpenClient, sandbox: Sandbox) -> None:
    filing = Filing()

    with open_client(sandbox, plugins=[filing], journal=None) as kling:
        kling.run("kling-2", prompt="x", save_to="filing:")
    assert [job.params for job in filing.jobs] == [None]
