"""Finds plugins, and keeps a broken one from harming the rest. One manager a client."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from itertools import chain, count

import pluggy

from kling_adapters._version import __version__
from kling_adapters.errors import ConfigError
from kling_adapters.hookspecs import PROJECT, HookSpecs
from kling_adapters.plugins.guards import call_hook, contain_exits, describe
from kling_adapters.plugins.selection import CORE, PluginInfo, Selection
from kling_adapters.schema.catalog import Catalog, CatalogEntry

log = logging.getLogger("kling_adapters")

# In code, not in the metadata of the distribution, which frozen applications and zip files do not have.
BUILT_IN = tuple(
    EntryPoint(name, f"kling_adapters.builtin.{name}", PROJECT)
    for name in ("env_auth", "file_storage", "log_notifier", "models")
)

# Every client looks for plugins, but the user reads each of these warnings once in a process.
_warnings_logged: set[str] = set()


class Discovery:
    """Every plugin there is, loaded: the installed ones and `extra`. One of a class that is installed takes its place.

    `strict`: raise ConfigError for a broken plugin instead of listing it with a warning. `found` lists every plugin,
    `catalog` the models of all that work. Raises ConfigError if the environment names a plugin that is not installed.
    """

    def __init__(self, extra: Iterable[object], *, strict: bool) -> None:
        self._strict = strict
        self._given = list(extra)
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(HookSpecs)
        self._registered: dict[str, PluginInfo] = {}
        self.found: list[PluginInfo] = []
        self.catalog = Catalog()
        installed = _installed()
        selection = Selection([info for info, _ in installed])
        for info, load in installed:
            if reason := selection.explain_disabled(info):
                self.found.append(replace(info, state="disabled", reason=reason))
            elif reason := selection.explain_conflict(info):
                if strict:
                    raise ConfigError(f"plugin {info.full_name} cannot be used: {reason}")
                self._warn(f"plugin {info.full_name} is not used: {reason}")
                self.found.append(replace(info, state="disabled", reason=reason))
            else:
                self._add(info, load)
        for plugin in self._given:
            self._add(PluginInfo(self._free_name(plugin), None, "loaded"), partial(_given, plugin))

    def implementations(self, hook: str) -> Iterator[pluggy.HookImpl]:
        """The implementations of a hook, in the order in which they are asked."""
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return reversed(caller.get_hookimpls())

    def info_of(self, implementation: pluggy.HookImpl) -> PluginInfo:
        """Return the plugin that an implementation belongs to."""
        return self._registered[implementation.plugin_name]

    def _free_name(self, plugin: object) -> str:
        """What a plugin given in code is called: as its class or module, with a number if there are several."""
        name = str(getattr(plugin, "__name__", type(plugin).__name__))
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        return next(each for each in names if not self._manager.has_plugin(each))

    def _add(self, info: PluginInfo, load: Callable[[], object]) -> None:
        """Load, register and ask one plugin for its models; whatever fails makes it broken and leaves nothing of it."""
        name = info.full_name if self._manager.has_plugin(info.name) else info.name
        plugin: object | None = None
        try:
            with contain_exits():
                plugin = load()
                if isinstance(plugin, type):
                    plugin = self._take_given(plugin) or plugin()
            self._refuse_twin(plugin)
            self._manager.register(plugin, name=name)
            self._manager.check_pending()
            models = self._offered_models(plugin)
        except Exception as error:
            if self._strict:
                raise ConfigError(f"plugin {info.name} cannot be used: {describe(error)}") from error
            if plugin is not None and self._manager.get_plugin(name) is plugin:
                self._manager.unregister(plugin)
            self.found.append(replace(info, state="broken", reason=describe(error)))
            self._warn(f"plugin {info.name} cannot be used and is left out: {describe(error)}")
        else:
            callers = self._manager.get_hookcallers(plugin) or []
            hooks = tuple(sorted(caller.name for caller in callers))
            self._registered[name] = replace(info, hooks=hooks, reason=self._register_models(info, models))
            self.found.append(self._registered[name])

    def _refuse_twin(self, plugin: object) -> None:
        if self._manager.is_registered(plugin):
            raise ConfigError(f"it is there already, as {self._manager.get_name(plugin)}")

    def _take_given(self, installed: type) -> object | None:
        """Return the plugin given in code that takes the place of the installed one of its class."""
        found = next((each for each in self._given if isinstance(each, installed)), None)
        self._given = [each for each in self._given if each is not found]
        return found

    def _offered_models(self, plugin: object) -> list[CatalogEntry]:
        offered: list[CatalogEntry] = []
        for implementation in self.implementations("kling_register_adapters"):
            if implementation.plugin is plugin:
                call_hook(implementation, register=offered.append)
        for entry in offered:
            if not isinstance(entry, CatalogEntry):  # pyright: ignore[reportUnnecessaryIsInstance]  not ours
                raise ConfigError(f"register() expects a CatalogEntry and got a {type(entry).__name__}")
        return offered

    def _register_models(self, info: PluginInfo, models: Iterable[CatalogEntry]) -> str:
        """Register models, and return which are left out because their slug is taken."""
        left_out: list[str] = []
        for entry in models:
            try:
                self.catalog.register(entry)
            except ConfigError as error:
                if self._strict:
                    raise ConfigError(f"plugin {info.name} cannot be used: {error}") from error
                left_out.append(str(error))
                self._warn(f"a model of plugin {info.name} is left out: {error}")
        return "; ".join(f"left out: {reason}" for reason in left_out)

    def _warn(self, message: str) -> None:
        if message not in _warnings_logged:
            _warnings_logged.add(message)
            log.warning("%s", message)


def _installed() -> list[tuple[PluginInfo, Callable[[], object]]]:
    """Return the built-in plugins, so that no other can take their models; then the others, by name everywhere."""
    core = [(PluginInfo(point.name, f"{CORE} {__version__}", "loaded"), point.load) for point in BUILT_IN]
    others = sorted(entry_points(group=PROJECT), key=lambda point: (point.name, point.value))
    return [
        *core,
        *(
            (PluginInfo(point.name, _distribution(point), "loaded"), point.load)
            for point in others
            # Older releases of the core announce their plugins like any other.
            if point.dist is None or point.dist.name != CORE
        ),
    ]


def _distribution(point: EntryPoint) -> str | None:
    return f"{point.dist.name} {point.dist.version}" if point.dist else None


def _given(plugin: object) -> object:
    """Load a plugin that needs no loading."""
    return plugin
