"""Codecs, versions of workers, and tracing."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Sandbox
from kling_temporal import TemporalEngine, connect, make_worker
from kling_temporal.connection import prepare_namespace
from kling_temporal.encryption import Encryption, make_codec
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.api.common.v1 import Payload
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from kling_adapters import ConfigError
from tests.temporal.servers import TemporalServer

pytestmark = pytest.mark.anyio
OLD, NEW = os.urandom(32), os.urandom(32)
PAYLOAD = Payload(metadata={"encoding": b"json/plain"}, data=b'"a lighthouse"')


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_payload_is_encrypted_and_decrypted() -> None:
    codec = Encryption([NEW])
    [sealed] = await codec.encode([PAYLOAD])
    assert b"lighthouse" not in sealed.SerializeToString()
    assert await codec.decode([sealed, PAYLOAD]) == [PAYLOAD, PAYLOAD]
    assert (await codec.encode([PAYLOAD])) != [sealed]


async def test_key_can_be_replaced() -> None:
    [sealed] = await Encryption([OLD]).encode([PAYLOAD])
    assert await Encryption([NEW, OLD]).decode([sealed]) == [PAYLOAD]
    with pytest.raises(ValueError, match="no key"):
        await Encryption([NEW]).decode([sealed])


@pytest.mark.parametrize("text", ["", "c2hvcnQ=", "no base64!"])
def test_unusable_keys_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("KLING_TEMPORAL_KEYS", text)
    with pytest.raises(ConfigError, match="Nothing was sent"):
        make_codec()


@pytest.mark.parametrize("codec", ["missing:make", "json:missing", "json:dumps", "time:time"])
async def test_unusable_codec_is_refused(server: TemporalServer, codec: str) -> None:
    with pytest.raises(ConfigError, match="Nothing was sent"):
        await connect(server.address, codec=codec)


async def test_missing_namespace_is_named(server: TemporalServer) -> None:
    client = await connect(server.address, "films")
    with pytest.raises(ConfigError, match=r"no namespace 'films'.* --namespace NAME.* Nothing was sent"):
        await prepare_namespace(client)


async def test_server_that_ends_is_unreachable(tmp_path: Path) -> None:
    with TemporalServer(tmp_path, is_stored=False) as ended:
        client = await ended.connect()
    with pytest.raises(ConfigError, match=f"cannot be reached at {ended.address} .* Nothing was sent"):
        await prepare_namespace(client)


async def test_key_of_the_environment_is_a_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_TEMPORAL_KEYS", base64.b64encode(NEW).decode())
    [sealed] = await make_codec().encode([PAYLOAD])
    assert await Encryption([NEW]).decode([sealed]) == [PAYLOAD]


async def make_current(client: Client, deployment: str, build_id: str) -> None:
    """Make a version the current one, as soon as the server has heard of its worker."""
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace="default", deployment_name=deployment, build_id=build_id, ignore_missing_task_queues=True
    )
    while True:
        try:
            await client.workflow_service.set_worker_deployment_current_version(request)
        except RPCError as error:
            if error.status not in (RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION):
                raise
            await asyncio.sleep(0.2)
        else:
            return


async def test_version_runs_jobs_when_it_is_current(server: TemporalServer) -> None:
    client = await server.connect()
    with Sandbox() as sandbox:
        connection: dict[str, Any] = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
        worker, kling = make_worker(client, task_queue="versions", build_id="0.1.0", **connection)
        async with kling, worker:
            await make_current(client, "versions", "0.1.0")
            engine = TemporalEngine(client, task_queue="versions", **connection)
            [outcome] = [
                item async for item in engine.map([{"model": "kling-2", "prompt": "x"}], name="versions")
            ]
        assert outcome.error is None
        [execution] = [
            item
            async for item in client.list_workflows("KlingBatch = 'versions' AND KlingState = 'COMPLETED'")
        ]
        described = await client.get_workflow_handle(execution.id).describe()
        info = described.raw_description.workflow_execution_info.versioning_info
        assert info.deployment_version.build_id == "0.1.0"


async def test_spans_of_a_job_belong_to_its_workflow(
    server: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    client = await server.connect(tracing=True)
    with Sandbox() as sandbox:
        connection: dict[str, Any] = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
        worker, kling = make_worker(client, task_queue="spans", **connection)
        async with kling, worker:
            engine = TemporalEngine(client, task_queue="spans", **connection)
            [outcome] = [
                item async for item in engine.map([{"model": "kling-2", "prompt": "x"}], name="spans")
            ]
    assert outcome.error is None
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert {"RunActivity:kling-submit", "RunActivity:kling-collect", "kling.job"} <= spans.keys()
    traces = {spans[name].context.trace_id for name in ("RunActivity:kling-submit", "kling.job")}
    assert len(traces) == 1
