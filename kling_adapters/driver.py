"""Does what flows ask for: one loop that blocks and one that does not. The clients differ in nothing else."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

import anyio
import anyio.lowlevel
import anyio.to_thread

from kling_adapters._http.transport import AsyncTransport, SyncTransport
from kling_adapters.events import Event
from kling_adapters.forks import ForkSafeLock, reset_in_children
from kling_adapters.plugins.manager import Plugins
from kling_adapters.protocol.effects import Call, Effect, Emit, Fetch, Flow, Now, Send, Sleep, Steps
from kling_adapters.protocol.session import Session

T = TypeVar("T")


class Clock(Protocol):
    """Time in seconds, so that tests can have their own."""

    def now(self) -> float:
        """A time that only goes forward."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block for so long."""
        ...

    async def sleep_async(self, seconds: float) -> None:
        """Wait for so long."""
        ...


class SystemClock:
    """The time of this machine."""

    def now(self) -> float:
        """See Clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See Clock."""
        time.sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """See Clock."""
        await anyio.sleep(seconds)


class SyncDriver:
    """Runs flows in the calling thread."""

    def __init__(self, session: Session, plugins: Plugins, clock: Clock) -> None:
        self.session = session
        self.plugins = plugins
        self._clock = clock
        self._keys: set[str] = set()
        self._lock = ForkSafeLock()
        self._transport: SyncTransport | None = SyncTransport(session.gateway, self._keys)
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Forget the connections of the parent: a child that read from one would take answers meant for others."""
        self._transport = None

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return what it returns."""
        steps = Steps(flow)
        while not steps.done:
            self._perform(steps)
        return steps.value

    def follow(self, flow: Flow[Any]) -> Iterator[Event]:
        """Run a flow and yield the events it emits, as they happen."""
        steps = Steps(flow)
        while not steps.done:
            if isinstance(steps.effect, Emit):
                event = steps.effect.event
                self.plugins.notify(event)
                # Before the flow goes on: the next thing it does may be to raise.
                yield event
                steps.answer(None)
            else:
                self._perform(steps)

    def _perform(self, steps: Steps[Any]) -> None:
        try:
            outcome = self._do(steps.effect)
        except BaseException as error:  # noqa: BLE001  the flow raises it again
            steps.fail(error)
        else:
            steps.answer(outcome)

    def _do(self, effect: Effect) -> Any:
        match effect:
            case Send():
                return self._connections().send(effect.request)
            case Fetch():
                return self._connections().fetch(effect.request, effect.download)
            case Sleep():
                return self._clock.sleep(effect.seconds)
            case Now():
                return self._clock.now()
            case Call():
                return effect.function()
            case Emit():
                return self.plugins.notify(effect.event)

    def _connections(self) -> SyncTransport:
        with self._lock:
            if self._transport is None:
                self._transport = SyncTransport(self.session.gateway, self._keys)
            return self._transport

    def close(self) -> None:
        """Close every connection, and let plugins finish."""
        if self._transport is not None:
            self._transport.close()
        self.plugins.close()


class AsyncDriver:
    """Runs flows within a task; what may block is done in worker threads."""

    def __init__(self, session: Session, plugins: Plugins, clock: Clock) -> None:
        self.session = session
        self.plugins = plugins
        self._clock = clock
        self._keys: set[str] = set()
        self._lock = ForkSafeLock()
        # Made here, so that an environment that cannot be used is an error now; the first event loop takes it.
        self._unused: AsyncTransport | None = AsyncTransport(session.gateway, self._keys)
        self._opened: WeakKeyDictionary[object, _LoopConnections] = WeakKeyDictionary()
        # Connections of the parent of this process. To drop them would be to act on its event loop.
        self._inherited: list[object] = []
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Forget the connections of the parent."""
        self._inherited += [self._unused, list(self._opened.values())]
        self._unused, self._opened = None, WeakKeyDictionary()

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return what it returns."""
        steps = Steps(flow)
        while not steps.done:
            await self._perform(steps)
        return steps.value

    async def follow(self, flow: Flow[Any]) -> AsyncIterator[Event]:
        """Run a flow and yield the events it emits, as they happen."""
        steps = Steps(flow)
        while not steps.done:
            if isinstance(steps.effect, Emit):
                event = steps.effect.event
                await self.plugins.notify_async(event)
                # Before the flow goes on: the next thing it does may be to raise.
                yield event
                steps.answer(None)
            else:
                await self._perform(steps)

    async def _perform(self, steps: Steps[Any]) -> None:
        try:
            outcome = await self._do(steps.effect)
        except BaseException as error:  # noqa: BLE001  the flow raises it again
            steps.fail(error)
        else:
            steps.answer(outcome)

    async def _do(self, effect: Effect) -> Any:
        match effect:
            case Send():
                return await (await self._connections()).send(effect.request)
            case Fetch():
                return await (await self._connections()).fetch(effect.request, effect.download)
            case Sleep():
                return await self._clock.sleep_async(effect.seconds)
            case Now():
                return self._clock.now()
            case Call():
                return await anyio.to_thread.run_sync(
                    effect.function, abandon_on_cancel=effect.abandon_on_cancel
                )
            case Emit():
                return await self.plugins.notify_async(effect.event)

    async def _connections(self) -> AsyncTransport:
        """Return the connections of the running event loop: those of another cannot be used in it."""
        loop = _running_loop()
        if (opened := self._opened.get(loop)) is None:
            with self._lock:
                transport, self._unused = self._unused, None
            if transport is None:
                transport = AsyncTransport(self.session.gateway, self._keys)
            opened = self._opened[loop] = _LoopConnections(transport)
            await opened.open()
        return opened.transport

    async def close(self) -> None:
        """Close the connections of the running event loop, and let plugins finish; other loops close theirs at their end."""
        loop = _running_loop()
        if self._unused is not None or loop in self._opened:
            await self._connections()
            await self._opened[loop].close()
        await anyio.to_thread.run_sync(self.plugins.close)


class _LoopConnections:
    """Connections that an event loop closes at its end, as it does with every async generator that is not finished."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport
        self._lifetime = self._stay_open()

    async def _stay_open(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self.transport.close()

    async def open(self) -> None:
        await anext(self._lifetime)

    async def close(self) -> None:
        await self._lifetime.aclose()


def _running_loop() -> object:
    token = anyio.lowlevel.current_token()
    # anyio 4.11 and later wraps it, anew each time.
    return getattr(token, "native_token", token)
