"""`kling batch`, `jobs` and `resume`, as processes that are interrupted and killed."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from kling_adapters.journal.journal import Journal
from kling_adapters.testing.server import GatewayAnswer

from .conftest import Command, Gateway, outcomes_file, rows, until, write


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


def test_killed_batch_is_resumed_and_submits_no_line_twice(
    kling: Command, gateway: Gateway, tmp_path: Path
) -> None:
    file = write(tmp_path / "films.jsonl", 12)
    for kill_at, how in ((3, ()), (8, ("--resume",))):
        process = kling.start("batch", str(file), "--concurrency", "4", "--save-to", "out", *how)
        until(lambda: len(gateway.submits) >= kill_at)  # noqa: B023  called at once
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    done = kling("batch", str(file), "--concurrency", "4", "--save-to", "out", "--resume")
    assert set(Counter(gateway.submits).values()) == {1}
    assert sorted(row["line"] for row in rows(file)) == list(range(1, 13))
    count = Counter(row["state"] for row in rows(file))
    assert set(count) <= {"COMPLETED", "UNCERTAIN"}
    # At most the submits that were under way when it was killed.
    assert count["UNCERTAIN"] <= 8
    assert len(gateway.submits) >= count["COMPLETED"] >= 4
    assert done.returncode == (4 if count["UNCERTAIN"] else 0)
    assert len(list((tmp_path / "out").glob("*.mp4"))) == count["COMPLETED"]
    assert not [entry for entry in Journal(kling.journal).entries() if entry.is_unfinished]


def test_ctrl_c_once_finishes_jobs_in_flight(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 12)
    process = kling.start("batch", str(file), "--concurrency", "3")
    until(lambda: len(gateway.submits) == 3)
    process.send_signal(signal.SIGINT)
    done = kling.end(process)
    assert done.returncode == 7
    assert "finishing jobs in flight" in done.stderr
    assert "9 lines not submitted or not ended; --resume continues" in done.stderr
    assert [row["state"] for row in rows(file)] == kling.states() == ["COMPLETED"] * 3
    assert len(gateway.submits) == 3


def test_batch_without_a_journal_does_not_promise_resume(kling: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 3)
    done = kling("batch", str(file), "--journal", "none", "--max-cost", "0.5", "--allow-unknown-cost", "1")
    assert "without a journal, --resume cannot continue" in done.stderr


def test_ctrl_c_twice_stops_at_once(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    gateway.hangs = True
    file = write(tmp_path / "films.jsonl", 12)
    process = kling.start("batch", str(file), "--concurrency", "3")
    until(lambda: kling.states() == ["QUEUED"] * 3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)  # two signals at once are one
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    done = kling.end(process)
    assert time.monotonic() - begun < 10
    assert done.returncode == 4
    assert not outcomes_file(file).exists()
    assert "stopped at once" in done.stderr
    gateway.hangs = False
    done = kling("resume", "--json", "--save-to", "out")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["state"] for line in done.stdout.splitlines()] == ["COMPLETED"] * 3
    assert len(list((tmp_path / "out").iterdir())) == len(gateway.submits) == 3


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


def test_dry_run_submits_nothing_and_estimates(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 2)
    assert "2 lines to submit: unknown cost, because" in kling("batch", str(file), "--dry-run").stdout
    assert not gateway.submits
    assert kling("batch", str(file)).returncode == 0
    done = kling("batch", str(write(tmp_path / "more.jsonl", 5)), "--dry-run")
    assert (done.returncode, len(gateway.submits)) == (0, 2)
    assert "5 lines to submit: about 5 credits" in done.stdout


def test_max_cost_stops_a_batch_before_it_is_exceeded(
    kling: Command, gateway: Gateway, tmp_path: Path
) -> None:
    file = write(tmp_path / "films.jsonl", 6)
    done = kling("batch", str(file), "--max-cost", "2.5", "--allow-unknown-cost", "1")
    assert (done.returncode, len(gateway.submits)) == (7, 2)
    assert "4 lines not submitted or not ended" in done.stderr
    done = kling("batch", str(file), "--max-cost", "3", "--resume")
    assert (done.returncode, len(gateway.submits), len(rows(file))) == (7, 3, 3)


def test_max_cost_refuses_lines_of_unknown_price(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 12)
    done = kling("batch", str(file), "--max-cost", "50")
    assert (done.returncode, gateway.submits) == (2, [])
    assert "12 lines of unknown price (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...)" in done.stderr
    assert kling("batch", str(write(tmp_path / "one.jsonl", 1))).returncode == 0
    done = kling("batch", str(file), "--max-cost", "50")
    assert (done.returncode, len(gateway.submits)) == (0, 13)


def test_dry_run_says_whether_max_cost_holds(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 3)
    done = kling("batch", str(file), "--dry-run", "--max-cost", "5")
    assert (done.returncode, "3 lines to submit" in done.stdout) == (2, True)
    # The gateway of this test has no request history.
    assert "jobs that only the request history has do not count: " in done.stderr
    assert "--max-cost cannot hold for 3 lines of unknown price (1, 2, 3)" in done.stderr
    assert "The request history was not read: " in done.stderr
    allow = ("--dry-run", "--allow-unknown-cost", "2", "--max-cost")
    done = kling("batch", str(file), *allow, "5")
    assert done.returncode == 0
    assert (
        "--max-cost 5 may stop the batch before its last line: these lines cost up to 6 credits"
        in done.stderr
    )
    done = kling("batch", str(file), *allow, "6")
    assert "--max-cost 6 is enough for these lines: at most 6 credits" in done.stderr
    assert not gateway.submits


def test_dry_run_shows_spread_and_source(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    assert kling("batch", str(write(tmp_path / "films.jsonl", 2))).returncode == 0
    file = tmp_path / "mixed.jsonl"
    file.write_text(
        '{"model": "kling-2", "prompt": "a"}\n{"model": "kling-2", "prompt": "b", "duration": 10}\n'
        '{"model": "kling-1.6-text2video", "prompt": "c"}\n'
        '{"model": "kling-o1", "prompt": "@Image1", "image_urls": ["https://example.com/a.png"]}\n'
    )
    shown = kling("batch", str(file), "--dry-run").stdout
    assert "4 lines to submit: about 4.26 credits (2.56 to 4.96), and an unknown cost for 1 line." in shown
    assert re.search(r"kling-2 +2 +2 +3 +3 +journal \(2 jobs\)", shown), shown
    assert re.search(r"kling-1.6-text2video +1 +0.56 +1.26 +1.96 +spec", shown)
    assert re.search(r"kling-o1 +1 +unknown +unknown +unknown +1 line of unknown price", shown)
    printed = kling("batch", str(file), "--dry-run", "--json").stdout
    assert json.loads(printed.splitlines()[0]) == {
        "model": "kling-2",
        "lines": 2,
        "low": 2.0,
        "expected": 3.0,
        "high": 3.0,
        "unknown": 0,
        "sources": ["journal"],
        "jobs": 2,
    }
    assert len(gateway.submits) == 2


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
    assert numbers(kling("jobs", "--json", "--limit", "2")) == [2, 3]
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


def numbers(done: subprocess.CompletedProcess[str]) -> list[int]:
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
    assert numbers(kling("jobs", "--json", *options)) == expected


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
    until(lambda: len(rows(file)) == 3 and len(gateway.submits) == 4)
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


def test_resume_of_a_moved_file_pays_for_nothing_twice(
    kling: Command, gateway: Gateway, tmp_path: Path
) -> None:
    file = write(tmp_path / "films.jsonl", 2)
    assert kling("batch", str(file)).returncode == 0
    moved = tmp_path / "later" / "films.jsonl"
    moved.parent.mkdir()
    file.rename(moved)
    done = kling("batch", str(moved), "--resume")
    assert (done.returncode, len(gateway.submits)) == (2, 2)
    assert f"If the file was moved, pass its old name: --name {file}." in done.stderr
    assert "Nothing was sent" in done.stderr
    assert kling("batch", str(moved), "--resume", "--name", str(file)).returncode == 0
    assert len(gateway.submits) == 2


def test_resume_with_another_journal_pays_for_nothing_twice(
    kling: Command, gateway: Gateway, tmp_path: Path
) -> None:
    file = write(tmp_path / "films.jsonl", 2)
    assert kling("batch", str(file)).returncode == 0
    other_journal = str(tmp_path / "other.sqlite3")
    done = kling("batch", str(file), "--resume", "--journal", other_journal)
    assert (done.returncode, "has no job of the batch" in done.stderr) == (2, True)
    # A journal that has the name, but not the jobs of this file.
    with closing(Journal(other_journal)) as journal:
        journal.intend(gateway.base_url, "kling-2", {"prompt": "x"}, "k", tag=f"{file}#0123456789abcdef.0")
    done = kling("batch", str(file), "--resume", "--journal", other_journal)
    assert (done.returncode, len(gateway.submits)) == (2, 2)
    assert "reports 2 jobs that the journal" in done.stderr
    # Another gateway does not have them either.
    with Gateway() as elsewhere:
        kling.gateway = elsewhere
        done = kling("batch", str(file), "--resume")
        assert (done.returncode, elsewhere.submits) == (2, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_finishes_jobs_in_flight(
    kling: Command, gateway: Gateway, tmp_path: Path, number: signal.Signals
) -> None:
    file = write(tmp_path / "films.jsonl", 12)
    gateway.hangs = True
    process = kling.start("batch", str(file), "--concurrency", "3")
    until(lambda: kling.states() == ["QUEUED"] * 3)
    process.send_signal(number)
    time.sleep(0.3)  # two signals at once are one
    process.send_signal(number)
    time.sleep(0.3)
    assert process.poll() is None
    gateway.hangs = False
    done = kling.end(process)
    assert done.returncode == 7
    assert done.stderr.count("finishing jobs in flight") == 1
    assert kling.states() == ["COMPLETED"] * 3
    assert len(gateway.submits) == 3


def test_sigterm_of_a_run_explains_how_to_go_on(kling: Command, gateway: Gateway) -> None:
    gateway.hangs = True
    process = kling.start("run", "kling-2", "prompt=x")
    until(lambda: gateway.polls > 0)
    process.send_signal(signal.SIGTERM)
    done = kling.end(process)
    assert (done.returncode, "continues and will be billed" in done.stderr) == (4, True), done.stderr
    assert kling.states() == ["QUEUED"]


def test_estimate_uses_prices_of_its_gateway_alone(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    file = write(tmp_path / "films.jsonl", 2)
    assert kling("batch", str(file)).returncode == 0
    file.write_text(
        file.read_text() + '{"model": "kling-2", "prompt": "new"}\n'
        '{"model": "kling-o1", "prompt": "@Image1", "image_urls": ["https://example.com/a.png"]}\n'
    )
    done = kling("batch", str(file), "--dry-run")
    assert "4 lines to submit: about 3 credits, and an unknown cost for 1 line." in done.stdout
    done = kling("batch", str(file), "--dry-run", "--resume")
    assert "2 lines to submit: about 1 credit, and an unknown cost for 1 line." in done.stdout
    with Gateway() as elsewhere:
        kling.gateway = elsewhere
        done = kling("batch", str(file), "--dry-run")
        assert "4 lines to submit: unknown cost, because" in done.stdout
        assert not elsewhere.submits


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
