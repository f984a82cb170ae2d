"""Solutions of the ten tasks of docs/tasks.md, with nothing but what llms.txt and its pages say."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kling_codegen.cli import main as codegen
from kling_sandbox import Fault, Sandbox

from kling_adapters import Kling, ParamsInvalid, SubmitUncertain, events, load_catalog
from kling_adapters.cli import app
from kling_adapters.hookspecs import hookimpl
from kling_adapters.testing import PNG, SimulatedClock
from tests.docs.blocks import ROOT, read_blocks


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.chdir(tmp_path)
    with Sandbox() as sandbox:
        monkeypatch.setenv("KLING_BASE_URL", sandbox.base_url)
        monkeypatch.setenv("SEGMIND_API_KEY", sandbox.api_key)
        monkeypatch.setenv("KLING_JOURNAL", str(tmp_path / "journal.sqlite3"))
        yield sandbox


def test_every_task_has_a_solution() -> None:
    tasks = re.findall(r"^(\d+)\. \*\*", (ROOT / "docs/tasks.md").read_text("utf-8"), re.MULTILINE)
    solutions = re.findall(r"^def test_task_(\d+)_", Path(__file__).read_text("utf-8"), re.MULTILINE)
    assert tasks == solutions == [str(number) for number in range(1, 11)]


def test_task_1_one_film(gateway: Sandbox) -> None:
    with Kling() as kling:
        result = kling.run("kling-2", prompt="a lighthouse", duration=10, save_to="film.mp4")
    assert Path("film.mp4").read_bytes()[4:8] == b"ftyp"
    assert result.metrics.cost == gateway.billed[result.request_id]


def test_task_2_choose_a_model() -> None:
    command = ["models", "--returns", "video", "--takes", "image", "--json"]
    models = json.loads(CliRunner().invoke(app, command).output)
    slugs = [model["slug"] for model in sorted(models, key=lambda model: model["latency"] or math.inf)]
    documented = [slug for slug in slugs if load_catalog()[slug].latency]
    assert documented == sorted(documented, key=lambda slug: load_catalog()[slug].latency or 0.0)
    assert slugs[len(documented) :] == sorted(set(slugs) - set(documented)) != []
    assert "kling-2" in slugs
    assert "kling-1.6-text2video" not in slugs


def test_task_3_check_without_sending(gateway: Sandbox) -> None:
    def find_problems(slug: str, params: dict[str, Any]) -> list[str]:
        try:
            load_catalog().find(slug).load().model_validate(params)
        except ParamsInvalid as error:
            return [problem.path for problem in error.problems]
        return []

    assert find_problems("kling-2", {"duration": 7, "aspect": "16:9"}) == ["prompt", "duration", "aspect"]
    assert find_problems("kling-2", {"prompt": "x"}) == []
    assert not gateway.requests


def test_task_4_a_batch_with_a_cap(gateway: Sandbox) -> None:
    with Path("films.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "prompt", "duration"])
        writer.writerows(["kling-2", f"a lighthouse {number}", 5] for number in range(40))
    with Path("films.csv").open(newline="") as file:
        requests = [{**row, "duration": int(row["duration"])} for row in csv.DictReader(file)]
    with Kling(clock=SimulatedClock()) as kling:
        outcomes = list(kling.map(requests, concurrency=2, max_cost=3, allow_unknown_cost=1, name="films"))
    finished = sum(outcome.error is None for outcome in outcomes)
    # Those after the cap have no outcome.
    assert len(outcomes) == finished
    not_submitted = len(requests) - sum(outcome.request_id is not None for outcome in outcomes)
    assert 0 < finished < 40
    assert finished + not_submitted == 40
    assert sum(gateway.billed.values()) <= 3
    assert len(gateway.submits) == finished


def test_task_5_another_process(gateway: Sandbox) -> None:
    with Kling() as process:
        for number in range(2):
            process.submit("kling-2", prompt=f"a lighthouse {number}", save_to="renders/")
    with Kling() as kling:
        outcomes = list(kling.resume())
    paths = [file.path for outcome in outcomes if outcome.result for file in outcome.result.saved]
    assert sorted(paths, key=str) == sorted((path.absolute() for path in Path("renders").iterdir()), key=str)
    assert len(paths) == len(gateway.billed) == 2


def test_task_6_a_lost_answer(gateway: Sandbox) -> None:
    gateway.faults = [Fault("reset-late", method="POST", nth=1), Fault("502", path="/inference-request/*")]
    with Kling(clock=SimulatedClock()) as kling:
        with pytest.raises(SubmitUncertain):
            kling.submit("kling-2", prompt="a lighthouse")
        gateway.faults = []
        [entry] = kling.reconcile()
    assert list(gateway.billed) == [entry.request_id]


def test_task_7_a_local_picture(gateway: Sandbox) -> None:
    Path("cat.png").write_bytes(PNG)
    with Kling() as kling:
        for _ in range(2):
            kling.run("kling-bloombloom", image=Path("cat.png"))
    assert (gateway.uploads, len(gateway.billed)) == (1, 2)


def test_task_8_a_test(gateway: Sandbox) -> None:
    gateway.faults = [Fault("429", method="POST", nth=1, burst=2)]
    clock = SimulatedClock()
    with Kling(clock=clock) as kling:
        kling.run("kling-2", prompt="a lighthouse", save_to="renders/")
    assert (len(gateway.submits), len(gateway.billed)) == (3, 1)
    assert clock.slept


def test_task_9_a_budget_in_a_plugin(gateway: Sandbox) -> None:
    class Budget:
        def __init__(self) -> None:
            self.spent = 0.0
            self._lock = threading.Lock()

        @hookimpl
        def kling_event(self, event: events.Event) -> None:
            if isinstance(event, events.Completed):
                with self._lock:
                    self.spent += event.result.metrics.cost or 0.0

    budget = Budget()
    with Kling(plugins=[budget]) as kling:
        for duration in (5, 10):
            kling.run_model("kling-2", {"prompt": "a lighthouse", "duration": duration})
    assert budget.spent == pytest.approx(sum(gateway.billed.values()))


def test_task_10_a_new_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for folder, *arguments in (
        (".", "new", "--package", "acme-kling"),
        ("acme-kling", "generate", "--out", "acme_kling/models"),
    ):
        monkeypatch.chdir(tmp_path / folder)
        result = CliRunner().invoke(codegen, arguments)
        assert result.exit_code == 0, result.output
    monkeypatch.syspath_prepend(str(tmp_path / "acme-kling"))
    [code] = [block.text for block in read_blocks("codegen/README.md") if "CATALOG" in block.text]
    capsys.readouterr()
    exec(code, {})
    # The package is not installed.
    assert capsys.readouterr().out.splitlines() == ["['acme-kling-1']", "[]"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_kling"]:
        del sys.modules[name]
