"""One fixture that runs a test on both clients."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any, Self, TypeAlias

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from kling_sandbox import Sandbox

from kling_adapters import AsyncJob, AsyncKling, AsyncResult, Kling
from kling_adapters.testing import FakeGateway, SimulatedClock
from tests.support.scripted_server import KEY, ScriptedServer

OpenClient: TypeAlias = Callable[..., "Client"]
_MOST_SLEEPS = 5000


class BoundedClock(SimulatedClock):
    """A simulated clock that fails a test which would never end."""

    def sleep(self, seconds: float) -> None:
        assert len(self.slept) < _MOST_SLEEPS
        super().sleep(seconds)


class BlockingView:
    """An `AsyncKling`, `AsyncJob` or `AsyncResult` whose methods block, like those of `Kling`, `Job` and `Result`."""

    def __init__(self, portal: BlockingPortal, viewed: Any) -> None:
        self._portal = portal
        self.viewed = viewed

    def __repr__(self) -> str:
        return repr(self.viewed)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.viewed, name)
        return partial(self._call, attribute) if inspect.ismethod(attribute) else attribute

    def _call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        value = self._portal.call(partial(method, *arguments, **options))
        if isinstance(value, AsyncGenerator):
            return self._iterate(value)
        return BlockingView(self._portal, value) if isinstance(value, AsyncJob | AsyncResult) else value

    def _iterate(self, items: AsyncGenerator[Any]) -> Iterator[Any]:
        """Iterate in one task, because a batch has a task group."""
        received, proceed, end = SimpleQueue[Any](), SimpleQueue[str](), object()

        async def pump() -> None:
            async with aclosing(items):
                async for item in items:
                    received.put(item)
                    if not await anyio.to_thread.run_sync(proceed.get):
                        return

        task = self._portal.start_task_soon(pump)
        task.add_done_callback(lambda _: received.put(end))
        try:
            while (item := received.get()) is not end:
                yield item
                proceed.put("next")
        finally:
            proceed.put("")
            task.result()


class Client:
    """A client of either kind with the methods of `Kling`. Use it in a `with` block, or leave closing to the fixture.

    Attributes:
        kling: The client itself.
        clock: Its clock, unless the options have another.
        is_async: Whether it is an AsyncKling.

    """

    def __init__(self, portal: BlockingPortal | None, base_url: str, options: dict[str, Any]) -> None:
        self.clock = BoundedClock()
        self.is_async = portal is not None
        arguments = {"base_url": base_url, "clock": self.clock, **options}
        self.kling: Any = AsyncKling(**arguments) if portal else Kling(**arguments)
        self._portal = portal
        self._methods = self.view(self.kling)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._methods, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._methods.close()

    def view(self, handle: Any) -> Any:
        """Return a job or a result, as of an error, with methods that block."""
        return BlockingView(self._portal, handle) if self._portal else handle

    def submit_job(self) -> Any:
        """Submit a valid job."""
        return self.submit("kling-2", prompt="a lighthouse")

    def finish_job(self, timeout: float | None = None) -> Any:
        """Submit a valid job and wait for its result."""
        return self.submit_job().wait(timeout)

    def save_job(self, to: Any) -> Any:
        """Submit a valid job, wait for its result and store it."""
        return self.finish_job().save(to)


def unwrap(value: Any) -> Any:
    """Return the job or result that a test sees with methods that block."""
    return value.viewed if isinstance(value, BlockingView) else value


@contextmanager
def open_clients(kind: str) -> Iterator[OpenClient]:
    """Return the function that is the fixture `open_client`.

    A test that uses the fixture runs once per kind of client, `Kling` and `AsyncKling`, with the same lines:

        with open_client(sandbox, journal=None) as kling:
            result = kling.run("kling-2", prompt="x")

    The first argument is a sandbox, a scripted server or a `FakeGateway`, whose key is used too, or a URL; options are
    those of `Kling`. All methods block, also those of the jobs and results that they return: `AsyncKling` works in an
    event loop of another thread. Sleeping takes no time. Clients are closed at the end of their block or of the test.
    """
    with ExitStack() as stack:
        backend = "trio" if kind == "trio" else "asyncio"
        portal = None if kind == "sync" else stack.enter_context(start_blocking_portal(backend))

        def open_client(server: Sandbox | FakeGateway | ScriptedServer | str, **options: Any) -> Client:
            base_url, key = _address(server)
            # A script has no answers for the request history, whose requests would take those of others.
            defaults = {"api_key": key, "history": False if isinstance(server, ScriptedServer) else None}
            client = Client(portal, base_url, {**defaults, **options})
            stack.callback(client.close)
            return client

        yield open_client


def _address(server: Sandbox | FakeGateway | ScriptedServer | str) -> tuple[str, str]:
    """Return the base URL and the key of a server."""
    match server:
        case str():
            return server, KEY
        case ScriptedServer():
            return server.url, KEY
        case _:
            return server.base_url, server.api_key
