"""Both clients behind methods that can be awaited, so that one scenario fits both."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling
from kling_adapters.testing import SimulatedClock


class Play:
    """Runs a scenario, written with `await`, on one of the clients; sleeping takes no time."""

    def __init__(self, kind: type[Kling | AsyncKling], sandbox: Sandbox) -> None:
        self.kind = kind
        self.sandbox = sandbox
        self.clock = SimulatedClock()

    def __call__(self, scenario: Callable[[Any], Awaitable[Any]], **options: Any) -> Any:
        options = {"base_url": self.sandbox.base_url, "api_key": self.sandbox.api_key, **options}

        async def main() -> Any:
            client = self.kind(clock=self.clock, **options)
            if isinstance(client, Kling):
                with client:
                    return await scenario(_Awaitable(client))
            async with client:
                return await scenario(client)

        return anyio.run(main)


class _Awaitable:
    """The blocking client, and what it returns, with methods that can be awaited: so one scenario fits both."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if not inspect.ismethod(attribute):
            return attribute
        if name in ("events", "map", "resume"):
            return lambda *args, **kwargs: _iterate_async(attribute(*args, **kwargs))
        if name == "job":
            return lambda *args, **kwargs: _Awaitable(attribute(*args, **kwargs))

        async def call(*args: Any, **kwargs: Any) -> Any:
            outcome = attribute(*args, **kwargs)
            is_handle = isinstance(outcome, ka.Job | ka.Result)
            return _Awaitable(outcome) if is_handle else outcome

        return call


async def _iterate_async(items: Iterator[Any]) -> Any:
    for item in items:
        yield item
