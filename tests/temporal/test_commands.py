"""The commands, as processes, with a worker that is one, too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kling_sandbox import Fault, Sandbox

from tests.temporal.servers import TemporalServer

KLING = Path(sys.executable).with_name("kling")


def make_environment(server: TemporalServer, sandbox: Sandbox, task_queue: str) -> dict[str, str]:
    return {
        **os.environ,
        "KLING_BASE_URL": sandbox.base_url,
        "SEGMIND_API_KEY": sandbox.api_key,
        "TEMPORAL_ADDRESS": server.address,
        "KLING_TEMPORAL_TASK_QUEUE": task_queue,
    }


@contextmanager
def run_worker(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [str(KLING), "temporal", "worker"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        assert "working on the task queue" in worker.stderr.readline()
        yield worker
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0


def run(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([KLING, *arguments], env=environment, capture_output=True, text=True, check=False)


def test_batch_runs_on_workers(server: TemporalServer, tmp_path: Path) -> None:
    batch = tmp_path / "batch.jsonl"
    lines = [{"model": "kling-2", "prompt": f"job {number}", "#customer": "Ann"} for number in range(3)]
    batch.write_text("".join(json.dumps(line) + "\n" for line in lines))
    # The third submit is refused for good: 400 starts nothing.
    with Sandbox(faults=[Fault("400", method="POST", path="/v2/*", nth=3)]) as sandbox:
        environment = make_environment(server, sandbox, "commands")
        options = ("--engine", "temporal", "--save-to", tmp_path / "out", "--name", "films")
        with run_worker(environment):
            done = run(environment, "batch", batch, *options)
            assert done.returncode == 3, done.stderr
            assert "the gateway answered 400" in done.stderr
            rows = [json.loads(line) for line in Path(f"{batch}.outcomes.jsonl").read_text().splitlines()]
            assert sorted(row["state"] for row in rows) == ["COMPLETED", "COMPLETED", "REFUSED"]
            assert {row["#customer"] for row in rows} == {"Ann"}
            assert len(list((tmp_path / "out").iterdir())) == 2

            status = run(environment, "temporal", "status", "films")
            assert "2  completed" in status.stdout
            assert "1  refused" in status.stdout
            unknown = run(environment, "temporal", "status", "movies")
            assert unknown.returncode == 2
            assert "the namespace default has no batch 'movies'" in unknown.stderr
            assert "'films'" in unknown.stderr

            again = run(environment, "batch", batch, *options)
            assert again.returncode == 2
            assert "--resume continues it" in again.stderr
            resumed = run(environment, "batch", batch, *options, "--resume")
            assert resumed.returncode == 0, resumed.stderr
            status = run(environment, "temporal", "status", "films")
            assert status.stdout.split() == ["3", "completed"]
            assert len(sandbox.submits) == 4
            assert len(sandbox.billed) == 3


@pytest.fixture
def environment(server: TemporalServer, sandbox: Sandbox) -> dict[str, str]:
    return make_environment(server, sandbox, "commands")


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    path = tmp_path / "batch.jsonl"
    path.write_text('{"model": "kling-2", "prompt": "x"}\n')
    return path


def test_unreachable_server_is_bad_input(environment: dict[str, str], batch: Path) -> None:
    done = run(environment, "batch", batch, "--engine", "temporal", "--address", "127.0.0.1:9")
    assert done.returncode == 2
    assert "Temporal cannot be reached at 127.0.0.1:9 (Connection refused). Expected" in done.stderr
    assert "--address HOST:PORT" in done.stderr
    assert "tonic" not in done.stderr
    portless = run(environment, "temporal", "status", "films", "--address", "127.0.0.2")
    assert portless.returncode == 2
    assert "Temporal cannot be reached at 127.0.0.2:7233" in portless.stderr


def test_options_of_one_process_are_refused(environment: dict[str, str], batch: Path) -> None:
    unknown = run(environment, "batch", batch, "--engine", "celery")
    assert unknown.returncode == 2
    assert "no plugin provides the engine 'celery'" in unknown.stderr
    limited = run(environment, "batch", batch, "--engine", "temporal", "--sandbox", "--rate-limit", "5")
    assert limited.returncode == 2
    assert "--sandbox and --rate-limit cannot be used with --engine" in limited.stderr


def test_batch_that_may_exceed_its_cap_is_refused(
    environment: dict[str, str], batch: Path, sandbox: Sandbox
) -> None:
    options = ("batch", batch, "--engine", "temporal", "--address", "127.0.0.1:9", "--max-cost", "2")
    unpriced = run(environment, *options)
    assert unpriced.returncode == 2
    assert "--max-cost cannot hold for 1 line of unknown price" in unpriced.stderr
    exceeded = run(environment, *options, "--allow-unknown-cost", "3")
    assert exceeded.returncode == 2
    assert "the lines may cost up to 3 credits, which is more than --max-cost 2" in exceeded.stderr
    assert sandbox.submits == ()


def test_worker_without_a_key_is_refused(environment: dict[str, str]) -> None:
    del environment["SEGMIND_API_KEY"]
    environment["TEMPORAL_ADDRESS"] = "127.0.0.1:9"
    worker = run(environment, "temporal", "worker")
    assert worker.returncode == 2
    assert "API key" in worker.stderr
    assert "cannot be reached" not in worker.stderr


def test_batch_without_a_worker_says_so(environment: dict[str, str], batch: Path) -> None:
    environment["KLING_TEMPORAL_TASK_QUEUE"] = "deserted"
    command = [str(KLING), "batch", str(batch), "--engine", "temporal"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        warning = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        stopped = process.stderr.read()
        assert process.wait(30) == 4
    assert "no worker polls the task queue deserted of the namespace default" in warning
    assert "kling temporal worker --task-queue deserted" in warning
    assert "--resume follows them again" in stopped
