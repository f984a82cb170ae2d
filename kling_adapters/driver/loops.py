"""The connections of the asynchronous client: one transport for each event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import anyio.lowlevel

from kling_adapters.forks import reset_in_children

if TYPE_CHECKING:
    from kling_adapters._http.transport import AsyncTransport


class LoopTransports:
    """The transports of one client, by event loop; a loop closes its own at its end."""

    def __init__(self, connect: Callable[[], AsyncTransport]) -> None:
        self._connect = connect
        self._by_loop: WeakKeyDictionary[object, _LoopConnections] = WeakKeyDictionary()
        # Connections of the parent process. Dropping them would act on its event loop.
        self._inherited: list[object] = []
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Set the connections of the parent aside."""
        self._inherited += self._by_loop.values()
        self._by_loop = WeakKeyDictionary()

    async def get(self) -> AsyncTransport:
        """Return the transport of the running event loop."""
        loop = running_loop()
        if (connections := self._by_loop.get(loop)) is None:
            connections = self._by_loop[loop] = _LoopConnections(self._connect())
            await connections.open()
        return connections.transport

    async def close(self) -> None:
        """Close the transport of the running event loop."""
        if (connections := self._by_loop.get(running_loop())) is not None:
            await connections.close()


class _LoopConnections:
    """Connections in an unfinished async generator, which the event loop closes at its end."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport
        self._lifetime = self._stay_open()

    async def open(self) -> None:
        await anext(self._lifetime)

    async def close(self) -> None:
        await self._lifetime.aclose()

    async def _stay_open(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await self.transport.close()


def running_loop() -> object:
    """Return the running event loop, or the token of trio for it."""
    token = anyio.lowlevel.current_token()
    # anyio 4.11 and later wraps the token in a new object each time.
    return getattr(token, "native_token", token)
