"""Hook specifications of kling-adapters. docs/plugins.md adds examples, packaging and testing.

A plugin is a module, an object or a class with functions marked `@hookimpl`. It is discovered through the
entry-point group `kling_adapters` of an installed distribution, or passed to a client as
`Kling(plugins=[...])`. Every client instantiates a plugin class without arguments, unless it receives an
instance. A hook may accept fewer arguments than listed here.

Plugins are loaded when a client first needs one. Worker threads call hooks and the objects that hooks return,
for several jobs concurrently: blocking code is allowed everywhere, and shared state needs a lock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pluggy

if TYPE_CHECKING:
    import click

    from kling_adapters.events import Event
    from kling_adapters.schema.catalog import CatalogEntry

PROJECT = "kling_adapters"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@runtime_checkable
class Auth(Protocol):
    """Source of the API key for requests."""

    def api_key(self) -> str:
        """Return the key for the next request.

        Raises:
            ConfigError: There is no key. The message says how to provide one.

        """
        ...


@runtime_checkable
class RenewableAuth(Auth, Protocol):
    """An Auth that is notified of refused keys, so that it can fetch another key, such as a rotated one."""

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        """Handle the refusal of a key. The refused request started no job.

        Args:
            key: The refused key.
            status: 401 for an invalid key; for submits also 403 for a missing permission, 406 for an account
                without credits, 429 for a rate limit.
            retry_after: Seconds until the rate limit ends; None if unknown.

        Returns:
            Whether `api_key` has another key for an immediate retry. If not, the refusal is raised.

        """
        ...


@runtime_checkable
class KeyPool(RenewableAuth, Protocol):
    """An Auth with several keys.

    `api_key` is called for every submit, and `refused` for submits only. A job is polled with the key that
    submitted it.
    """

    def keys(self) -> Iterable[str]:
        """Return all keys, among which the journal identifies the key of a job of another process."""
        ...

    def accepted(self, key: str, request_id: str) -> None:
        """Handle the start of a job, in this or an earlier process. `kling_event` reports its end."""
        ...

    def key_of(self, request_id: str) -> str | None:
        """Return the key that submitted a job, or None: then the journal is used, and last `api_key`."""
        ...


@dataclass(frozen=True)
class Location:
    """Location of a stored file.

    Attributes:
        url: The URL of the file.
        link: A temporary URL that opens the file without credentials; None if the storage cannot create one.

    """

    url: str
    link: str | None = None


@dataclass(frozen=True)
class JobContext:
    """Job of an output file.

    Attributes:
        request_id: The id of the job.
        model: The slug of its model; None if only the id of the job is known.
        params: The parameters as sent, including the prompt; None if the journal has no entry for the job.
        cost: The price of the job in credits; None if unknown.
        number: The position of this file among the files of the job, from 1.
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
    """Writer of a file, which is not visible under its name before `commit`."""

    def write(self, chunk: bytes) -> None:
        """Append the next bytes of the file."""
        ...

    def commit(self, sha256: str) -> Location:
        """Publish the complete file, whose content has this hex digest, and return its location."""
        ...

    def abort(self) -> None:
        """Discard the file. Called after any failure, possibly twice; must not raise.

        The cancellation of a task calls it on the event loop, so it must return quickly. `write` or `commit`
        may then be running in a thread and should stop; after their failure it is called again.
        """
        ...


@runtime_checkable
class Storage(Protocol):
    """Storage for finished files."""

    def check(self) -> None:
        """Check that files can be stored. Called before a job is submitted.

        Raises:
            StorageError: Files cannot be stored.

        """
        ...

    def open(self, name: str, content_type: str) -> Writer:
        """Start a file. `commit` replaces an existing file of this name.

        Args:
            name: The name of the file: letters, digits, dots, hyphens and underscores.
            content_type: The media type of the file, such as `video/mp4`.

        """
        ...


@runtime_checkable
class JobStorage(Storage, Protocol):
    """A Storage that receives the job of a file, for its own file names or for metadata."""

    def open_for(self, job: JobContext, name: str, content_type: str) -> Writer:
        """Start a file of a job. Called instead of `open`, also when another process resumes the job."""
        ...


class HookSpecs:
    """Hooks, in the order of their calls."""

    @hookspec
    def kling_register_adapters(self, register: Callable[[CatalogEntry], None]) -> None:
        """Register models, with one call of `register` per model. Called when plugins are loaded.

        A model whose slug is registered already is skipped; any exception disables the plugin. `kling
        plugins` reports the reason.
        """

    @hookspec
    def kling_cli(self, app: click.Group) -> None:
        """Add commands to the `kling` command line. Called when it lists commands or receives an unknown one.

        Import the dependencies of a command inside the command. An exception is logged, and the commands are
        missing.
        """

    @hookspec(firstresult=True)
    def kling_storage(self, url: str) -> Storage | None:
        """Provide the storage of a URL. Called before the submit of a job with `save_to`, and by `save`.

        Plugins are called until one returns a storage. A StorageError or ConfigError is raised to the caller;
        any other exception is logged, and the next plugin is called.

        Args:
            url: The URL or path to save to. Return None for URLs of other plugins.

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
        """

    @hookspec
    def kling_close(self) -> Awaitable[None] | None:
        """Finish pending work, because the client is being closed. May be a coroutine function.

        It runs in the thread or event loop of `kling_event`, so an asynchronous plugin can close its
        connections. An exception is logged. The client waits for 30 seconds at most.
        """
