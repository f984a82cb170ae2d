"""Every hook of kling-adapters. docs/plugins.md tells the same with examples, packaging and testing.

A plugin is a module, an object or a class with functions marked `@hookimpl`. It is found through the entry-point
group `kling_adapters` of an installed distribution, or given to a client as `Kling(plugins=[...])`; of a class, every
client makes an instance of its own, without arguments, unless it is given one. A hook may take fewer arguments than
are listed here.

Plugins are loaded when a client first needs one. Hooks, and what they return, are called from worker threads, several
jobs at a time: plain blocking code is right everywhere, and what it shares between calls needs a lock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import pluggy

if TYPE_CHECKING:
    import click

    from kling_adapters.catalog import CatalogEntry
    from kling_adapters.events import Event

PROJECT = "kling_adapters"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@runtime_checkable
class Auth(Protocol):
    """Gives the key that requests are sent with."""

    def api_key(self) -> str:
        """Return the key for the next request. Raises ConfigError, saying how to provide one, if there is none."""
        ...


@runtime_checkable
class KeyPool(Auth, Protocol):
    """An Auth of several keys: `api_key` is asked for every submit, and a job is polled with the key that submitted it."""

    def keys(self) -> Iterable[str]:
        """Return all keys: the one of a job that another process submitted is found among them by the journal."""
        ...

    def accepted(self, key: str, request_id: str) -> None:
        """Learn that this key has started the job `request_id`, in this process or before; hooks tell when it ends."""
        ...

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        """Learn that a submit with this key was refused, which started nothing.

        `status`: 401 for a key that is not valid, 403 for one that may not, 406 for an account without credits, 429.

        `retry_after`: in how many seconds a limit ends, if the gateway said so. Return whether `api_key` has another
        key to try at once; otherwise the answer is treated as it is without a pool.
        """
        ...

    def key_of(self, request_id: str) -> str | None:
        """Return the key that submitted this job; None if that is not known, and then the journal and `api_key` are asked."""
        ...


@dataclass(frozen=True)
class Location:
    """Where a file is: its `url`, and if the storage can make one, a `link` that opens it without credentials for a while."""

    url: str
    link: str | None = None


class Writer(Protocol):
    """One file being written. Nothing is visible under its name before `commit`."""

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        ...

    def commit(self, sha256: str) -> Location:
        """Make the file appear, whole, and return where it is. `sha256`: the hex digest of all that was written."""
        ...

    def abort(self) -> None:
        """Leave nothing behind. Called after any failure, and twice perhaps; must not raise.

        When a task is cancelled it is called on the event loop, so it must not take long, and perhaps while `write` or
        `commit` is at work in a thread, which should then give up; and is called again when it has failed.
        """
        ...


@runtime_checkable
class Storage(Protocol):
    """A place for finished files."""

    def check(self) -> None:
        """Raise StorageError if nothing can be stored here. Called before a job is submitted."""
        ...

    def open(self, name: str, content_type: str) -> Writer:
        """Start a file. `name` is safe: letters, digits, dots, hyphens, underscores. An existing one is replaced."""
        ...


class HookSpecs:
    """The hooks, in the order in which a client and its jobs meet them."""

    @hookspec
    def kling_register_adapters(self, register: Callable[[CatalogEntry], None]) -> None:
        """Offer more models: call `register` for each. When plugins are loaded.

        A slug that is taken, or any exception, makes the plugin a broken one: it is left out, with its reason.
        """

    @hookspec
    def kling_cli(self, app: click.Group) -> None:
        """Add commands to the `kling` command line. When it lists its commands, or is given one that is not its own.

        Import what a command needs inside the command. An exception is logged, and the commands are missing.
        """

    @hookspec(firstresult=True)
    def kling_storage(self, url: str) -> Storage | None:
        """Return the place that `url` names, by its scheme, or None to leave it to others.

        Before a job is submitted that is to be saved, and when a result is saved. The first answer counts. A
        StorageError or ConfigError stops the work; any other exception is logged, and the others are asked.
        """

    @hookspec(firstresult=True)
    def kling_auth(self, gateway: str, chosen: bool) -> Auth | None:
        """Return where the key for the gateway (its base URL) comes from, or None to leave it to others.

        Once a client, when its first request is about to be sent, unless it was given a key. The first answer counts.
        `chosen`: the plugin was named, as in Kling(auth="keyring") or KLING_AUTH, and no other is asked. A ConfigError
        stops the work, nothing has been sent; any other exception is logged, and the others are asked.
        """

    @hookspec
    def kling_event(self, event: Event) -> Awaitable[None] | None:
        """Be told what happened to a job; see `kling_adapters.events`. May be a coroutine function.

        As it happens, in order for each job; every plugin is told. An exception is logged and never harms the job. A
        plugin that has not finished after ten seconds is left behind, and told nothing more until it has.
        """

    @hookspec
    def kling_close(self) -> None:
        """Finish what is under way: the client is being closed. An exception is logged; after 30 seconds nobody waits."""
