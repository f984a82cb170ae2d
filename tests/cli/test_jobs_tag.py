"""Tags of the user in `kling jobs`."""

from __future__ import annotations

from .conftest import Command


def test_tag_with_a_number_sign_is_shown_whole(kling: Command) -> None:
    assert kling("submit", "kling-2", "prompt=x", "--tag", "order #7").returncode == 0
    assert "order #7" in kling("jobs").stdout
    assert "order #7" in kling("jobs", "--tag", "order #7").stdout
    assert "order" not in kling("jobs", "--tag", "order ").stdout


def test_jobs_without_a_match_says_so(kling: Command) -> None:
    assert kling("jobs").stdout == "no jobs\n"
