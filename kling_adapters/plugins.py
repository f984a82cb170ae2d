"""Asks plugins, and keeps one that fails or hangs from harming the job. They are loaded when first needed."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import os
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pluggy

from kling_adapters.catalog import Catalog
from kling_adapters.discovery import Discovery, PluginInfo, call, is_strict
from kling_adapters.errors import ConfigError, KlingError
from kling_adapters.events import Event
from kling_adapters.forks import ForkSafeLock
from kling_adapters.hookspecs import Auth, Storage

if TYPE_CHECKING:
    import click

log = logging.getLogger("kling_adapters")

AUTH = "KLING_AUTH"
"""Environment variable: the name of the plugin that the key comes from."""
EVENT_SECONDS = 10.0
"""How long a plugin may take over one event."""
CLOSE_SECONDS = 30.0
"""How long a plugin may take to finish when its client is closed."""


class Plugins:
    """The plugins of one client: those of installed distributions, and `extra`.

    `strict`: raise ConfigError for a broken plugin, and load all at once to find out, instead of listing it with a
    warning.
    """

    def __init__(self, extra: Iterable[object] = (), *, strict: bool = False) -> None:
        self._extra = tuple(extra)
        self._strict = strict or is_strict()
        self._lock = ForkSafeLock()
        self._discovery: Discovery | None = None
        # By plugin: the thread of one that has not come back.
        self._stuck: dict[str, threading.Thread] = {}
        if self._strict:
            self._loaded()

    def _loaded(self) -> Discovery:
        with self._lock:
            if self._discovery is None:
                self._discovery = Discovery(self._extra, strict=self._strict)
            return self._discovery

    @property
    def found(self) -> tuple[PluginInfo, ...]:
        """Every plugin, broken and disabled ones too."""
        return tuple(self._loaded().found)

    @property
    def catalog(self) -> Catalog:
        """The models of all plugins that work."""
        return self._loaded().catalog

    def auth(self, gateway: str, name: str | None = None) -> Auth:
        """Return where the key comes from: the plugin `name`, or that of KLING_AUTH, or the first that knows.

        Raises ConfigError if there is none.
        """
        chosen = name or os.environ.get(AUTH, "").strip()
        asked = list(self._loaded().implementations("kling_auth"))
        if chosen:
            names = sorted(each.plugin_name for each in asked)
            asked = [each for each in asked if each.plugin_name == chosen]
            if not asked:
                broken = next((f" ({i.state}: {i.reason})" for i in self.found if i.name == chosen), "")
                raise ConfigError(
                    f"there is no plugin {chosen}{broken} to take the API key from; there is: {', '.join(names)}. "
                    "Nothing was sent"
                )
        found = _first(asked, gateway=gateway, chosen=bool(chosen))
        if not isinstance(found, Auth):
            raise ConfigError(
                f"no plugin{f' {chosen}' if chosen else ''} provides an API key: give Kling(api_key=...), or enable "
                "another plugin; `kling plugins` lists them. Nothing was sent"
            )
        return found

    def storage(self, url: str) -> Storage:
        """Return the place that a path or URL names. Raises ConfigError if no plugin knows it."""
        found = _first(self._loaded().implementations("kling_storage"), url=url)
        if not isinstance(found, Storage):
            raise ConfigError(f"no plugin can store to {url}: `kling plugins` lists those that are installed")
        return found

    def add_commands(self, app: click.Group) -> None:
        """Let every plugin add its commands to the command line; one that fails is logged."""
        for implementation in self._loaded().implementations("kling_cli"):
            with _logged(implementation, "added no commands"):
                call(implementation, app=app)

    def notify(self, event: Event) -> None:
        """Tell every plugin, each for ten seconds at most."""
        for implementation in self._loaded().implementations("kling_event"):
            self._within(EVENT_SECONDS, implementation, _about(event), partial(_tell, implementation, event))

    async def notify_async(self, event: Event) -> None:
        """Tell every plugin, each for ten seconds at most: coroutine functions in this task, others in a thread."""
        for implementation in self._loaded().implementations("kling_event"):
            what = _about(event)
            if inspect.iscoroutinefunction(implementation.function):
                with _logged(implementation, f"failed on {what}"), anyio.fail_after(EVENT_SECONDS):
                    await call(implementation, event=event)
            else:
                tell = partial(_tell, implementation, event)
                await anyio.to_thread.run_sync(self._within, EVENT_SECONDS, implementation, what, tell)

    def close(self) -> None:
        """Let every plugin finish what it has under way, each for 30 seconds at most."""
        if self._discovery is not None:
            for implementation in self._discovery.implementations("kling_close"):
                self._within(CLOSE_SECONDS, implementation, "closing", partial(call, implementation))

    def _within(
        self, seconds: float, implementation: pluggy.HookImpl, what: str, function: Callable[[], object]
    ) -> None:
        """Call a function of a plugin in a thread that is left behind when it takes too long."""
        name = implementation.plugin_name
        if (stuck := self._stuck.get(name)) is not None and stuck.is_alive():
            log.error("plugin %s hangs, and was not told of %s", name, what)
            return

        def run() -> None:
            with _logged(implementation, f"failed on {what}"):
                function()

        # A daemon: one that hangs must not keep the process from ending.
        thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name=name, daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            self._stuck[name] = thread
            log.error("plugin %s hangs: %s is not finished after %g s; the job goes on", name, what, seconds)


def load_catalog() -> Catalog:
    """Return every model of the built-in catalogue and of installed plugins, without a client or a key."""
    return Plugins().catalog


def _first(asked: Iterable[pluggy.HookImpl], **arguments: Any) -> Auth | Storage | None:
    """Return the first answer. What a plugin raises on purpose counts; one that is merely defective is passed over."""
    for implementation in asked:
        name = implementation.plugin_name
        try:
            found: object = call(implementation, **arguments)
        except KlingError:
            raise
        except Exception:
            log.exception("plugin %s is passed over", name)
            continue
        if isinstance(found, Auth | Storage):
            return found
        if found is not None:
            log.error("plugin %s is passed over: a %s is no answer", name, type(found).__name__)
    return None


def _tell(implementation: pluggy.HookImpl, event: Event) -> None:
    """Tell one plugin; what it answers to be awaited is run to its end."""
    outcome = call(implementation, event=event)
    if outcome is not None:
        # Not anyio.run: it believes the context of the thread that waits, where another loop may be running.
        asyncio.run(_finish(outcome))


async def _finish(outcome: Any) -> None:
    await outcome


def _about(event: Event) -> str:
    return f"{type(event).__name__} of {event.model or 'job'} {event.request_id or ''}".rstrip()


@contextmanager
def _logged(implementation: pluggy.HookImpl, what: str) -> Generator[None]:
    """Log the exception of a plugin instead of letting it harm the job."""
    try:
        yield
    except Exception:
        log.exception("plugin %s %s", implementation.plugin_name, what)
