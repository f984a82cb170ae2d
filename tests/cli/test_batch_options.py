"""`kling batch`: `--json`, `--skip-invalid`, notes, and outcomes of earlier runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .conftest import Command, Gateway, rows, write


def parse_lines(text: str) -> list[dict[str, Any]]:
    return sorted((json.loads(line) for line in text.splitlines()), key=lambda row: int(row["line"]))


def test_notes_are_copied_to_the_outcomes_and_not_sent(
    kling: Command, gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("model,prompt,#customer\nkling-2,x,Ann\nkling-2,y,\n")
    done = kling("batch", "a.csv", "--json")
    assert done.returncode == 0, done.stderr
    assert "2/2: 2 completed; 2 credits" in done.stderr
    printed = parse_lines(done.stdout)
    assert [(row["line"], row["#customer"], row["state"]) for row in printed] == [
        (2, "Ann", "COMPLETED"),
        (3, "", "COMPLETED"),
    ]
    assert sorted(rows(tmp_path / "a.csv"), key=lambda row: int(row["line"])) == printed
    bodies = [request.params for request in gateway.requests if request.method == "POST"]
    assert [set(body) for body in bodies] == [{"prompt"}] * 2
    # Notes are not part of a line: a changed one does not make it new.
    (tmp_path / "a.csv").write_text("model,prompt,#customer\nkling-2,x,Bob\nkling-2,y,Eve\n")
    done = kling("batch", "a.csv", "--resume", "--json")
    assert [row["#customer"] for row in parse_lines(done.stdout)] == ["Bob", "Eve"]
    assert len(gateway.submits) == 2


def test_invalid_lines_are_skipped_and_reported(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"prompt": "x"}\n{"promt": "y", "#customer": "Ann"}\n{oops\n')
    arguments = ("batch", "a.jsonl", "--model", "kling-2")
    assert kling(*arguments).returncode == 2
    assert not gateway.requests
    done = kling(*arguments, "--skip-invalid", "--json")
    assert done.returncode == 7
    assert done.stderr.startswith("kling: 3 problems in a.jsonl; 2 lines skipped:\n  line 2: ")
    assert gateway.submits == ["x"]
    printed = parse_lines(done.stdout)
    assert [(row["line"], row["state"]) for row in printed] == [
        (1, "COMPLETED"),
        (2, "INVALID"),
        (3, "INVALID"),
    ]
    assert (printed[1]["#customer"], "did you mean prompt?" in printed[1]["error"]) == ("Ann", True)
    file.write_text('{"prompt": "x"}\n{"prompt": "y"}\n')
    assert kling(*arguments, "--resume").returncode == 0
    assert gateway.submits == ["x", "y"]


def test_resume_counts_earlier_outcomes_apart(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 2)
    assert kling("batch", str(file)).returncode == 0
    write(file, 3)
    done = kling("batch", str(file), "--resume")
    assert (done.returncode, done.stderr) == (0, "3/3: 2 earlier, 1 completed; 1 credit\n")
    assert [row["line"] for row in sorted(rows(file), key=lambda row: int(row["line"]))] == [1, 2, 3]
    done = kling("batch", str(file), "--resume", "--save-to", "out")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "3/3: 3 completed; 3 credits")
    assert len(list((tmp_path / "out").iterdir())) == len(gateway.submits) == 3


def test_failure_of_an_earlier_run_is_not_repeated(tmp_path: Path) -> None:
    with Gateway(fails="blocked") as gateway:
        kling = Command(tmp_path, gateway)
        file = write(tmp_path / "films.jsonl", 1)
        done = kling("batch", str(file))
        assert (done.returncode, done.stderr.count("blocked")) == (1, 1)
        done = kling("batch", str(file), "--resume")
        assert (done.returncode, done.stderr) == (1, "nothing to do: 1 failed\n")
        assert "blocked" in rows(file)[0]["error"]


def test_dry_run_prints_json(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 2)
    done = kling("batch", str(file), "--dry-run", "--json")
    assert json.loads(done.stdout) == {
        "model": "kling-2",
        "lines": 2,
        "low": None,
        "expected": None,
        "high": None,
        "unknown": 2,
        "sources": [],
        "jobs": 0,
    }
    assert not gateway.submits


def test_dry_run_of_a_finished_batch_has_no_cost(kling: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 1)
    assert kling("batch", str(file)).returncode == 0
    done = kling("batch", str(file), "--dry-run", "--resume")
    assert done.stdout == "0 lines to submit: no cost. Nothing was submitted.\n"
