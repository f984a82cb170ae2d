"""`kling reconcile`, and what `kling jobs --uncertain` says about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from kling_sandbox import Fault, Faults, Sandbox

import kling_adapters as ka
from kling_adapters import Kling
from kling_adapters.journal.journal import Journal

from .conftest import run_kling


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(timing="polls:1") as running:
        yield running


@pytest.fixture
def environment(sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    """Lose a submit, whose job is not in the history yet."""
    sandbox.faults = Faults([Fault("reset-late", method="POST", path="/v2/*")])
    client = Kling(
        base_url=sandbox.base_url, api_key=sandbox.api_key, journal=tmp_path / "journal", history=False
    )
    with closing(client) as kling, pytest.raises(ka.SubmitUncertain):
        kling.submit("kling-2", prompt="a heron", save_to=tmp_path / "out")
    sandbox.faults = Faults()
    return {
        "KLING_BASE_URL": sandbox.base_url,
        "SEGMIND_API_KEY": sandbox.api_key,
        "KLING_JOURNAL": str(tmp_path / "journal"),
    }


def test_reconcile_finds_the_job_when_it_is_listed(
    sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    jobs = run_kling("jobs", "--uncertain", **environment)
    assert "1: not looked for in the request history yet" in jobs.stdout
    sandbox.delay_history(3600)
    early = run_kling("reconcile", **environment)
    assert early.returncode == 4, early.stderr
    assert "0 jobs found, 1 uncertain" in early.stdout
    jobs = run_kling("jobs", "--uncertain", **environment)
    assert "0 requests of kling-2 about the time of the submit" in jobs.stdout
    [row] = map(json.loads, run_kling("jobs", "--json", **environment).stdout.splitlines())
    assert (row["looked"]["rows"], row["looked"]["problem"]) == (0, None)

    sandbox.delay_history(0)
    late = run_kling("reconcile", "--json", **environment)
    assert late.returncode == 0, late.stderr
    [row] = map(json.loads, late.stdout.splitlines())
    assert (row["state"], row["request_id"]) == ("QUEUED", sandbox.submits[0].request_id)
    assert run_kling("reconcile", **environment).stdout == "no uncertain submits\n"
    assert run_kling("resume", **environment).returncode == 0
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_reconcile_says_why_the_history_cannot_be_searched(
    sandbox: Sandbox, environment: dict[str, str]
) -> None:
    sandbox.faults = Faults([Fault("403", path="/inference-request/*")])
    done = run_kling("reconcile", **environment)
    assert done.returncode == 4
    assert "without success: it answered 403" in done.stdout
    off = run_kling("reconcile", KLING_HISTORY="0", **environment)
    assert off.returncode == 2
    assert "turned off" in off.stderr


def test_four_processes_settle_equal_submits_with_one_job_each(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.faults = Faults([Fault("reset-late", method="POST", path="/v2/*")])
    path, api_key, base_url = tmp_path / "journal", sandbox.api_key, sandbox.base_url
    with closing(Kling(base_url=base_url, api_key=api_key, journal=path, history=False)) as kling:
        for _ in range(8):
            with pytest.raises(ka.SubmitUncertain):
                kling.submit("kling-2", prompt="a heron")
    environment = {"KLING_BASE_URL": base_url, "SEGMIND_API_KEY": api_key, "KLING_JOURNAL": str(path)}
    with ThreadPoolExecutor(4) as pool:
        commands = [pool.submit(run_kling, "reconcile", **environment) for _ in range(4)]
        assert all("internal error" not in command.result().stderr for command in commands)
    run_kling("reconcile", **environment)
    with closing(Journal(path)) as journal:
        ids = [entry.request_id for entry in journal.entries()]
    assert sorted(map(str, ids)) == sorted(str(submit.request_id) for submit in sandbox.submits)
