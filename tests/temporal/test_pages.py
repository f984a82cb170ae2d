"""The code and the files of the pages about Temporal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kling_sandbox import Sandbox
from temporalio.client import Client

from tests.temporal.batches import run_worker
from tests.temporal.servers import TemporalServer

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugins" / "temporal"
README = (PLUGIN / "README.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def find_end(client: Client) -> Any:
    handle = client.get_schedule_handle("daily-lighthouse")
    await handle.trigger()
    while not (actions := (await handle.describe()).info.recent_actions):
        pass
    execution: Any = actions[0].action
    return await client.get_workflow_handle(execution.workflow_id).result()


async def test_schedule_runs_a_job(server: TemporalServer) -> None:
    [_, code] = EXAMPLES
    with Sandbox() as sandbox:
        async with run_worker(server, sandbox, "schedules") as setup:
            code = code.replace("https://api.segmind.com", sandbox.base_url).replace(
                '"kling",', '"schedules",'
            )
            names: dict[str, Any] = {}
            exec(code.replace("s3://renders/", "memory:renders/"), names)
            await names["schedule_daily"](server.address)
            end = await find_end(setup.client)
    assert end["state"] == "COMPLETED"
    assert end["files"][0]["url"].startswith("memory:")


def test_example_of_the_engine_is_valid() -> None:
    compile(EXAMPLES[0], "README.md", "exec")


def test_compose_file_passes_only_documented_variables() -> None:
    services = yaml.safe_load((PLUGIN / "compose.yaml").read_text("utf-8"))["services"]
    assert services.keys() == {"postgresql", "temporal", "web", "worker"}
    variables = {name for name in services["worker"]["environment"] if name.startswith("KLING_TEMPORAL")}
    assert all(name in README for name in variables)
    assert all(":" in service["image"] for service in services.values())
