"""Hook specifications of kling-adapters. docs/plugins.md adds examples, packaging and testing.

A plugin is a module, an object or a class with functions marked `@hookimpl`. It is discovered through the
entry-point group `kling_adapters` of an installed distribution, or passed to a client as
`Kling(plugins=[...])`. Every client instantiates a plugin class without arguments, unless it receives an
instance. A hook may accept fewer arguments than listed here.

Plugins are loaded when a client first needs one. Worker threads call hooks and the objects that hooks return,
for several jobs concurrently: blocking code is allowed everywhere, and shared state needs a lock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pluggy

from kling_adapters.hook_objects import (
    Auth,
    Engine,
    JobContext,
    JobStorage,
    KeyPool,
    Location,
    RenewableAuth,
    Storage,
    Writer,
)

if TYPE_CHECKING:
    import click

    from kling_adapters.events import Event
    from kling_adapters.schema.catalog import CatalogEntry

__all__ = [
    "PROJECT",
    "Auth",
    "Engine",
    "HookSpecs",
    "JobContext",
    "JobStorage",
    "KeyPool",
    "Location",
    "RenewableAuth",
    "Storage",
    "Writer",
    "hookimpl",
    "hookspec",
]

PROJECT = "kling_adapters"
"""Name of the hooks for pluggy, and of the entry-point group."""
hookspec = pluggy.HookspecMarker(PROJECT)
"""Decorator of the specifications below."""
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Decorator of a hook in a plugin."""


class HookSpecs:
    """Hooks, in the order of their calls."""

    @hookspec
    def kling_register_adapters(self, register: Callable[[CatalogEntry], None]) -> None:
        """Register models, with one call of `register` per model. Called when plugins are loaded.

        A model whose slug is registered already is skipped; any exception disables the plugin. `kling
        plugins` reports the reason.

        Args:
            register: Registers one model.

        """

    @hookspec
    def kling_cli(self, app: click.Group) -> None:
        """Add commands to the `kling` command line. Called when it lists commands or receives an unknown one.

        Import the dependencies of a command inside the command. An exception is logged, and the commands are
        missing.

        Args:
            app: The `kling` command.

        """

    @hookspec(firstresult=True)
    def kling_engine(self, name: str, address: str | None) -> Engine | None:
        """Provide the engine of `kling batch --engine NAME`. Called after the file was checked.

        Plugins are called until one returns an engine. A ConfigError is raised to the caller; any other exception is
        logged, and the next plugin is called.

        Args:
            name: The name of the engine.
            address: The value of `--address`; None for the default of the engine.

        Returns:
            The engine, or None for the engine of another plugin.

        """

    @hookspec(firstresult=True)
    def kling_storage(self, url: str) -> Storage | None:
        """Provide the storage of a URL. Called before the submit of a job with `save_to`, and by `save`.

        Plugins are called until one returns a storage. A StorageError or ConfigError is raised to the caller;
        any other exception is logged, and the next plugin is called.

        Args:
            url: The URL or path to save to.

        Returns:
            The storage, or None for a URL of another plugin.

        """

    @hookspec(firstresult=True)
    def kling_auth(self, gateway: str, chosen: bool) -> Auth | None:
        """Provide the source of the API key. Called once per client without a key, before its first request.

        Plugins are called until one returns an Auth. A ConfigError is raised to the caller before a request
        is sent; any other exception is logged, and the next plugin is called.

        Args:
            gateway: The base URL of the gateway.
            chosen: Whether Kling(auth="keyring") or KLING_AUTH selected the plugin; no other plugin is then
                called.

        Returns:
            The source of the key, or None to let the next plugin provide it.

        """

    @hookspec
    def kling_event(self, event: Event) -> Awaitable[None] | None:
        """Handle an event of a job; see `kling_adapters.events`. May be a coroutine function.

        Every plugin is called immediately, in order for a job. An exception is logged and never affects the
        job. Plain functions run one at a time in a thread of the plugin. Coroutine functions run concurrently
        in an asyncio event loop of the plugin, which lives as long as the client and is independent of the
        event loop of the job. A coroutine is cancelled after ten seconds. The client stops waiting for a
        plain function after ten seconds; the plugin gets no events until the function has returned.

        Args:
            event: The event.

        Returns:
            The coroutine of a coroutine function; else None.

        """

    @hookspec
    def kling_close(self) -> Awaitable[None] | None:
        """Finish pending work, because the client is being closed. May be a coroutine function.

        It runs in the thread or event loop of `kling_event`, so an asynchronous plugin can close its
        connections. An exception is logged. The client waits for 30 seconds at most.

        Returns:
            The coroutine of a coroutine function; else None.

        """
