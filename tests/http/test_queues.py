"""The queues above the pools of connections: for 32 exchanges at once, in order of arrival."""

from __future__ import annotations

import threading
import time
from contextlib import AsyncExitStack, ExitStack
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from kling_adapters._http.deadline import NotConnected
from kling_adapters._http.queues import MAX_CONNECTIONS, TaskQueue, ThreadQueue
from kling_adapters._http.settings import ConnectionSettings
from kling_adapters._http.transport import AsyncTransport, SyncTransport
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Answer, Fault, Outcome, Request
from tests.support.scripted_server import ScriptedServer, json_reply

ORDER = list(range(3 * MAX_CONNECTIONS))
NO_CONNECTION = r"no connection was free within 0\.01 s"

backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def fill(queue: ThreadQueue[Any]) -> ExitStack:
    """Take every place of a queue until the stack is closed."""
    with ExitStack() as places:
        for _ in range(MAX_CONNECTIONS):
            places.enter_context(queue.admit(0.0))
        return places.pop_all()


async def fill_async(queue: TaskQueue[Any]) -> AsyncExitStack:
    """Take every place of a queue until the stack is closed."""
    async with AsyncExitStack() as places:
        for _ in range(MAX_CONNECTIONS):
            await places.enter_async_context(queue.admit(0.0))
        return places.pop_all()


def wait_for_queue(queue: ThreadQueue[Any], length: int) -> None:
    while len(queue._waiting) != length:
        time.sleep(0)


async def wait_for_queue_async(queue: TaskQueue[Any], length: int) -> None:
    while queue._semaphore.statistics().tasks_waiting != length:
        await anyio.lowlevel.checkpoint()


def test_threads_are_admitted_in_order() -> None:
    queue = ThreadQueue(object)
    admitted: list[int] = []

    def take_turn(number: int) -> None:
        with queue.admit(None):
            admitted.append(number)

    place = queue.admit(None)
    place.__enter__()
    with ExitStack() as places:
        for _ in range(MAX_CONNECTIONS - 1):
            places.enter_context(queue.admit(0.0))
        threads = [threading.Thread(target=take_turn, args=(number,)) for number in ORDER]
        for number, thread in enumerate(threads):
            thread.start()
            wait_for_queue(queue, number + 1)
        # All of them go through this place, one after the other.
        place.__exit__(None, None, None)
        for thread in threads:
            thread.join()
    assert admitted == ORDER
    fill(queue).close()


@backends
def test_tasks_are_admitted_in_order(backend: str) -> None:
    admitted: list[int] = []

    async def take_turn(queue: TaskQueue[Any], number: int) -> None:
        async with queue.admit(None):
            admitted.append(number)

    async def main() -> None:
        queue = TaskQueue(object)
        place = queue.admit(None)
        await place.__aenter__()
        async with AsyncExitStack() as places:
            for _ in range(MAX_CONNECTIONS - 1):
                await places.enter_async_context(queue.admit(0.0))
            async with anyio.create_task_group() as tasks:
                for number in ORDER:
                    tasks.start_soon(take_turn, queue, number)
                    await wait_for_queue_async(queue, number + 1)
                # All of them go through this place, one after the other.
                await place.__aexit__(None, None, None)
        await (await fill_async(queue)).aclose()

    anyio.run(main, backend=backend)
    assert admitted == ORDER


def test_thread_leaves_the_queue_at_its_time() -> None:
    queue = ThreadQueue(object)
    with fill(queue), pytest.raises(NotConnected, match=NO_CONNECTION), queue.admit(0.01):
        pass
    fill(queue).close()


@backends
def test_task_leaves_the_queue_at_its_time(backend: str) -> None:
    async def main() -> None:
        queue = TaskQueue(object)
        async with await fill_async(queue):
            with pytest.raises(NotConnected, match=NO_CONNECTION):
                async with queue.admit(0.01):
                    pass
        await (await fill_async(queue)).aclose()

    anyio.run(main, backend=backend)


