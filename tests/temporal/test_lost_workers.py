"""The decision about a submit whose worker was lost: it is repeated only if its intent was not recorded."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from kling_temporal import payloads, workflows
from kling_temporal.connection import prepare_namespace
from kling_temporal.payloads import Accepted, Intent, Search, make_attributes
from kling_temporal.worker import WORKFLOWS, make_runner
from temporalio import activity
from temporalio.worker import Worker

from kling_adapters.engine import JobEnd, JobRecord
from tests.temporal.servers import TemporalServer

pytestmark = pytest.mark.anyio
INTENT = Intent("be850672d229", 1795980665.0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Steps:
    """Stub steps. The first attempt of a submit never ends, like one whose worker was lost."""

    def __init__(self) -> None:
        self.submits = Counter[str]()
        self.searches: list[Search] = []

    @activity.defn(name="kling-submit")
    async def submit(self, job: JobRecord, gateway: str) -> Accepted:
        self.submits[job.tag] += 1
        if self.submits[job.tag] == 1:
            if job.tag == "recorded":
                activity.heartbeat(INTENT)
            await asyncio.sleep(3600)
        return Accepted("request-1", INTENT)

    @activity.defn(name="kling-search")
    async def search(self, search: Search) -> str | None:
        self.searches.append(search)
        return "request-2"

    @activity.defn(name="kling-collect")
    async def collect(self, job: JobRecord, gateway: str) -> JobEnd:
        return JobEnd(payloads.COMPLETED, job.request_id)


async def test_submit_with_an_intent_is_not_repeated(
    server: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflows, "HEARTBEAT_TIMEOUT", timedelta(seconds=2))
    client, steps = await server.connect(), Steps()
    await prepare_namespace(client)
    worker = Worker(
        client,
        task_queue="lost",
        workflows=WORKFLOWS,
        activities=[steps.submit, steps.search, steps.collect],
        workflow_runner=make_runner(),
    )

    async def run_job(tag: str) -> JobEnd:
        arguments: list[Any] = [JobRecord(tag, "kling-2", {}), "https://gateway.example"]
        end: JobEnd = await client.execute_workflow(
            payloads.JOB_WORKFLOW,
            args=arguments,
            id=f"lost-{tag}",
            task_queue="lost",
            result_type=JobEnd,
            search_attributes=make_attributes("kling-2", "lost"),
        )
        return end

    async with worker:
        ends = await asyncio.gather(run_job("recorded"), run_job("unrecorded"))
    assert [end.request_id for end in ends] == ["request-2", "request-1"]
    assert steps.submits == {"recorded": 1, "unrecorded": 2}
    [search] = steps.searches
    assert search.job.key == INTENT.key
    assert search.job.created == INTENT.created
    assert search.until > INTENT.created
