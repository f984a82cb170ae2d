"""`kling batch`: the lines of its file, and the outcomes it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from kling_adapters.testing.server import GatewayAnswer
from tests.support.waiting import wait_until

from .conftest import Command, Gateway, outcomes_file, rows, write


def test_every_line_is_run_and_its_outcome_is_written(kling: Command, tmp_path: Path) -> None:
    file = tmp_path / "films.jsonl"
    file.write_text('{"model": "kling-2", "prompt": "a"}\n\n{"prompt": "b", "duration": 10}\n')
    done = kling("batch", "films.jsonl", "--model", "kling-2", "--save-to", "out")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "2/2: 2 completed; 2 credits" in done.stderr
    written = sorted(rows(file), key=lambda row: row["line"])
    assert [(row["line"], row["state"], row["cost"], row["error"]) for row in written] == [
        (1, "COMPLETED", 1.0, None),
        (3, "COMPLETED", 1.0, None),
    ]
    assert {row["files"][0]["url"] for row in written} == {
        path.as_uri() for path in (tmp_path / "out").iterdir()
    }
    done = kling("batch", "films.jsonl", "--model", "kling-2")
    assert (done.returncode, "was run before" in done.stderr) == (2, True)
    done = kling("batch", "films.jsonl", "--model", "kling-2", "--resume")
    assert (done.returncode, done.stderr) == (0, "nothing to do: 2 completed\n")
    assert len(rows(file)) == 2
    assert sorted(kling.gateway.submits) == ["a", "b"]


def test_batch_without_a_journal_does_not_promise_resume(kling: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 3)
    done = kling("batch", str(file), "--journal", "none", "--max-cost", "0.5", "--allow-unknown-cost", "1")
    assert "without a journal, --resume cannot continue" in done.stderr


def test_all_problems_of_a_file_are_reported(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"model": "kling-2", "promt": "x", "duration": 7}\n{"model": "kling-2", "prompt": "x"}\n{oops\n[1]\n'
        '{"prompt": "x"}\n{"model": "kling-22", "prompt": "x"}\n'
    )
    done = kling("batch", "a.jsonl")
    assert done.returncode == 2
    messages = done.stderr.splitlines()
    assert messages[0] == "kling: 7 problems in a.jsonl; nothing was sent:"
    assert [line.split(":")[0].strip() for line in messages[1:]] == [
        *("line 1", "line 1", "line 1", "line 3, column 2", "line 4", "line 5", "line 6")
    ]
    (tmp_path / "a.csv").write_text("prompt,duration\nx,7\ny\n")
    done = kling("batch", "a.csv", "--model", "kling-2", "--dry-run")
    assert done.returncode == 2
    assert "line 2: duration: 7 is not allowed" in done.stderr
    assert "line 3: has 1 cell; the first line has 2" in done.stderr
    write(tmp_path / "c.jsonl", 2)
    done = kling("batch", "c.jsonl", "--save-to", "ftp://host/")
    assert (done.returncode, "no plugin can store" in done.stderr) == (2, True)
    (tmp_path / "c.jsonl.outcomes.jsonl").unlink(missing_ok=True)
    (tmp_path / "c.jsonl.outcomes.jsonl").mkdir()
    done = kling("batch", "c.jsonl")
    assert (done.returncode, "cannot be written" in done.stderr) == (5, True)
    (tmp_path / "b.jsonl").write_text("\n")
    assert kling("batch", "b.jsonl").returncode == 2
    assert not gateway.requests


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"prompt": "é"}'.encode("latin-1")),
        ("a.csv", b"prompt\n\xe9"),
        ("a.csv", b"\xff\xfep\x00\x00\xd8"),
    ],
)
def test_file_that_is_not_text_is_refused(kling: Command, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    done = kling("batch", name, "--model", "kling-2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"kling: {name} cannot be read: ")
    assert done.stderr.endswith("Nothing was sent\n")
    assert not kling.gateway.requests


def test_job_that_cannot_be_stored_is_reported_with_its_url(tmp_path: Path) -> None:
    with Gateway(output=b"<html><body>not a video</body></html>") as gateway:
        kling = Command(tmp_path, gateway)
        file = write(tmp_path / "films.jsonl", 1)
        done = kling("batch", str(file), "--save-to", "out")
    assert done.returncode == 5
    assert "1 not stored; 1 credit\n" in done.stderr
    [row] = rows(file)
    assert (row["state"], row["cost"], row["files"]) == ("NOT STORED", 1.0, [])
    assert row["output"] in row["error"]
    assert row["output"] in done.stderr


def test_csv_cells_are_read_as_the_declared_types(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        'model,prompt,duration,cfg_scale\nkling-2,"a, b",10,\nkling-2,c,,0.25\n', "utf-8-sig"
    )
    done = kling("batch", "a.csv")
    assert done.returncode == 0, done.stderr
    bodies = [request.params for request in gateway.requests if request.method == "POST"]
    assert sorted(bodies, key=lambda body: body["prompt"]) == [
        {"prompt": "a, b", "duration": 10},
        {"prompt": "c", "cfg_scale": 0.25},
    ]


def test_failed_line_is_exit_code_1(tmp_path: Path) -> None:
    with Gateway(fails="blocked") as gateway:
        kling = Command(tmp_path, gateway)
        file = write(tmp_path / "films.jsonl", 2)
        done = kling("batch", str(file), "--journal", "none")
        assert done.returncode == 1
        assert [row["state"] for row in rows(file)] == ["FAILED"] * 2
        assert not kling.journal.exists()
        done = kling("batch", str(file), "--journal", "none", "--resume")
        assert (done.returncode, "needs the journal" in done.stderr) == (2, True)


def test_refused_batch_leaves_outcomes_as_they_are(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 3)
    assert kling("batch", str(file)).returncode == 0
    before = outcomes_file(file).read_bytes()
    assert kling("batch", str(file), "--resume", "--save-to", "out.mp4").returncode != 0
    assert kling("batch", str(file)).returncode == 2
    assert outcomes_file(file).read_bytes() == before
    # While another process runs it, which writes to the same file.
    file.write_text(file.read_text() + '{"model": "kling-2", "prompt": "more"}\n')
    gateway.hangs = True
    first = kling.start("batch", str(file), "--resume")
    wait_until(lambda: len(rows(file)) == 3 and len(gateway.submits) == 4)
    running = outcomes_file(file).read_bytes()
    done = kling("batch", str(file), "--resume")
    assert (done.returncode, outcomes_file(file).read_bytes()) == (2, running), done.stderr
    gateway.hangs = False
    assert kling.end(first).returncode == 0
    assert len(rows(file)) == 4


def test_outcomes_file_is_private_and_replaces_a_link(tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 1)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    outcomes_file(file).symlink_to(victim)
    with Gateway() as gateway:
        assert Command(tmp_path, gateway)("batch", str(file), "--save-to", "out").returncode == 0
    assert victim.read_text() == "mine"
    assert not outcomes_file(file).is_symlink()
    assert outcomes_file(file).stat().st_mode & 0o777 == 0o600
    assert [row["files"][0]["link"] for row in rows(file)] == [None]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("films.jsonl", "films.jsonl.outcomes.jsonl", "victim", "out", "state")
    }


def test_lone_surrogate_in_an_output_does_not_end_a_batch(tmp_path: Path) -> None:
    class Odd(Gateway):
        def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> GatewayAnswer:
            answer = super().answer(method, path, headers, body)
            if method == "GET" and not path.endswith("/status"):
                value = json.loads(answer.body)
                value["output"] = "https://example.com/\ud800.mp4"
                return GatewayAnswer.of(200, value)
            return answer

    file = write(tmp_path / "films.jsonl", 2)
    with Odd() as gateway:
        kling = Command(tmp_path, gateway)
        done = kling("batch", str(file))
        assert done.returncode == 0, done.stderr
        assert [row["output"] for row in rows(file)] == ["https://example.com/\ud800.mp4"] * 2
        environment = {
            **os.environ,
            "SEGMIND_API_KEY": gateway.api_key,
            "KLING_BASE_URL": gateway.base_url,
            "KLING_JOURNAL": "none",
        }
        for arguments in (["run", "kling-2", "prompt=x"], ["run", "kling-2", "prompt=x", "--json"]):
            run = subprocess.run(
                [sys.executable, "-c", "from kling_adapters.cli import main; main()", *arguments],
                env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert run.returncode == 0, run.stderr
            assert r"https://example.com/\ud800.mp4" in run.stdout
