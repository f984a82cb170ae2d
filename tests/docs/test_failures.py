"""The example of docs/guide/failures.md says the truth about the money."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Fault, Sandbox

from kling_adapters import Kling
from kling_adapters.testing import SimulatedClock
from tests.docs.blocks import read_blocks

POLLS = "*/status"
CASES = {
    "poll 400": (Fault("400", path=POLLS), "still running, may be billed; kling.job('"),
    "poll 401": (Fault("401", path=POLLS), "still running, may be billed; kling.job('"),
    "poll 403": (Fault("403", path=POLLS), "still running, may be billed; kling.job('"),
    "poll 405": (Fault("405", path=POLLS), "still running, may be billed; kling.job('"),
    "submit 401": (Fault("401", method="POST"), "no job was started, so it may be submitted again: "),
    "submit lost": (Fault("reset-late", method="POST"), "may be billed, entry 1 of the journal"),
    "file cut": (Fault("truncate", path="/media/*"), "billed, and the output is kept for seven days: "),
}


def read_render() -> Any:
    """Return the function of the page."""
    [code] = [block.text for block in read_blocks("docs/guide/failures.md") if block.language == "python"]
    names: dict[str, Any] = {}
    exec(code.partition("\nwith Kling()")[0], names)
    return names["render"]


@pytest.mark.parametrize("case", CASES)
def test_answer_of_the_example_is_true(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fault, expected = CASES[case]
    with Sandbox(timing="polls:2", faults=[fault]) as sandbox:
        options: Any = {"base_url": sandbox.base_url, "api_key": sandbox.api_key, "clock": SimulatedClock()}
        with Kling(**options, journal=tmp_path / "journal", history=False) as kling:
            answer = read_render()(kling, "a heron")
            assert answer.startswith(expected), answer
            assert bool(sandbox.billed) == ("may be billed" in answer or "billed, and" in answer)
            if "kling.job(" in answer:
                sandbox.faults = []
                [request_id] = sandbox.billed
                assert f"kling.job({request_id!r}).wait()" in answer
                assert f"Job {request_id} is not affected and may be billed" in answer
                assert kling.job(request_id).wait().metrics.cost == sandbox.billed[request_id]


def test_unusable_folder_is_not_called_billed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("renders").write_text("a file")
    with Sandbox() as sandbox:
        options: Any = {"base_url": sandbox.base_url, "api_key": sandbox.api_key, "journal": None}
        with Kling(**options) as kling:
            assert read_render()(kling, "a heron").startswith("nothing was sent: ")
        assert not sandbox.submits
