"""Workers that are killed, a server that is killed, and a gateway with all faults at once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from kling_sandbox import Faults, ReceivedRequest, Sandbox
from kling_temporal import TemporalEngine
from temporalio.client import Client

from kling_adapters import AsyncResult, Outcome, SubmitUncertain
from tests.promises import storm
from tests.temporal.servers import TemporalServer, Workers

pytestmark = pytest.mark.anyio
# What `make test` has time for; `make temporal` has 300, and kills until all have ended.
JOBS = int(os.environ.get("KLING_TEMPORAL_JOBS", "18"))
KILLS = 2 if JOBS < 24 else JOBS
WORKERS = 3
KILL_SECONDS = 5.0
RESTART_SECONDS = 1.5 * KILL_SECONDS
SEARCH_SECONDS = "8" if JOBS < 24 else "25"
SECRET = b"a lighthouse in a storm"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def collect(running: AsyncGenerator[Outcome[AsyncResult]]) -> list[Outcome[AsyncResult]]:
    return [outcome async for outcome in running]


async def kill_workers(workers: Workers, is_ended: asyncio.Event) -> None:
    while workers.kills < KILLS and not await wait_for_end(is_ended, KILL_SECONDS):
        await asyncio.to_thread(workers.kill_oldest)


async def restart_server(server: TemporalServer, is_ended: asyncio.Event) -> None:
    if not await wait_for_end(is_ended, RESTART_SECONDS):
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(1)
        await asyncio.to_thread(server.start)


async def wait_for_end(is_ended: asyncio.Event, seconds: float) -> bool:
    """Wait so many seconds, or until the batch has ended. Return whether it has."""
    with suppress(TimeoutError):
        await asyncio.wait_for(is_ended.wait(), seconds)
    return is_ended.is_set()


async def test_jobs_survive_kills_and_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = base64.b64encode(os.urandom(32)).decode()
    monkeypatch.setenv("KLING_TEMPORAL_KEYS", key)
    folder = tmp_path / "out"
    with TemporalServer(tmp_path) as server, storm.sandbox() as sandbox:
        environment = {"KLING_BASE_URL": sandbox.base_url, "SEGMIND_API_KEY": sandbox.api_key}
        with Workers(server, "chaos", environment, SEARCH_SECONDS) as workers:
            workers.start(WORKERS)
            client = await server.connect(codec="kling_temporal.encryption:make_codec")
            engine = TemporalEngine(client, task_queue="chaos", base_url=sandbox.base_url, api_key="none")
            running = engine.map(storm.requests(JOBS), name="chaos", save_to=folder, concurrency=48)
            batch = asyncio.create_task(collect(running))
            while not sandbox.submits and not batch.done():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            is_ended = asyncio.Event()
            batch.add_done_callback(lambda _: is_ended.set())
            # None of them is cancelled: a thread that starts a process would go on.
            await asyncio.gather(kill_workers(workers, is_ended), restart_server(server, is_ended))
            outcomes = await batch
            assert workers.kills
            assert server.starts == 2, "the batch ended before the server was killed"
            await check_history_is_opaque(client, sandbox.api_key)
        assert sorted(outcome.index for outcome in outcomes) == list(range(JOBS))
        check_submitted_once(sandbox, outcomes)
        sandbox.faults = Faults()
        check_files_are_whole(sandbox, outcomes, folder)
        ends = Counter(type(outcome.error).__name__ for outcome in outcomes)
        sys.stdout.write(f"{JOBS} jobs, {workers.kills} kills: {dict(ends)}, {len(sandbox.billed)} billed\n")
    for path in tmp_path.glob("temporal.db*"):  # noqa: ASYNC240
        assert SECRET not in path.read_bytes()


async def check_history_is_opaque(client: Client, api_key: str) -> None:
    """Check that neither a prompt nor the key can be read in any history."""
    async for execution in client.list_workflows(""):
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        async for event in handle.fetch_history_events():
            content = event.SerializeToString()
            assert SECRET not in content
            assert api_key.encode() not in content


def check_submitted_once(sandbox: Sandbox, outcomes: list[Outcome[AsyncResult]]) -> None:
    """Check with the gateway's own record that only submits that started nothing were repeated."""
    submits: dict[str, list[ReceivedRequest]] = defaultdict(list)
    for submit in sandbox.submits:
        if submit.fault != "reset-early":
            submits[submit.json["negative_prompt"]].append(submit)
    started: set[str] = set()
    for outcome in outcomes:
        sent = submits[f"job {outcome.index}"]
        accepted = [submit for submit in sent if submit.fault not in storm.SAFE]
        assert len(accepted) <= 1, "a submit that reached the gateway was repeated"
        if outcome.error is None:
            assert outcome.request_id == accepted[0].request_id
            started.add(outcome.request_id or "")
        else:
            assert isinstance(outcome.error, SubmitUncertain), outcome.error
            assert not accepted, "the job of an uncertain submit is in the request history"
    assert set(sandbox.billed) == started


def check_files_are_whole(sandbox: Sandbox, outcomes: list[Outcome[AsyncResult]], folder: Path) -> None:
    expected: set[Path] = set()
    with httpx.Client(base_url=sandbox.base_url) as http:
        for outcome in outcomes:
            if outcome.result is not None:
                [file] = outcome.result.saved
                content = http.get(f"/media/{outcome.request_id}.mp4").raise_for_status().content
                assert file.path.read_bytes() == content
                assert file.sha256 == hashlib.sha256(content).hexdigest()
                expected.add(file.path)
    assert expected <= set(folder.iterdir())
