"""Finds plugins, and keeps a broken one from harming the rest. One manager a client; nothing global."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from itertools import chain, count
from typing import Any, Literal

import pluggy

from kling_adapters.catalog import Catalog, CatalogEntry
from kling_adapters.errors import ConfigError
from kling_adapters.hookspecs import PROJECT, HookSpecs

log = logging.getLogger("kling_adapters")

ALLOW = "KLING_PLUGINS"
"""Environment variable: names of the only plugins to load beside those of the core, separated by commas."""
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


def is_strict() -> bool:
    """Whether the environment asks for broken plugins to be errors."""
    return os.environ.get(STRICT, "") not in ("", "0")


class Discovery:
    """Every plugin there is, loaded: the installed ones and `extra`. One of a class that is installed takes its place.

    `strict`: raise ConfigError for a broken plugin instead of listing it with a warning. `found` lists every plugin,
    `catalog` the models of all that work.
    """

    def __init__(self, extra: Iterable[object], *, strict: bool) -> None:
        self._strict = strict
        self._given = list(extra)
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(HookSpecs)
        self.found: list[PluginInfo] = []
        self.catalog = Catalog()
        for point in sorted(entry_points(group=PROJECT), key=_precedence):
            distribution = f"{point.dist.name} {point.dist.version}" if point.dist else None
            info = PluginInfo(point.name, distribution, "loaded")
            if reason := _disabled(point):
                self.found.append(replace(info, state="disabled", reason=reason))
            else:
                self._add(info, point.load)
        for plugin in self._given:
            self._add(PluginInfo(self._free_name(plugin), None, "loaded"), partial(_given, plugin))

    def implementations(self, hook: str) -> Iterator[pluggy.HookImpl]:
        """The implementations of a hook, in the order in which they are asked."""
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return reversed(caller.get_hookimpls())

    def _free_name(self, plugin: object) -> str:
        """What a plugin given in code is called: as its class or module, with a number if there are several."""
        name = str(getattr(plugin, "__name__", type(plugin).__name__))
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        return next(each for each in names if not self._manager.has_plugin(each))

    def _add(self, info: PluginInfo, load: Callable[[], object]) -> None:
        """Load, register and ask one plugin for its models; whatever fails makes it broken and leaves nothing of it."""
        plugin: object | None = None
        try:
            plugin = load()
            if isinstance(plugin, type):
                plugin = self._take_given(plugin) or plugin()
            self._refuse_twin(plugin)
            self._manager.register(plugin, name=info.name)
            self._manager.check_pending()
            self._register_adapters(plugin)
        except Exception as error:
            if self._strict:
                raise ConfigError(f"plugin {info.name} cannot be used: {say(error)}") from error
            if plugin is not None and self._manager.get_plugin(info.name) is plugin:
                self._manager.unregister(plugin)
            self.found.append(replace(info, state="broken", reason=say(error)))
            log.warning("plugin %s cannot be used and is left out: %s", info.name, say(error))
        else:
            callers = self._manager.get_hookcallers(plugin) or []
            self.found.append(replace(info, hooks=tuple(sorted(caller.name for caller in callers))))

    def _refuse_twin(self, plugin: object) -> None:
        if self._manager.is_registered(plugin):
            raise ConfigError(f"it is there already, as {self._manager.get_name(plugin)}")

    def _take_given(self, installed: type) -> object | None:
        """Return the plugin given in code that takes the place of the installed one of its class."""
        found = next((each for each in self._given if isinstance(each, installed)), None)
        self._given = [each for each in self._given if each is not found]
        return found

    def _register_adapters(self, plugin: object) -> None:
        offered: list[CatalogEntry] = []
        for implementation in self.implementations("kling_register_adapters"):
            if implementation.plugin is plugin:
                call(implementation, register=offered.append)
        self.catalog.register(offered)


def call(implementation: pluggy.HookImpl, **arguments: Any) -> Any:
    """Call one implementation with as many of the arguments as it takes."""
    return implementation.function(*(arguments[name] for name in implementation.argnames))


def say(error: Exception) -> str:
    """Return what an exception says, with its kind."""
    return f"{type(error).__name__}: {error}".strip(": ")


def _given(plugin: object) -> object:
    """Load a plugin that needs no loading."""
    return plugin


def _is_core(point: EntryPoint) -> bool:
    return point.dist is not None and point.dist.name == "kling-adapters"


def _precedence(point: EntryPoint) -> tuple[bool, str, str]:
    """The plugins of the core first, so that no other can take their models; then by name, the same everywhere."""
    return (not _is_core(point), point.name, point.value)


def _disabled(point: EntryPoint) -> str:
    """Return why a plugin is not to be loaded; nothing if it is."""
    if point.name in _names(DISABLE):
        return f"named in {DISABLE}"
    if (allowed := _names(ALLOW)) and point.name not in allowed and not _is_core(point):
        return f"not named in {ALLOW}"
    return ""


def _names(variable: str) -> set[str]:
    return {name.strip() for name in os.environ.get(variable, "").split(",")} - {""}
