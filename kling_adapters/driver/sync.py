"""The driver of the blocking client, which performs the effects of a flow in the calling thread."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from kling_adapters.driver.clock import Clock, SystemClock
from kling_adapters.events import Event
from kling_adapters.forks import ForkSafeLock, reset_in_children
from kling_adapters.plugins.manager import Plugins
from kling_adapters.protocol.effects import Call, Effect, Emit, Fetch, Flow, Now, Send, Sleep, Steps
from kling_adapters.protocol.session import Session

if TYPE_CHECKING:
    from kling_adapters._http.transport import SyncTransport

T = TypeVar("T")


class SyncDriver:
    """Runs flows, from any thread."""

    def __init__(
        self, session: Session, plugins: Plugins, clock: Clock, connect: Callable[[], SyncTransport]
    ) -> None:
        self.session = session
        self.plugins = plugins
        self._clock = clock
        self._connect = connect
        self._lock = ForkSafeLock()
        # Made for the first request.
        self._transport: SyncTransport | None = None
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Drop the connections of the parent: a child would read the parent's answers."""
        with warnings.catch_warnings():
            # Its sockets are closed in the child only, without the locks of pools, which a thread may have held.
            warnings.simplefilter("ignore", ResourceWarning)
            self._transport = None

    def run(self, flow: Flow[T], interrupt: threading.Event | None = None) -> T:
        """Run a flow and return its value; `interrupt` ends its sleeps early."""
        steps = Steps(flow)
        while not steps.done:
            self._perform(steps, interrupt)
        return steps.value

    def follow(self, flow: Flow[Any]) -> Iterator[Event]:
        """Run a flow and yield its events as they happen."""
        steps = Steps(flow)
        while not steps.done:
            if isinstance(steps.effect, Emit):
                event = steps.effect.event
                self.plugins.notify(event)
                # Before the next step of the flow, which may raise.
                yield event
                steps.answer(None)
            else:
                self._perform(steps, None)

    def close(self) -> None:
        """Close every connection, and let plugins finish."""
        if self._transport is not None:
            self._transport.close()
        self.plugins.close()

    def _perform(self, steps: Steps[Any], interrupt: threading.Event | None) -> None:
        try:
            outcome = self._dispatch(steps.effect, interrupt)
        except BaseException as error:  # noqa: BLE001  the flow raises it again
            steps.fail(error)
        else:
            steps.answer(outcome)

    def _dispatch(self, effect: Effect, interrupt: threading.Event | None) -> Any:
        match effect:
            case Send():
                return self._connections().send(effect.request)
            case Fetch():
                return self._connections().fetch(effect.request, effect.download)
            case Sleep():
                return self._sleep(effect.seconds, interrupt)
            case Now():
                return self._clock.now()
            case Call():
                return effect.function()
            case Emit():
                return self.plugins.notify(effect.event)

    def _sleep(self, seconds: float, interrupt: threading.Event | None) -> None:
        # On the clock of a test, sleeping takes no time.
        if interrupt is not None and type(self._clock) is SystemClock:
            interrupt.wait(seconds)
        else:
            self._clock.sleep(seconds)

    def _connections(self) -> SyncTransport:
        with self._lock:
            if self._transport is None:
                self._transport = self._connect()
            return self._transport
