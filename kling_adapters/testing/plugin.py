"""Base of all suites: access to the hooks of a plugin, and clients with the plugin."""

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
    """Base class of the suites.

    Attributes:
        plugin: An object, module or class as in `Kling(plugins=[...])`, or the name of an installed plugin.

    """

    plugin: object

    def implementation(self, hook: str) -> pluggy.HookImpl:
        """Find the plugin's implementation of a hook.

        Args:
            hook: The name of the hook, such as `kling_event`.

        Returns:
            The implementation.

        Raises:
            AssertionError: The plugin is broken or disabled, or has no such hook.

        """
        extra = () if isinstance(self.plugin, str) else (self.plugin,)
        discovery = Discovery(extra, strict=False)
        for implementation in discovery.implementations(hook):
            if self._is_from_plugin(implementation):
                return implementation
        name = self.plugin if isinstance(self.plugin, str) else type(self.plugin).__name__
        unused = [info for info in discovery.infos if info.state != "loaded"]
        reasons = "; ".join(f"{info.name} is {info.state}: {info.reason}" for info in unused)
        raise AssertionError(
            f"no plugin {name} with a hook {hook} is loaded ({reasons or 'none is broken or disabled'})"
        )

    def _is_from_plugin(self, implementation: pluggy.HookImpl) -> bool:
        if isinstance(self.plugin, str):
            return implementation.plugin_name == self.plugin
        return self.plugin in (implementation.plugin, type(implementation.plugin))

    def call(self, hook: str, **arguments: Any) -> Any:
        """Call the plugin's implementation of a hook.

        Args:
            hook: The name of the hook.
            **arguments: The arguments of the hook; those that the implementation does not accept are left out.

        Returns:
            The return value of the implementation.

        """
        return call_hook(self.implementation(hook), **arguments)

    def client(self, gateway: FakeGateway, **options: Any) -> Kling:
        """Make a client of the gateway with the plugin.

        Args:
            gateway: The gateway.
            **options: Arguments of `Kling`.

        Returns:
            The client.

        """
        return Kling(**self._client_options(gateway, options))

    def async_client(self, gateway: FakeGateway, **options: Any) -> AsyncKling:
        """Make an asynchronous client of the gateway with the plugin.

        Args:
            gateway: The gateway.
            **options: Arguments of `AsyncKling`.

        Returns:
            The client.

        """
        return AsyncKling(**self._client_options(gateway, options))

    def _client_options(self, gateway: FakeGateway, options: dict[str, Any]) -> dict[str, Any]:
        defaults = {
            "base_url": gateway.base_url,
            "plugins": () if isinstance(self.plugin, str) else (self.plugin,),
            "clock": SimulatedClock(),
            # Tests must not write to the journal of the user who runs them.
            "journal": None,
        }
        return {**defaults, **options}


def run_concurrently(functions: list[Callable[[], T]]) -> list[T]:
    """Call functions at the same time, each in a thread, and return their results."""
    barrier = threading.Barrier(len(functions))

    def call_function(function: Callable[[], T]) -> T:
        barrier.wait(10)
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(call_function, functions))
