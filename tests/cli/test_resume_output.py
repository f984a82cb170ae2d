"""Progress of `kling resume`, whose number of jobs is not known to the tally."""

from __future__ import annotations

from .conftest import Command


def test_resume_counts_each_outcome_once(kling: Command) -> None:
    assert kling("submit", "kling-2", "prompt=x", "--save-to", "out/").returncode == 0
    assert kling("resume").stderr.splitlines()[-1] == "1 completed; 1 credit"
