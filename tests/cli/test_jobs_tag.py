"""Tags of the user in `kling jobs`."""

from __future__ import annotations

from pathlib import Path

from .conftest import Command


def test_tag_with_a_number_sign_is_shown_whole(kling: Command) -> None:
    assert kling("submit", "kling-2", "prompt=x", "--tag", "order #7").returncode == 0
    assert "order #7" in kling("jobs").stdout
    assert "order #7" in kling("jobs", "--tag", "order #7").stdout
    assert "order" not in kling("jobs", "--tag", "order ").stdout


def test_jobs_without_a_match_says_so(kling: Command) -> None:
    assert kling("jobs").stdout == "no jobs\n"


def test_tag_is_not_taken_for_the_name_of_a_batch(kling: Command, tmp_path: Path) -> None:
    assert kling("submit", "kling-2", "prompt=x", "--tag", "films#7").returncode == 0
    (tmp_path / "films.jsonl").write_text('{"prompt": "y"}\n')
    done = kling("batch", str(tmp_path / "films.jsonl"), "--model", "kling-2", "--name", "films")
    assert done.returncode == 0, done.stderr
