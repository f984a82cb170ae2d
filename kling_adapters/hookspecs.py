"""Every hook of kling-adapters. docs/plugins.md tells the same with examples, packaging and testing.

A plugin is a module, an object or a class with functions marked `@hookimpl`. It is found through the entry-point
group `kling_adapters` of an installed distribution, or given to a client as `Kling(plugins=[...])`; of a class, every
client makes an instance of its own, without arguments, unless it is given one. A hook may take fewer arguments than
are listed here.

Plugins are loaded when a client first needs one. Hooks, and what they return, are called from worker threads, several
jobs at a time: plain blocking code is right everywhere, and what it shares between calls needs a lock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

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
class RenewableAuth(Auth, Protocol):
    """An Auth that learns when its key is refused, so that it can fetch another: the key of a vault has changed, say."""

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        """Learn that the gateway refused a request with this key; the request started nothing.

        Args:
            key: The key that was sent.
            status: 401 for a key that is not valid; of submits also 403 for one without permission, 406 for an
                account without credits, 429 for a rate limit.
            retry_after: Seconds until the rate limit ends, if the gateway said so.

        Returns:
            Whether `api_key` has another key to try at once. Otherwise the answer of the gateway stands.

        """
        ...


@runtime_checkable
class KeyPool(RenewableAuth, Protocol):
    """An Auth of several keys: `api_key` is asked for every submit, and a job is polled with the key that submitted it.

    `refused` is called for submits.
    """

    def keys(self) -> Iterable[str]:
        """Return all keys: the one of a job that another process submitted is found among them by the journal."""
        ...

    def accepted(self, key: str, request_id: str) -> None:
        """Learn that this key has started the job `request_id`, in this process or before; hooks tell when it ends."""
        ...

    def key_of(self, request_id: str) -> str | None:
        """Return the key that submitted this job; None if that is not known, and then the journal and `api_key` are asked."""
        ...


@dataclass(frozen=True)
class Location:
    """Where a file is: its `url`, and if the storage can make one, a `link` that opens it without credentials for a while."""

    url: str
    link: str | None = None


@dataclass(frozen=True)
class JobContext:
    """The job that an output file belongs to.

    Attributes:
        request_id: The id of the job.
        model: The slug of its model; None for a job of which only the id is known.
        params: The parameters as they were sent, the prompt among them; None if the journal does not know the job.
        cost: The price of the job in credits; None if the gateway did not say.
        number: The number of this file among the files of the job, from 1.
        count: The number of files of the job.

    """

    request_id: str
    model: str | None
    params: Mapping[str, Any] | None = field(repr=False)
    cost: float | None
    number: int
    count: int


@runtime_checkable
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


@runtime_checkable
class JobStorage(Storage, Protocol):
    """A Storage that wants to know whose file it stores, for a name of its own or a file of metadata."""

    def open_for(self, job: JobContext, name: str, content_type: str) -> Writer:
        """Start a file of a job. Called instead of `open`, also when a job is resumed by another process."""
        ...


class HookSpecs:
    """The hooks, in the order in which a client and its jobs meet them."""

    @hookspec
    def kling_register_adapters(self, register: Callable[[CatalogEntry], None]) -> None:
        """Offer more models: call `register` for each. When plugins are loaded.

        A model whose slug is taken is left out, with the reason; the others stay. Any exception makes the plugin a
        broken one: all of it is left out, with the reason.
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

        As it happens, in order for each job; every plugin is told. An exception is logged and never harms the job.
        Plain functions run one at a time, in a thread of the plugin; coroutine functions run side by side in an asyncio
        event loop of the plugin, which lives as long as the client, whichever client and event loop the job is in.
        A coroutine is cancelled after ten seconds. A plain function that has not finished after ten seconds is left
        behind, and the plugin gets no events until it has finished.
        """

    @hookspec
    def kling_close(self) -> Awaitable[None] | None:
        """Finish what is under way: the client is being closed. May be a coroutine function.

        It runs where `kling_event` runs, so an asynchronous plugin can close its connections. An exception is logged;
        after 30 seconds nobody waits.
        """
