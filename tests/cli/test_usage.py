"""`kling usage`: the costs of the jobs of the journal by day, model and tag."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Sandbox

from kling_adapters import Kling
from kling_adapters.journal.journal import Journal

from .conftest import run_kling

IMAGE = "https://example.com/a.png"
DAY_1, DAY_2 = 1_790_000_000.0, 1_790_200_000.0


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A journal with jobs of two days, one of them of unknown cost, and one at another gateway."""
    path = tmp_path / "journal.sqlite3"
    with Sandbox(timing="at-once") as sandbox:
        with Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=path) as kling:
            kling.run("kling-2", prompt="a", tag="order 7")
            kling.run("kling-2", prompt="b", duration=10, tag="order 7")
            list(kling.map([{"model": "kling-3-text2image", "prompt": "c"}], name="films"))
            with closing(Journal(path)) as journal:
                journal.update(
                    journal.intend(sandbox.base_url, "kling-2", {"prompt": "d"}, ""), state="UNCERTAIN"
                )
                journal.update(
                    journal.intend(sandbox.base_url, "kling-2", {"prompt": "e"}, ""), state="REFUSED"
                )
                journal.update(journal.intend("https://a.example", "kling-2", {"prompt": "f"}, ""), cost=9.0)
        address = sandbox.base_url
    # From here on there is no gateway, and no history.
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE jobs SET created = ?", (DAY_1,))
        connection.execute("UPDATE jobs SET created = ? WHERE id > 2", (DAY_2,))
    return {"KLING_JOURNAL": str(path), "KLING_BASE_URL": address, "TZ": "UTC"}


def records(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_costs_are_summed_by_day_model_and_tag(environment: dict[str, str]) -> None:
    done = run_kling("usage", "--since", "2026-01-01", "--json", **environment)
    assert (done.returncode, records(done.stdout)) == (
        0,
        [
            {
                "day": "2026-09-21",
                "model": "kling-2",
                "tag": "order 7",
                "jobs": 2,
                "cost": 1.5,
                "unknown": 0,
                "unrecorded": 0,
            },
            {
                "day": "2026-09-23",
                "model": "kling-2",
                "tag": "",
                "jobs": 1,
                "cost": 0.0,
                "unknown": 1,
                "unrecorded": 0,
            },
            {
                "day": "2026-09-23",
                "model": "kling-3-text2image",
                "tag": "films",
                "jobs": 1,
                "cost": 0.04,
                "unknown": 0,
                "unrecorded": 0,
            },
        ],
    )
    shown = run_kling("usage", "--since", "2026-01-01", **environment).stdout
    assert re.search(r"2026-09-21 +kling-2 +order 7 +2 +1.5", shown)
    assert shown.endswith("4 jobs, 1.54 credits; the cost of 1 job is unknown\n")


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("day", {"2026-09-21": 1.5, "2026-09-23": 0.04}),
        ("model", {"kling-2": 1.5, "kling-3-text2image": 0.04}),
        ("tag", {"": 0.0, "films": 0.04, "order 7": 1.5}),
    ],
)
def test_costs_are_summed_by_one_of_them(
    environment: dict[str, str], by: str, groups: dict[str, float]
) -> None:
    printed = list(
        csv.DictReader(
            run_kling(
                "usage", "--since", "2026-01-01", "--by", by, "--csv", **environment
            ).stdout.splitlines()
        )
    )
    assert {row[by]: float(row["cost"]) for row in printed} == groups
    assert list(printed[0]) == [by, "jobs", "cost", "unknown", "unrecorded"]


def test_jobs_that_only_the_history_has_are_named(tmp_path: Path) -> None:
    with Sandbox(timing="at-once") as sandbox:
        for journal in (tmp_path / "journal", None):
            with Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=journal) as kling:
                kling.run("kling-2", prompt="a")
        with Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=tmp_path / "journal") as kling:
            kling.run("kling-2", prompt="b", tag="films")
        variables = {"KLING_JOURNAL": str(tmp_path / "journal"), "KLING_BASE_URL": sandbox.base_url}
        done = run_kling("usage", "--by", "tag", "--json", SEGMIND_API_KEY=sandbox.api_key, **variables)
        shown = run_kling("usage", SEGMIND_API_KEY=sandbox.api_key, **variables)
    assert (records(done.stdout), done.stderr) == (
        [
            {"tag": "", "jobs": 2, "cost": 1.0, "unknown": 0, "unrecorded": 1},
            {"tag": "films", "jobs": 1, "cost": 0.5, "unknown": 0, "unrecorded": 0},
        ],
        "",
    )
    assert shown.stdout.endswith("3 jobs, 1.5 credits; the journal does not have 1 job\n")


