"""Every hook of kling-adapters: all a plugin author has to read.

A plugin is a module or object with functions marked `@hookimpl`, found through the entry-point group
`kling_adapters` of an installed distribution, or given to a client as `Kling(plugins=[...])`.
It may take fewer arguments than the hook has. Objects that hooks return are used from one thread at a time;
AsyncKling calls them in worker threads, so plain blocking code is right everywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import pluggy

if TYPE_CHECKING:
    import click

    from kling_adapters.catalog import CatalogEntry
    from kling_adapters.events import Event

PROJECT = "kling_adapters"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Auth(Protocol):
    """Gives the key that requests are sent with."""

    def api_key(self) -> str:
        """Return the key. Raises ConfigError, saying how to provide one, if there is none."""
        ...


class Writer(Protocol):
    """One file being written. Nothing is visible under its name before `commit`."""

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        ...

    def commit(self) -> str:
        """Make the file appear, whole, and return its URL."""
        ...

    def abort(self) -> None:
        """Leave nothing behind. Called after any failure, and twice perhaps; must not raise.

        When a task is cancelled it is called on the event loop, so it must not take long.
        """
        ...


class Storage(Protocol):
    """A place for finished files."""

    def check(self) -> None:
        """Raise StorageError if nothing can be stored here. Called before a job is submitted."""
        ...

    def open(self, name: str, content_type: str) -> Writer:
        """Start a file. `name` is safe: letters, digits, dots, hyphens, underscores. An existing one is replaced."""
        ...


class HookSpecs:
    """The hooks, in the order in which the life of a job meets them."""

    @hookspec
    def kling_register_adapters(self, register: Callable[[CatalogEntry], None]) -> None:
        """Offer more models: call `register` for each. When a client is made.

        A slug that is taken raises ConfigError; the plugin is then listed as broken.
        """

    @hookspec
    def kling_cli(self, app: click.Group) -> None:
        """Add commands to the `kling` command line. When it starts, so import what a command needs inside the command."""

    @hookspec(firstresult=True)
    def kling_auth(self, gateway: str) -> Auth | None:
        """Return where the key for the gateway (its base URL) comes from, or None to leave it to others.

        When the first request is about to be sent, unless the client was given a key. The first answer counts.
        An exception stops the work; nothing has been sent.
        """

    @hookspec(firstresult=True)
    def kling_storage(self, url: str) -> Storage | None:
        """Return the place that `url` names, by its scheme, or None to leave it to others.

        Before a job is submitted that is to be saved, and when a result is saved. An exception stops the work.
        """

    @hookspec
    def kling_event(self, event: Event) -> Awaitable[None] | None:
        """Be told what happened to a job; see `kling_adapters.events`. May be a coroutine function.

        Every plugin is told. An exception is logged and never harms the job.
        """
