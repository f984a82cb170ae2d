"""Jobs beside plugins that fail or hang."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling
from kling_adapters.hookspecs import hookimpl
from kling_adapters.plugins import manager as plugins
from kling_adapters.testing import MP4, FakeGateway, SimulatedClock

from .conftest import Install


class Raising:
    """Fails in every hook."""

    @hookimpl
    def kling_storage(self, url: str) -> Any:
        raise RuntimeError("storage is down")

    @hookimpl
    def kling_auth(self) -> Any:
        raise RuntimeError("vault is down")

    @hookimpl
    def kling_event(self) -> None:
        raise RuntimeError("pager is down")

    @hookimpl
    def kling_cli(self) -> None:
        raise RuntimeError("terminal is down")

    @hookimpl
    def kling_close(self) -> None:
        raise RuntimeError("door is down")


class Hanging:
    """Does not return from its first event before the test is over."""

    def __init__(self) -> None:
        self.over = threading.Event()

    @hookimpl
    def kling_event(self) -> None:
        self.over.wait()

    @hookimpl
    def kling_close(self) -> None:
        self.over.wait()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    monkeypatch.setattr(plugins, "EVENT_SECONDS", 0.05)
    monkeypatch.setattr(plugins, "CLOSE_SECONDS", 0.05)
    plugin = Hanging()
    yield plugin
    plugin.over.set()


def test_hundred_jobs_complete_beside_failing_plugins(
    install: Install,
    hanging: Hanging,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On a busy machine, only a plugin that really hangs takes longer.
    monkeypatch.setattr(plugins, "EVENT_SECONDS", 1.0)
    install("unimportable", "import nothing_of_that_name")
    stored: Counter[str] = Counter()

    class Good:
        @hookimpl
        def kling_event(self, event: ka.events.Event) -> None:
            stored[type(event).__name__] += 1

    async def main(gateway: FakeGateway) -> list[Any]:
        results: list[Any] = []
        # pluggy calls the last one first.
        troubled = [Good(), hanging, Raising()]
        async with AsyncKling(base_url=gateway.base_url, clock=SimulatedClock(), plugins=troubled) as kling:

            async def run_one(number: int) -> None:
                results.append(
                    # Each sleep of one job moves the time of all.
                    await kling.run("kling-2", prompt=str(number), save_to=tmp_path, timeout=1e6)
                )

            async with anyio.create_task_group() as group:
                for number in range(100):
                    group.start_soon(run_one, number)
        return results

    with FakeGateway() as gateway:
        monkeypatch.setenv("SEGMIND_API_KEY", gateway.api_key)
        results = anyio.run(main, gateway)
    files = [file.path for result in results for file in result.saved]
    assert len(set(files)) == 100
    assert all(path.read_bytes() == MP4 for path in files)
    assert stored == {"Submitted": 100, "StateChanged": 200, "Completed": 100, "Stored": 100}
    messages = Counter(record.getMessage().split(" of ")[0] for record in caplog.records)
    assert messages["plugin Raising failed on Submitted"] == 100
    assert messages["plugin Raising failed on closing"] == 1
    assert messages["plugin Raising is skipped"] == 101  # for each storage, and once for the key
    assert sum(count for text, count in messages.items() if text.startswith("plugin Hanging hangs")) == 501
    assert any(
        "plugin unimportable cannot be used and is left out: ModuleNotFoundError" in text for text in messages
    )


def test_blocking_job_completes_beside_a_hanging_plugin(
    sandbox: Sandbox, hanging: Hanging, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Kling(
        base_url=sandbox.base_url, api_key=sandbox.api_key, plugins=[hanging], clock=SimulatedClock()
    ) as kling:
        assert kling.run("kling-2", prompt="x", save_to=tmp_path).saved
    messages = [record.getMessage() for record in caplog.records if "hangs" in record.getMessage()]
    assert "has not finished after 0.05 s; the job continues" in messages[0]
    assert all("hangs and did not receive" in message for message in messages[1:])
    assert len(messages) == 6


def test_hanging_coroutine_is_cancelled(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(plugins, "EVENT_SECONDS", 0.05)
    ended: list[str] = []

    class Hanging:
        @hookimpl
        async def kling_event(self, event: ka.events.Event) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(type(event).__name__)

    async def main() -> None:
        async with AsyncKling(
            base_url=sandbox.base_url, api_key=sandbox.api_key, plugins=[Hanging()], clock=SimulatedClock()
        ) as kling:
            await (await kling.submit("kling-2", prompt="x")).wait()

    anyio.run(main)
    assert ended == ["Submitted", "StateChanged", "StateChanged", "Completed"]
    assert caplog.text.count("plugin Hanging failed on") == 4
    assert "TimeoutError" in caplog.text


def test_process_ends_beside_a_hanging_plugin(sandbox: Sandbox) -> None:
    code = f"""
import threading
from kling_adapters import Kling
from kling_adapters.plugins import manager as plugins
from kling_adapters.hookspecs import hookimpl
plugins.EVENT_SECONDS = plugins.CLOSE_SECONDS = 0.05

class Hanging:
    @hookimpl
    def kling_event(self):
        threading.Event().wait()

with Kling(base_url="{sandbox.base_url}", api_key="{sandbox.api_key}", plugins=[Hanging()]) as kling:
    print(kling.submit("kling-2", prompt="x").model)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "kling-2\n"
