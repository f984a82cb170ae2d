"""`kling jobs`: lists, filters, and entries that are resolved or deleted."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from kling_adapters.journal.journal import Journal

from .conftest import Command, Gateway


def test_jobs_are_listed_and_uncertain_ones_resolved(
    kling: Command, gateway: Gateway, tmp_path: Path
) -> None:
    request_id = kling("submit", "kling-2", "prompt=x").stdout.strip()
    with closing(Journal(kling.journal)) as journal:
        for number in (2, 3):
            journal.intend(gateway.base_url, "kling-o1", {"prompt": "lost"}, gateway.api_key)
            journal.update(number, state="UNCERTAIN", reason="cut in the middle")
    shown = kling("jobs").stdout
    for text in (request_id, "QUEUED", "kling-o1", "cut in the middle"):
        assert text in shown
    assert "kling jobs resolve" not in shown
    assert "kling jobs resolve NUMBER --no-job" in kling("jobs", "--uncertain").stdout
    assert read_numbers(kling("jobs", "--json", "--limit", "2")) == [2, 3]
    assert kling("jobs", "resolve", "2").returncode == 2
    assert kling("jobs", "resolve", "1", "--no-job").returncode == 2
    assert kling("jobs", "resolve", "2", "--no-job").returncode == 0
    # Uncertain submits are reported each time.
    done = kling("resume")
    assert (done.returncode, "may have started a kling-o1 job" in done.stderr) == (4, True)
    assert "1 job to finish, 1 uncertain" in done.stderr
    assert f"kling-2 {request_id}: not stored: pass --save-to" in done.stderr
    elsewhere = Command(tmp_path / "other", gateway)
    elsewhere.folder.mkdir()
    missing_id = elsewhere(
        "submit", "kling-o1", "prompt=@@Image1", "image_urls=https://example.com/a.png"
    ).stdout.strip()
    assert (
        kling("jobs", "resolve", "3", "--request-id", missing_id, "--journal", str(kling.journal)).returncode
        == 0
    )
    assert kling("resume").returncode == 0
    assert kling.states() == ["COMPLETED", "REFUSED", "COMPLETED"]
    assert kling("jobs", "--journal", "none").returncode == 2


def test_age_of_a_job_is_shown_in_the_largest_unit(kling: Command, gateway: Gateway) -> None:
    ages = {"40 s": 40, "6 min": 360, "3 h": 3 * 3600, "2 d": 2 * 86400}
    with closing(Journal(kling.journal)) as journal:
        for model in ages:
            journal.intend(gateway.base_url, model, {}, gateway.api_key)
    with closing(sqlite3.connect(kling.journal)) as connection, connection:
        for model, seconds in ages.items():
            connection.execute("UPDATE jobs SET created = created - ? WHERE model = ?", (seconds, model))
    shown = [re.split(r"\s{2,}", line.strip()) for line in kling("jobs").stdout.splitlines()]
    shown_ages = {cells[4]: cells[2] for cells in shown if len(cells) > 4 and cells[4] in ages}
    assert shown_ages.keys() == ages.keys()
    assert all(age == model for model, age in shown_ages.items() if model != "40 s")
    assert re.fullmatch("[4-9][0-9] s", shown_ages["40 s"])


def read_numbers(done: subprocess.CompletedProcess[str]) -> list[int]:
    """Return the numbers of the jobs that `kling jobs --json` printed."""
    return [json.loads(line)["number"] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--unfinished"], [2, 4]),
        (["--uncertain"], [3]),
        (["--uncertain", "--state", "FAILED"], []),
        (["--state", "queued"], [2]),
        (["--model", "kling-o1"], [4]),
        (["--tag", "film"], [2]),
        (["--tag", "films.jsonl"], [3, 4]),
        (["--tag", "/batches/films.jsonl"], [3, 4]),
        (["--tag", "/batches/films.jsonl#0123456789abcdef.0"], [3]),
        (["--since", "2h"], [4]),
        (["--since", "3w"], [2, 3, 4]),
        (["--since", "1970-01-02"], [1, 2, 3, 4]),
        (["--since", "1970-01-08T00:00:00+00:00", "--limit", "1"], [4]),
    ],
)
def test_jobs_are_filtered(kling: Command, gateway: Gateway, options: list[str], expected: list[int]) -> None:
    rows = [
        ("kling-2", "FAILED", None),
        ("kling-2", "QUEUED", "film"),
        ("kling-2", "UNCERTAIN", "/batches/films.jsonl#0123456789abcdef.0"),
        ("kling-o1", "PROCESSING", "/batches/films.jsonl#0123456789abcdef.1"),
    ]
    with closing(Journal(kling.journal)) as journal:
        for number, (model, state, tag) in enumerate(rows, 1):
            journal.intend(gateway.base_url, model, {"prompt": "x"}, gateway.api_key, None, tag)
            journal.update(number, request_id=f"job-{number}", state=state)
    with closing(sqlite3.connect(kling.journal)) as connection, connection:
        connection.execute("UPDATE jobs SET created = ? WHERE id = 1", (3 * 86400,))
        connection.execute("UPDATE jobs SET created = ? WHERE id in (2, 3)", (time.time() - 7250,))
    assert read_numbers(kling("jobs", "--json", *options)) == expected


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--state", "compleated"], "'uncertain', 'expired'"),
        (["--since", "yesterday"], "expected a number and a unit: 90s"),
        (["--since", "30"], "such as 2026-11-29"),
    ],
)
def test_wrong_filter_is_refused_with_the_choices(kling: Command, option: list[str], message: str) -> None:
    done = kling("jobs", *option)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr


def test_table_of_jobs_shows_local_times_and_tags(kling: Command, gateway: Gateway) -> None:
    with closing(Journal(kling.journal)) as journal:
        journal.intend(gateway.base_url, "kling-2", {}, gateway.api_key)
        assert "tag" not in kling("jobs").stdout
        journal.intend(gateway.base_url, "kling-2", {}, gateway.api_key, tag="my film")
    shown = kling("jobs").stdout
    assert re.search(r"1 +[0-9-]{10}T[0-9:]{8} +\d+ s +UNCERTAIN", shown), shown
    assert "my film" in shown
    row = json.loads(kling("jobs", "--json", "--limit", "1").stdout)
    assert list(row)[:6] == ["number", "submitted", "updated", "state", "model", "tag"]
    assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}[+-][0-9:]{5}", row["submitted"])


def test_ended_jobs_are_deleted_by_number(kling: Command, gateway: Gateway) -> None:
    fill_with_ended_jobs(kling, gateway)
    for chosen in (["3"], ["1", "4"], ["77"], []):
        assert kling("jobs", "forget", *chosen).returncode == 2
    assert len(kling.states()) == 4
    done = kling("jobs", "forget", "2", "--journal", str(kling.journal))
    assert (done.returncode, done.stdout) == (0, "1 job deleted from the journal\n")
    assert kling.states() == ["REFUSED", "UNCERTAIN", "QUEUED"]


def test_prune_deletes_old_ended_jobs_and_stale_files(kling: Command, gateway: Gateway) -> None:
    fill_with_ended_jobs(kling, gateway)
    stale = [Path(f"{kling.journal}-{name}") for name in ("0123.alive", "4567.batch")]
    for path in stale:
        path.touch()
    done = kling("jobs", "prune", "--older-than", "5d", "--dry-run")
    assert (done.returncode, "1 job to delete; nothing was deleted" in done.stdout) == (0, True)
    assert kling.states() == ["REFUSED", "REFUSED", "UNCERTAIN", "QUEUED"]
    for path in stale:
        path.touch()
    done = kling("jobs", "prune", "--older-than", "5d")
    assert (done.returncode, done.stdout) == (0, "1 job deleted from the journal\n")
    assert kling.states() == ["REFUSED", "UNCERTAIN", "QUEUED"]
    assert not any(path.exists() for path in stale)
    assert kling("jobs", "prune").returncode == 2
    assert kling("jobs", "prune", "--older-than", "0s").stdout == "1 job deleted from the journal\n"
    assert kling.states() == ["UNCERTAIN", "QUEUED"]


def fill_with_ended_jobs(kling: Command, gateway: Gateway) -> None:
    """Record two refused submits, an uncertain one and a queued job; all but the second are 10 days old."""
    with closing(Journal(kling.journal)) as journal:
        for number in range(1, 5):
            journal.intend(gateway.base_url, "kling-2", {"prompt": "secret"}, gateway.api_key)
            journal.update(number, state="REFUSED", reason="refused")
        journal.update(3, state="UNCERTAIN", reason="cut")
        journal.update(4, request_id="an-id", state="QUEUED")
    with closing(sqlite3.connect(kling.journal)) as connection, connection:
        connection.execute("UPDATE jobs SET updated = updated - 10 * 86400 WHERE id != 2")


def test_lost_output_can_be_forgotten(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    with closing(Journal(kling.journal)) as journal:
        for name in ("old", "new"):
            number = journal.intend(
                gateway.base_url, "kling-2", {"prompt": "x"}, gateway.api_key, str(tmp_path)
            )
            journal.update(number, request_id=name, state="QUEUED")
            journal.update_job(gateway.base_url, name, state="COMPLETED")
    with closing(sqlite3.connect(kling.journal)) as connection, connection:
        connection.execute("UPDATE jobs SET created = created - 8 * 86400 WHERE request_id = 'old'")
    assert kling("jobs", "forget", "2").returncode == 2
    assert kling("jobs", "forget", "1").stdout == "1 job deleted from the journal\n"
