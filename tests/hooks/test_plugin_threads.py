"""Threads and event loops of notifiers: one of each per plugin, as long as the client lives."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from typing import Any

import anyio
import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling
from kling_adapters.hookspecs import hookimpl
from kling_adapters.plugins import manager as plugins
from kling_adapters.plugins.worker import PluginWorker
from kling_adapters.testing import FakeGateway, SimulatedClock
from tests.support.clients import OpenClient
from tests.support.waiting import wait_until

EVENTS = ["Submitted", "StateChanged", "StateChanged", "Completed"]


class LoopBound:
    """Works in one event loop only, as a plugin with an asynchronous HTTP client does."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.is_closed = False

    def use(self) -> None:
        self.loops.append(asyncio.get_running_loop())
        assert self.loops[0] is self.loops[-1], "another event loop"

    @hookimpl
    async def kling_event(self, event: ka.events.Event) -> None:
        await asyncio.sleep(0)
        self.use()
        self.events.append(type(event).__name__)

    @hookimpl
    async def kling_close(self) -> None:
        self.use()
        self.is_closed = True


def test_async_notifier_has_one_loop_for_the_client(open_client: OpenClient, sandbox: Sandbox) -> None:
    notifier = LoopBound()

    with open_client(sandbox, plugins=[notifier]) as kling:
        for _ in range(2):
            kling.run("kling-2", prompt="x")
    assert notifier.events == EVENTS * 2
    assert notifier.is_closed
    assert notifier.loops[0].is_closed()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_async_client_in_several_loops_loses_no_event(backend: str) -> None:
    notifier = LoopBound()
    shared = plugins.Plugins([notifier])
    for number in range(3):
        anyio.run(shared.notify_async, ka.events.Submitted(str(number), "kling-2", {}, 0.1), backend=backend)
    shared.close()
    assert notifier.events == ["Submitted"] * 3
    assert notifier.is_closed


def test_coroutines_run_concurrently() -> None:
    async def main(gateway: FakeGateway) -> None:
        options: dict[str, Any] = {"base_url": gateway.base_url, "api_key": gateway.api_key}
        client = AsyncKling(**options, plugins=[notifier], clock=SimulatedClock())
        async with client as kling, anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(submit, kling, number)

    async def submit(kling: AsyncKling, number: int) -> None:
        await kling.submit("kling-2", prompt=str(number))

    class WaitsForThree:
        """Finishes no event before it has three."""

        def __init__(self) -> None:
            self.count = 0
            self.three = asyncio.Event()

        @hookimpl
        async def kling_event(self, event: ka.events.Event) -> None:
            self.count += 1
            if self.count == 3:
                self.three.set()
            await self.three.wait()

    notifier = WaitsForThree()
    with FakeGateway() as gateway:
        anyio.run(main, gateway)
    assert notifier.count == 3


def test_plain_notifier_has_one_thread(sandbox: Sandbox) -> None:
    class Notifier:
        def __init__(self) -> None:
            self.threads: set[int] = set()

        @hookimpl
        def kling_event(self) -> None:
            self.threads.add(threading.get_ident())
            asyncio.run(asyncio.sleep(0))

    notifier = Notifier()
    options: dict[str, Any] = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
    with Kling(**options, plugins=[notifier], clock=SimulatedClock()) as kling:
        for _ in range(3):
            kling.run("kling-2", prompt="x")
        alive = [thread.name for thread in threading.enumerate()]
        assert alive.count("kling-Notifier") == 1
    assert len(notifier.threads) == 1
    wait_until(lambda: "kling-Notifier" not in [thread.name for thread in threading.enumerate()])


def test_collected_client_ends_its_threads() -> None:
    thread = PluginWorker("collected")
    ended: list[str] = []

    async def note() -> None:
        ended.append("coroutine")

    assert thread.call(note, 10) == "ended"
    assert thread.call(lambda: ended.append("function"), 10) == "ended"
    assert ended == ["coroutine", "function"]
    reference = weakref.ref(thread)
    del thread
    gc.collect()
    assert reference() is None
    wait_until(lambda: not any("collected" in thread.name for thread in threading.enumerate()))


def test_plugin_may_use_the_client_in_its_hook(sandbox: Sandbox) -> None:
    class Nested:
        def __init__(self) -> None:
            self.events: list[str] = []

        @hookimpl
        def kling_event(self, event: ka.events.Event) -> None:
            self.events.append(type(event).__name__)
            if len(self.events) == 1:
                kling.submit("kling-2", prompt="again")

    nested = Nested()
    options: dict[str, Any] = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
    with Kling(**options, plugins=[nested], clock=SimulatedClock()) as kling:
        kling.submit("kling-2", prompt="x")
    assert nested.events == ["Submitted", "Submitted"]


def test_waiting_events_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = PluginWorker("busy")
    first, release = threading.Event(), threading.Event()
    outcomes: list[str] = []

    def hold() -> None:
        first.set()
        release.wait(30)

    holder = threading.Thread(target=lambda: outcomes.append(thread.call(hold, 30)))
    holder.start()
    first.wait(30)
    # Their time limit starts with their call, not while they wait.
    waiting = [
        threading.Thread(target=lambda: outcomes.append(thread.call(lambda: None, 5))) for _ in range(3)
    ]
    for waiter in waiting:
        waiter.start()
    release.set()
    for waiter in (holder, *waiting):
        waiter.join(30)
    assert outcomes == ["ended"] * 4
    thread.close()


def test_events_after_a_hanging_call_are_skipped() -> None:
    thread = PluginWorker("hanging")
    first, release = threading.Event(), threading.Event()

    def hang() -> None:
        first.set()
        release.wait(30)

    outcomes: list[str] = []
    hanging = threading.Thread(target=lambda: outcomes.append(thread.call(hang, 0.2)))
    hanging.start()
    first.wait(30)
    assert thread.call(lambda: None, 30) == "skipped"
    hanging.join(30)
    assert outcomes == ["hangs"]
    release.set()
    wait_until(lambda: thread.call(lambda: None, 30) == "ended")
    thread.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_notifier_runs_in_a_forked_process(sandbox: Sandbox) -> None:
    code = """
import os
import sys
from kling_adapters.events import Submitted
from kling_adapters.hookspecs import hookimpl
from kling_adapters.plugins.manager import Plugins

class Notifier:
    @hookimpl
    async def kling_event(self, event):
        print(event.request_id, flush=True)

plugins = Plugins([Notifier()])
plugins.notify(Submitted("parent", "kling-2", {}, 0.1))
child = os.fork()
if child == 0:
    plugins.notify(Submitted("child", "kling-2", {}, 0.1))
    plugins.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
plugins.notify(Submitted("parent again", "kling-2", {}, 0.1))
plugins.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == ["parent", "child", "parent again"], done.stderr
