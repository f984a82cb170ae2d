"""What all suites share: how a plugin is found, and how a client runs with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pluggy

from kling_adapters.client.async_client import AsyncKling
from kling_adapters.client.client import Kling
from kling_adapters.plugins.calls import call_hook
from kling_adapters.plugins.discovery import Discovery
from kling_adapters.testing.clock import SimulatedClock
from kling_adapters.testing.gateway import FakeGateway

T = TypeVar("T")


class PluginConformance:
    """`plugin`: an object, module or class, as `Kling(plugins=[...])` takes it; or the name of an installed one."""

    plugin: object

    def implementation(self, hook: str) -> pluggy.HookImpl:
        """Return the plugin's own implementation of a hook. Fails if the plugin is broken, or has none."""
        extra = () if isinstance(self.plugin, str) else (self.plugin,)
        discovery = Discovery(extra, strict=False)
        own = [each for each in discovery.implementations(hook) if self._is_own(each)]
        idle = "; ".join(f"{i.name} is {i.state}: {i.reason}" for i in discovery.infos if i.state != "loaded")
        name = self.plugin if isinstance(self.plugin, str) else type(self.plugin).__name__
        assert own, f"no plugin {name} with a hook {hook} is loaded ({idle or 'none is broken or disabled'})"
        return own[0]

    def _is_own(self, implementation: pluggy.HookImpl) -> bool:
        if isinstance(self.plugin, str):
            return implementation.plugin_name == self.plugin
        return self.plugin in (implementation.plugin, type(implementation.plugin))

    def ask(self, hook: str, **arguments: Any) -> Any:
        """Call the plugin's own implementation of a hook with as many of the arguments as it takes."""
        return call_hook(self.implementation(hook), **arguments)

    def client(self, gateway: FakeGateway, **options: Any) -> Kling:
        """Return a client of the gateway that has the plugin."""
        return Kling(**self._options(gateway, options))

    def async_client(self, gateway: FakeGateway, **options: Any) -> AsyncKling:
        """Return an asynchronous one."""
        return AsyncKling(**self._options(gateway, options))

    def _options(self, gateway: FakeGateway, options: dict[str, Any]) -> dict[str, Any]:
        plugins = () if isinstance(self.plugin, str) else (self.plugin,)
        # No journal: that of whoever runs the tests is not theirs to write.
        defaults = {
            "base_url": gateway.base_url,
            "plugins": plugins,
            "clock": SimulatedClock(),
            "journal": None,
        }
        return {**defaults, **options}


def at_once(functions: list[Callable[[], T]]) -> list[T]:
    """Call functions in threads of their own, at the same time, and return what they return."""
    together = threading.Barrier(len(functions))

    def call_one(function: Callable[[], T]) -> T:
        together.wait(10)
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(call_one, functions))
