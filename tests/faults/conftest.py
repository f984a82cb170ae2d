"""Both clients behind one face, so that every fault is tried on each."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import lru_cache, partial
from typing import Any, TypeAlias, TypeVar

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from kling_adapters import AsyncKling, Event, Kling
from kling_adapters.testing import SimulatedClock

from .stub import KEY, Stub

T = TypeVar("T")
Connect: TypeAlias = Callable[..., "Face"]


class Clock(SimulatedClock):
    """Fails the test that would otherwise never end."""

    def sleep(self, seconds: float) -> None:
        assert len(self.slept) < 5000
        super().sleep(seconds)


class Face:
    """One client, of either kind. `do` calls one of its methods and waits for it; `clock` is its time."""

    def __init__(self, portal: BlockingPortal | None, base_url: str, options: dict[str, Any]) -> None:
        self.clock = Clock()
        client_options = {"api_key": KEY, "base_url": base_url, "clock": self.clock, **options}
        self.kling: Any = AsyncKling(**client_options) if portal else Kling(**client_options)
        self._portal = portal

    def do(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a method of the client, of a job or of a result."""
        call = partial(method, *arguments, **named)
        return self._portal.call(call) if self._portal else call()

    def submit(self) -> Any:
        """Submit something that is valid."""
        return self.do(self.kling.submit, "kling-2", prompt="a lighthouse")

    def wait(self, timeout: float | None = None) -> Any:
        """Submit something and wait for its end."""
        return self.do(self.submit().wait, timeout)

    def save(self, to: Any) -> Any:
        """Submit something, wait for its end and store it."""
        return self.do(self.wait().save, to)

    def events(self, job: Any) -> list[Event]:
        """Everything that `job.events()` yields."""
        return self.all(job.events())

    def all(self, iterable: Any) -> list[Any]:
        """Everything that an iterator yields, of either kind."""

        async def collect() -> list[Any]:
            return [item async for item in iterable]

        return self._portal.call(collect) if self._portal else list(iterable)


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Each client reads all certificates of the world, which takes longer than most tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", lru_cache(ssl.create_default_context))
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key and no proxy of this machine reaches a test."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "segmind_api_key"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A server without a script yet."""
    with Stub() as server:
        yield server


@pytest.fixture
def second_stub() -> Iterator[Stub]:
    """A second server: another host."""
    with Stub() as server:
        yield server


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Make a client for an address, of the one kind or the other; it is closed in the end."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal()) if request.param == "async" else None

        def make(base_url: str, **options: Any) -> Face:
            face = Face(portal, base_url, options)
            stack.callback(face.do, face.kling.close)
            return face

        yield make
