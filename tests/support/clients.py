"""Both clients behind one blocking form, so that one test covers both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeAlias

from anyio.from_thread import BlockingPortal, start_blocking_portal

from kling_adapters import AsyncKling, Kling
from kling_adapters.events import Event
from kling_adapters.testing import SimulatedClock

OpenClient: TypeAlias = Callable[..., "ClientHarness"]
_MOST_SLEEPS = 5000


class BoundedClock(SimulatedClock):
    """A simulated clock that fails a test which would never end."""

    def sleep(self, seconds: float) -> None:
        assert len(self.slept) < _MOST_SLEEPS
        super().sleep(seconds)


class ClientHarness:
    """One client of either kind.

    Attributes:
        kling: The client.
        clock: Its clock, unless the options have another.
        is_async: Whether it is an AsyncKling.

    """

    def __init__(self, portal: BlockingPortal | None, base_url: str, options: dict[str, Any]) -> None:
        self.clock = BoundedClock()
        self.is_async = portal is not None
        arguments = {"base_url": base_url, "clock": self.clock, **options}
        self.kling: Any = AsyncKling(**arguments) if portal else Kling(**arguments)
        self._portal = portal

    def call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a method of the client, of a job or of a result, and return its value."""
        call = partial(method, *arguments, **options)
        return self._portal.call(call) if self._portal else call()

    def collect(self, iterable: Any) -> list[Any]:
        """Return every item of an iterable of either kind."""

        async def collect() -> list[Any]:
            return [item async for item in iterable]

        return self._portal.call(collect) if self._portal else list(iterable)

    def submit(self) -> Any:
        """Submit a valid job."""
        return self.call(self.kling.submit, "kling-2", prompt="a lighthouse")

    def wait(self, timeout: float | None = None) -> Any:
        """Submit a valid job and wait for its result."""
        return self.call(self.submit().wait, timeout)

    def save(self, to: Any) -> Any:
        """Submit a valid job, wait for its result and store it."""
        return self.call(self.wait().save, to)

    def events(self, job: Any) -> list[Event]:
        """Return every event of a job."""
        return self.collect(job.events())


@contextmanager
def open_clients(kind: str) -> Iterator[OpenClient]:
    """Return a function that opens clients of one kind, "sync" or "async"; they are closed at the end."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal()) if kind == "async" else None

        def open_client(base_url: str, **options: Any) -> ClientHarness:
            client = ClientHarness(portal, base_url, options)
            stack.callback(client.call, client.kling.close)
            return client

        yield open_client
