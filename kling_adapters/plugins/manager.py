"""Asks plugins, and keeps one that fails or hangs from harming the job. They are loaded when first needed."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Coroutine, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import pluggy

from kling_adapters.errors import ConfigError, KlingError
from kling_adapters.events import Event
from kling_adapters.forks import ForkSafeLock
from kling_adapters.hookspecs import Auth, Storage
from kling_adapters.plugins.discovery import Discovery
from kling_adapters.plugins.guards import call_hook, contain_exits, guard_auth, guard_storage
from kling_adapters.plugins.selection import AUTH, PluginInfo, is_strict, suggest
from kling_adapters.plugins.thread import PluginThread
from kling_adapters.schema.catalog import Catalog

if TYPE_CHECKING:
    import click

log = logging.getLogger("kling_adapters")

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
        for plugin in self._extra:
            if isinstance(plugin, str):
                raise ConfigError(
                    f"plugins has the text {plugin!r}; expected plugin objects, such as MyPlugin(). An installed plugin "
                    "need not be given; auth=... chooses the one that the API key comes from. Nothing was sent"
                )
        self._strict = strict or is_strict()
        self._lock = ForkSafeLock()
        self._discovery: Discovery | None = None
        # By process and plugin.
        self._threads: dict[tuple[int, str], PluginThread] = {}
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
        discovery = self._loaded()
        asked = list(discovery.implementations("kling_auth"))
        if chosen:
            plugins = [discovery.info_of(each) for each in asked]
            asked = [each for each in asked if discovery.info_of(each).answers_to(chosen)]
            if not asked:
                raise ConfigError(_explain_no_auth(chosen, plugins, self.found))
        for plugin, answer in _answers(asked, gateway=gateway, chosen=bool(chosen)):
            if isinstance(answer, Auth):
                return guard_auth(plugin, answer)
            _log_wrong_type(plugin, answer, "an Auth")
        raise ConfigError(
            f"no plugin{f' {chosen}' if chosen else ''} provides an API key: give Kling(api_key=...), or enable "
            "another plugin; `kling plugins` lists them. Nothing was sent"
        )

    def storage(self, url: str) -> Storage:
        """Return the place that a path or URL names. Raises ConfigError if no plugin knows it."""
        for plugin, answer in _answers(self._loaded().implementations("kling_storage"), url=url):
            if isinstance(answer, Storage):
                return guard_storage(plugin, answer)
            _log_wrong_type(plugin, answer, "a Storage")
        raise ConfigError(
            f"no plugin can store to {url}: `kling plugins` lists those that are installed"
            f"{self._explain_idle()}"
        )

    def _explain_idle(self) -> str:
        idle = ", ".join(f"{info.name} ({info.state})" for info in self.found if info.state != "loaded")
        return f"; of these do not work: {idle}" if idle else ""

    def add_commands(self, app: click.Group) -> None:
        """Let every plugin add its commands to the command line; one that fails is logged."""
        for implementation in self._loaded().implementations("kling_cli"):
            with _logged(implementation, "added no commands"):
                call_hook(implementation, app=app)

    def notify(self, event: Event) -> None:
        """Pass an event to every plugin, and wait ten seconds at most for each."""
        for implementation in self._loaded().implementations("kling_event"):
            self._call(implementation, _about(event), EVENT_SECONDS, event=event)

    async def notify_async(self, event: Event) -> None:
        """Pass an event to every plugin, and wait ten seconds at most for each."""
        for implementation in self._loaded().implementations("kling_event"):
            notify = partial(self._call, implementation, _about(event), EVENT_SECONDS, event=event)
            await anyio.to_thread.run_sync(notify)

    def close(self) -> None:
        """Let every plugin finish what it has under way, each for 30 seconds at most, and end their threads."""
        if self._discovery is not None:
            for implementation in self._discovery.implementations("kling_close"):
                self._call(implementation, "closing", CLOSE_SECONDS)
        process = os.getpid()
        for key in [key for key in self._threads if key[0] == process]:
            # Another thread may be closing the client, too.
            if (thread := self._threads.pop(key, None)) is not None:
                thread.close()

    def _call(self, implementation: pluggy.HookImpl, what: str, seconds: float, **arguments: object) -> None:
        """Call a hook in the thread of its plugin."""
        name = implementation.plugin_name
        # Threads do not follow a process into its fork; those of the parent stay untouched.
        thread = self._threads.setdefault((os.getpid(), name), PluginThread(name))
        outcome = thread.call(partial(_begin, implementation, what, seconds, arguments), seconds)
        if outcome == "hangs":
            log.error("plugin %s hangs: %s is not finished after %g s; the job goes on", name, what, seconds)
        elif outcome == "skipped":
            log.error("plugin %s hangs, and did not get %s", name, what)


def load_catalog() -> Catalog:
    """Return every model of the built-in catalogue and of installed plugins, without a client or a key."""
    return Plugins().catalog


def _answers(asked: Iterable[pluggy.HookImpl], **arguments: object) -> Iterator[tuple[str, object]]:
    """Yield each answer with its plugin. What a plugin raises on purpose counts; a defective one is passed over."""
    for implementation in asked:
        name = implementation.plugin_name
        try:
            answer: object = call_hook(implementation, **arguments)
        except KlingError:
            raise
        except Exception:
            log.exception("plugin %s is passed over", name)
            continue
        if answer is not None:
            yield name, answer


def _log_wrong_type(plugin: str, answer: object, expected: str) -> None:
    # Not the answer itself: it may be a key.
    log.error("plugin %s is passed over: it gave a %s, not %s", plugin, type(answer).__name__, expected)


def _explain_no_auth(chosen: str, plugins: Iterable[PluginInfo], found: Iterable[PluginInfo]) -> str:
    names = sorted(info.name for info in plugins)
    state = next((f" ({i.state}: {i.reason})" for i in found if i.answers_to(chosen) and i.reason), "")
    return (
        f"no plugin {chosen}{state} to take the API key from{suggest(chosen, names)} "
        f"Available: {', '.join(names)}. Nothing was sent"
    )


def _begin(
    implementation: pluggy.HookImpl, what: str, seconds: float, arguments: dict[str, object]
) -> Coroutine[Any, Any, None] | None:
    """Call a hook, and return what is left to be awaited; a failure is logged."""
    with _logged(implementation, f"failed on {what}"):
        outcome = call_hook(implementation, **arguments)
        # Whatever else a notifier returns means nothing.
        if inspect.isawaitable(outcome):
            return _finish(implementation, what, seconds, outcome)
    return None


async def _finish(
    implementation: pluggy.HookImpl, what: str, seconds: float, outcome: Awaitable[object]
) -> None:
    with _logged(implementation, f"failed on {what}"), contain_exits():
        async with asyncio.timeout(seconds):
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