def test_history_that_cannot_be_read_is_named(environment: dict[str, str]) -> None:
    for variables in ({}, {"KLING_HISTORY": "0"}, {"SEGMIND_API_KEY": "SG_0"}):
        done = run_kling("usage", **{**environment, **variables})
        assert done.returncode == 0
        assert "jobs that only the request history has may be missing: " in done.stderr
        assert "Kling(" not in done.stderr


def test_dry_run_without_a_key_gives_the_advice_of_the_shell(
    environment: dict[str, str], tmp_path: Path
) -> None:
    batch = tmp_path / "films.jsonl"
    batch.write_text('{"model": "kling-2", "prompt": "x"}\n')
    done = run_kling("batch", str(batch), "--dry-run", **environment)
    assert done.returncode == 0
    assert "do not count: no API key: set SEGMIND_API_KEY" in done.stderr
    assert "Kling(" not in done.stderr


def test_since_leaves_out_earlier_days(environment: dict[str, str]) -> None:
    done = run_kling("usage", "--since", "2026-09-22", "--by", "model", "--json", **environment)
    assert [(row["model"], row["jobs"]) for row in records(done.stdout)] == [
        ("kling-2", 1),
        ("kling-3-text2image", 1),
    ]
    assert run_kling("usage", "--since", "1s", **environment).stdout == "0 jobs, 0 credits\n"


@pytest.mark.parametrize(
    ("since", "problem"),
    [("2099-01-01", "in the future"), ("99999999d", "before 1970"), ("1969-12-01", "before 1970")],
)
def test_since_outside_of_the_time_of_jobs_is_refused(
    environment: dict[str, str], since: str, problem: str
) -> None:
    done = run_kling("usage", "--since", since, **environment)
    assert done.returncode == 2
    assert f"'{since}' is {problem}; expected a number and a unit" in done.stderr


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_tag_is_no_formula_in_csv(environment: dict[str, str], start: str) -> None:
    set_tag(environment, f"{start}1+1")
    done = run_kling("usage", "--since", "2026-01-01", "--by", "tag", "--csv", **environment)
    [tag] = [row["tag"] for row in csv.DictReader(done.stdout.splitlines())]
    assert tag.startswith("'")
    assert tag.endswith("1+1")


def test_tag_of_two_lines_is_one_row(environment: dict[str, str]) -> None:
    set_tag(environment, "a\nb")
    for arguments in (["usage", "--since", "2026-01-01"], ["jobs", "--limit", "1"]):
        shown = run_kling(*arguments, **environment).stdout
        assert re.search(r"kling-\S+ +a\\nb ", shown), shown


def set_tag(environment: dict[str, str], tag: str) -> None:
    """Give every job of the journal the same tag."""
    with closing(sqlite3.connect(environment["KLING_JOURNAL"])) as connection, connection:
        connection.execute("UPDATE jobs SET tag = ?", (tag,))


def test_infinite_cost_of_a_damaged_journal_is_not_shown(environment: dict[str, str]) -> None:
    with closing(sqlite3.connect(environment["KLING_JOURNAL"])) as connection, connection:
        connection.execute("UPDATE jobs SET cost = 9e999 WHERE id = 1")
    done = run_kling("usage", "--since", "2026-01-01", **environment)
    assert done.stdout.endswith("4 jobs, 1.04 credits; the cost of 2 jobs is unknown\n")
    assert "the cost of entry 1 of the journal is not a number and counts as unknown" in done.stderr


def test_wrong_options_are_bad_input(environment: dict[str, str]) -> None:
    for options in (["--json", "--csv"], ["--by", "key"], ["--since", "soon"], ["--journal", "none"]):
        assert run_kling("usage", *options, **environment).returncode == 2, options
