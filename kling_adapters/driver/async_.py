"""The driver of the asynchronous client, which performs the effects of a flow in the calling task.

Calls that may block run in worker threads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from kling_adapters.driver.clock import Clock
from kling_adapters.driver.journal_writes import JournalWrites
from kling_adapters.driver.loops import LoopTransports
from kling_adapters.events import Event
from kling_adapters.plugins.manager import Plugins
from kling_adapters.protocol.effects import Call, Emit, Fetch, Flow, Now, Record, Send, Sleep, Steps
from kling_adapters.protocol.session import Session

if TYPE_CHECKING:
    from kling_adapters._http.transport import AsyncTransport

T = TypeVar("T")


class Interrupt:
    """Ends the sleeps of several flows early; all of them run in one event loop."""

    def __init__(self) -> None:
        self._sleeps: set[anyio.CancelScope] = set()

    async def sleep(self, clock: Clock, seconds: float) -> None:
        """Sleep for `seconds`, or until `set` is called."""
        with anyio.CancelScope() as scope:
            self._sleeps.add(scope)
            try:
                await clock.sleep_async(seconds)
            finally:
                self._sleeps.discard(scope)

    def set(self) -> None:
        """End every sleep in progress."""
        for scope in tuple(self._sleeps):
            scope.cancel()


class AsyncDriver:
    """Runs flows, in any task of asyncio or trio."""

    def __init__(
        self, session: Session, plugins: Plugins, clock: Clock, connect: Callable[[], AsyncTransport]
    ) -> None:
        self.session = session
        self.plugins = plugins
        self._clock = clock
        self._transports = LoopTransports(connect)
        self._writes = JournalWrites(session.journal)

    async def run(self, flow: Flow[T], interrupt: Interrupt | None = None) -> T:
        """Run a flow and return its value; `interrupt` ends its sleeps early."""
        steps = Steps(flow)
        while not steps.done:
            await self._perform(steps, interrupt)
        return steps.value

    async def follow(self, flow: Flow[Any]) -> AsyncIterator[Event]:
        """Run a flow and yield its events as they happen."""
        steps = Steps(flow)
        while not steps.done:
            if isinstance(steps.effect, Emit):
                event = steps.effect.event
                await self.plugins.notify_async(event)
                # Before the next step of the flow, which may raise.
                yield event
                steps.answer(None)
            else:
                await self._perform(steps, None)

    async def close(self) -> None:
        """Close the connections of the running event loop, and let plugins finish.

        Other loops close their connections at their end.
        """
        await self._transports.close()
        await anyio.to_thread.run_sync(self.plugins.close)

    async def _perform(self, steps: Steps[Any], interrupt: Interrupt | None) -> None:
        outcome: Any = None
        try:
            match steps.effect:
                case Now():
                    outcome = self._clock.now()
                case Sleep(seconds):
                    # Without another coroutine: thousands of flows may sleep.
                    clock = self._clock
                    await (interrupt.sleep(clock, seconds) if interrupt else clock.sleep_async(seconds))
                case Send(request):
                    outcome = await (await self._transports.get()).send(request)
                case Fetch(request, download):
                    outcome = await (await self._transports.get()).fetch(request, download)
                case Record(function):
                    outcome = await self._writes.perform(function)
                case Call(function, abandon):
                    outcome = await anyio.to_thread.run_sync(function, abandon_on_cancel=abandon)
                case Emit(event):
                    await self.plugins.notify_async(event)
        except BaseException as error:  # noqa: BLE001  the flow raises it again
            steps.fail(error)
        else:
            steps.answer(outcome)
