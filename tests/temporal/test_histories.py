"""Recorded histories of every release: workflows that were started by it must go on with this code.

`python -m tests.temporal.record VERSION` records those of a release.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from kling_temporal.connection import make_converter
from kling_temporal.worker import WORKFLOWS, make_runner
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

pytestmark = pytest.mark.anyio
FOLDER = Path(__file__).parent / "histories"
HISTORIES = sorted(FOLDER.glob("*/*.json"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def read_history(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text("utf-8"))


def make_replayer() -> Replayer:
    return Replayer(workflows=WORKFLOWS, workflow_runner=make_runner(), data_converter=make_converter())


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_history_replays(path: Path) -> None:
    await make_replayer().replay_workflow(read_history(path))


async def test_changed_history_is_detected() -> None:
    text = (FOLDER / "0.1.0" / "completed.json").read_text("utf-8")
    history = WorkflowHistory.from_json("completed", text.replace("kling-collect", "kling-another"))
    with pytest.raises(NondeterminismError):
        await make_replayer().replay_workflow(history)


def test_every_release_is_recorded() -> None:
    names = {path.stem for path in HISTORIES}
    assert names == {"completed", "lost", "uncertain", "refused", "cancelled", "repeated", "stored", "batch"}