def test_interrupted_thread_leaves_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    queue = ThreadQueue(object)
    with fill(queue):
        monkeypatch.setattr(threading.Event, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt), queue.admit(None):
            pass
    fill(queue).close()


@backends
def test_cancelled_task_leaves_the_queue(backend: str) -> None:
    async def main() -> None:
        queue = TaskQueue(object)
        async with await fill_async(queue):
            with anyio.move_on_after(0.01) as scope:
                async with queue.admit(None):
                    pass
            assert scope.cancelled_caught
        await (await fill_async(queue)).aclose()

    anyio.run(main, backend=backend)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return the time of deadlines, which stands still."""
    clock = SimpleNamespace(now=0.0)
    fake = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr("kling_adapters._http.deadline.time", fake)
    return clock


@pytest.mark.parametrize("deadline", [None, 60.0])
def test_waiting_counts_for_a_deadline_only(
    deadline: float | None, server: ScriptedServer, clock: SimpleNamespace
) -> None:
    server.play([json_reply(200, {})])
    transport = SyncTransport(ConnectionSettings(Gateway(server.url), None), set())
    queue = transport._connections.queries
    outcomes: list[Outcome] = []
    request = Request("GET", server.url + "/v2/x", deadline=deadline)
    with fill(queue):
        thread = threading.Thread(target=lambda: outcomes.append(transport.send(request)))
        thread.start()
        wait_for_queue(queue, 1)
        clock.now = 1000.0
    thread.join()
    transport.close()
    check_outcome(outcomes[0], deadline, server)


@backends
@pytest.mark.parametrize("deadline", [None, 60.0])
def test_waiting_counts_for_a_deadline_only_async(
    deadline: float | None, backend: str, server: ScriptedServer, clock: SimpleNamespace
) -> None:
    server.play([json_reply(200, {})])
    outcomes: list[Outcome] = []

    async def main() -> None:
        transport = AsyncTransport(ConnectionSettings(Gateway(server.url), None), set())
        queue = transport._connections.queries
        request = Request("GET", server.url + "/v2/x", deadline=deadline)

        async def send() -> None:
            outcomes.append(await transport.send(request))

        async with anyio.create_task_group() as tasks, await fill_async(queue):
            tasks.start_soon(send)
            await wait_for_queue_async(queue, 1)
            clock.now = 1000.0
        await transport.close()

    anyio.run(main, backend=backend)
    check_outcome(outcomes[0], deadline, server)


def check_outcome(outcome: Outcome, deadline: float | None, server: ScriptedServer) -> None:
    if deadline is None:
        assert isinstance(outcome, Answer)
    else:
        assert outcome == Fault("NotConnected: the answer took longer than 60 s", sent=False)
        assert server.requests == []


def test_queries_one_after_another_use_one_connection(server: ScriptedServer) -> None:
    server.play([json_reply(200, {})] * 5)
    transport = SyncTransport(ConnectionSettings(Gateway(server.url), None), set())
    for _ in range(5):
        transport.send(Request("GET", server.url + "/v2/x"))
    transport.close()
    assert server.connections == 1


def test_closed_transport_sends_no_query(server: ScriptedServer) -> None:
    transport = SyncTransport(ConnectionSettings(Gateway(server.url), None), set())
    transport.close()
    outcome = transport.send(Request("GET", server.url + "/v2/x"))
    assert outcome == Fault("NotConnected: the client was closed", sent=False)
    assert server.connections == 0


@backends
def test_closed_transport_sends_no_query_async(backend: str, server: ScriptedServer) -> None:
    async def main() -> Outcome:
        transport = AsyncTransport(ConnectionSettings(Gateway(server.url), None), set())
        await transport.close()
        return await transport.send(Request("GET", server.url + "/v2/x"))

    assert anyio.run(main, backend=backend) == Fault("NotConnected: the client was closed", sent=False)
    assert server.connections == 0
