"""Finds plugins, keeps a broken one from harming the rest, and asks them. One manager a client; nothing global."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

import anyio
import anyio.to_thread
import pluggy

from kling_adapters.catalog import Catalog, CatalogEntry
from kling_adapters.errors import ConfigError
from kling_adapters.events import Event
from kling_adapters.hookspecs import PROJECT, Auth, HookSpecs, Storage

log = logging.getLogger("kling_adapters")

DISABLE = "KLING_DISABLE_PLUGINS"
"""Environment variable: names of plugins that are not loaded, separated by commas."""
STRICT = "KLING_STRICT_PLUGINS"
"""Environment variable: anything but empty or 0 makes a broken plugin an error."""


@dataclass(frozen=True)
class PluginInfo:
    """A plugin that was found, and what became of it; `distribution` is None for one given in code."""

    name: str
    distribution: str | None
    state: Literal["loaded", "disabled", "broken"]
    reason: str = ""
    hooks: tuple[str, ...] = ()


class Plugins:
    """The plugins of one client.

    `extra`: plugin objects besides the installed ones. `strict`: raise ConfigError for a broken plugin instead of
    listing it with a warning. `found` lists every plugin, `catalog` the models of all that work.
    """

    def __init__(self, extra: Iterable[object] = (), *, strict: bool = False) -> None:
        self._strict = strict or os.environ.get(STRICT, "") not in ("", "0")
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(HookSpecs)
        self._found: list[PluginInfo] = []
        self.catalog = Catalog()
        disabled = {name.strip() for name in os.environ.get(DISABLE, "").split(",")}
        for point in sorted(entry_points(group=PROJECT), key=_precedence):
            distribution = f"{point.dist.name} {point.dist.version}" if point.dist else None
            info = PluginInfo(point.name, distribution, "loaded")
            if point.name in disabled:
                self._found.append(replace(info, state="disabled", reason=f"named in {DISABLE}"))
            else:
                self._add(info, point)
        for plugin in extra:
            name = str(getattr(plugin, "__name__", type(plugin).__name__))
            self._add(PluginInfo(name, None, "loaded"), plugin)

    @property
    def found(self) -> tuple[PluginInfo, ...]:
        """Every plugin, broken and disabled ones too."""
        return tuple(self._found)

    def _add(self, info: PluginInfo, source: EntryPoint | object) -> None:
        """Load, register and ask one plugin for its models; whatever fails makes it broken and leaves nothing of it."""
        plugin: object | None = None
        try:
            plugin = source.load() if isinstance(source, EntryPoint) else source
            self._manager.register(plugin, name=info.name)
            self._manager.check_pending()
            self._register_adapters(plugin)
        except Exception as error:
            if self._strict:
                raise ConfigError(f"plugin {info.name} cannot be used: {_say(error)}") from error
            if plugin is not None and self._manager.get_plugin(info.name) is plugin:
                self._manager.unregister(plugin)
            self._found.append(replace(info, state="broken", reason=_say(error)))
            log.warning("plugin %s cannot be used and is left out: %s", info.name, _say(error))
        else:
            callers = self._manager.get_hookcallers(plugin) or []
            self._found.append(replace(info, hooks=tuple(sorted(caller.name for caller in callers))))

    def _register_adapters(self, plugin: object) -> None:
        offered: list[CatalogEntry] = []
        for implementation in self._implementations("kling_register_adapters"):
            if implementation.plugin is plugin:
                _call(implementation, register=offered.append)
        self.catalog.register(offered)

    def _implementations(self, hook: str) -> Iterator[pluggy.HookImpl]:
        """The implementations of a hook, in the order in which they are asked."""
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return reversed(caller.get_hookimpls())

    def auth(self, gateway: str) -> Auth:
        """Return where the key comes from. Raises ConfigError if no plugin knows."""
        found: Auth | None = self._manager.hook.kling_auth(gateway=gateway)
        if found is None:
            raise ConfigError(
                "no plugin provides an API key: give Kling(api_key=...), or enable env_auth. Nothing was sent"
            )
        return found

    def storage(self, url: str) -> Storage:
        """Return the place that a path or URL names. Raises ConfigError if no plugin knows it."""
        found: Storage | None = self._manager.hook.kling_storage(url=url)
        if found is None:
            raise ConfigError(f"no plugin can store to {url}: `kling plugins` lists those that are installed")
        return found

    def add_commands(self, app: Any) -> None:
        """Let every plugin add its commands to the command line; one that fails is logged."""
        for implementation in self._implementations("kling_cli"):
            try:
                _call(implementation, app=app)
            except Exception as error:  # noqa: BLE001  whatever it is, it must not end the command
                log.warning("plugin %s added no commands: %s", implementation.plugin_name, _say(error))

    def notify(self, event: Event) -> None:
        """Tell every plugin; what it answers with `await` is run to its end in a thread of its own."""
        for implementation in self._implementations("kling_event"):
            with _harmless(implementation, event):
                outcome = _call(implementation, event=event)
                if outcome is not None:
                    with ThreadPoolExecutor(1) as thread:
                        thread.submit(anyio.run, _finish, outcome).result()

    async def notify_async(self, event: Event) -> None:
        """Tell every plugin; plain functions are called in a worker thread."""
        for implementation in self._implementations("kling_event"):
            with _harmless(implementation, event):
                outcome = await anyio.to_thread.run_sync(partial(_call, implementation, event=event))
                if outcome is not None:
                    await outcome


def load_catalog() -> Catalog:
    """Return every model of the built-in catalogue and of installed plugins, without a client or a key."""
    return Plugins().catalog


def _precedence(point: EntryPoint) -> tuple[bool, str, str]:
    """The plugins of the core first, so that no other can take their models; then by name, the same everywhere."""
    return (point.dist is None or point.dist.name != "kling-adapters", point.name, point.value)


@contextmanager
def _harmless(implementation: pluggy.HookImpl, event: Event) -> Generator[None]:
    """Log the exception of a notifier instead of letting it harm the job."""
    try:
        yield
    except Exception:
        name, what = implementation.plugin_name, type(event).__name__
        log.exception("plugin %s failed on %s of job %s; the job goes on", name, what, event.request_id)


def _call(implementation: pluggy.HookImpl, **arguments: Any) -> Any:
    """Call one implementation with as many of the arguments as it takes."""
    return implementation.function(*(arguments[name] for name in implementation.argnames))


async def _finish(outcome: Awaitable[None]) -> None:
    await outcome


def _say(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip(": ")
