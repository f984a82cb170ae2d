"""Discovery and loading of plugins. A broken plugin does not affect the others."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from itertools import chain, count

import pluggy

from kling_adapters._version import __version__
from kling_adapters.errors import ConfigError
from kling_adapters.hookspecs import PROJECT, HookSpecs
from kling_adapters.plugins.calls import call_hook, contain_exits, describe_error
from kling_adapters.plugins.selection import CORE, PluginInfo, Selection
from kling_adapters.schema.catalog import Catalog, CatalogEntry

log = logging.getLogger("kling_adapters")

# In code, because frozen applications and zip files do not contain the metadata of the distribution.
BUILT_IN = tuple(
    EntryPoint(name, f"kling_adapters.builtin.{name}", PROJECT)
    for name in ("env_auth", "file_storage", "log_notifier", "models")
)

# Every client discovers plugins, but a process logs each warning once.
_warnings_logged: set[str] = set()


class Discovery:
    """All plugins, loaded: the built-in ones, the installed ones, and those passed in code.

    A plugin passed in code replaces the installed plugin of its class.

    Args:
        extra: Plugins passed in code.
        strict: Whether a broken plugin raises ConfigError instead of being listed with a warning.

    Attributes:
        infos: All plugins with their state.
        catalog: The models of all loaded plugins.

    Raises:
        ConfigError: The environment names a plugin that is not installed.

    """

    def __init__(self, extra: Iterable[object], *, strict: bool) -> None:
        self._strict = strict
        self._extra = list(extra)
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(HookSpecs)
        self._registered: dict[str, PluginInfo] = {}
        self.infos: list[PluginInfo] = []
        self.catalog = Catalog(_list_slugs)
        installed = _find_installed()
        selection = Selection([info for info, _ in installed])
        for info, load in installed:
            if reason := selection.explain_disabled(info):
                self.infos.append(replace(info, state="disabled", reason=reason))
            elif reason := selection.explain_conflict(info):
                if strict:
                    raise ConfigError(f"plugin {info.full_name} cannot be used: {reason}")
                self._warn(f"plugin {info.full_name} is not used: {reason}")
                self.infos.append(replace(info, state="disabled", reason=reason))
            else:
                self._add(info, load)
        for plugin in self._extra:
            self._add(PluginInfo(self._free_name(plugin), None, "loaded"), partial(_return_plugin, plugin))

    def implementations(self, hook: str) -> Iterator[pluggy.HookImpl]:
        """Return the implementations of a hook in the order of their calls."""
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return reversed(caller.get_hookimpls())

    def has_only_core(self, hook: str) -> bool:
        """Return whether only built-in plugins implement a hook."""
        return all(self.info_of(implementation).is_core for implementation in self.implementations(hook))

    def info_of(self, implementation: pluggy.HookImpl) -> PluginInfo:
        """Return the plugin of an implementation."""
        return self._registered[implementation.plugin_name]

    def _free_name(self, plugin: object) -> str:
        """Return the name of a plugin passed in code: its class or module, with a number if needed."""
        base = str(getattr(plugin, "__name__", type(plugin).__name__))
        names = chain([base], (f"{base}-{number}" for number in count(2)))
        return next(name for name in names if not self._manager.has_plugin(name))

    def _add(self, info: PluginInfo, load: Callable[[], object]) -> None:
        """Load and register a plugin and its models; after any failure it is broken and not registered."""
        name = info.full_name if self._manager.has_plugin(info.name) else info.name
        plugin: object | None = None
        try:
            with contain_exits():
                plugin = load()
                if isinstance(plugin, type):
                    plugin = self._pop_replacement(plugin) or plugin()
            self._refuse_registered(plugin)
            self._manager.register(plugin, name=name)
            self._manager.check_pending()
            models = self._collect_models(plugin)
            unmarked = _find_unmarked_hooks(plugin)
        except Exception as error:
            if self._strict:
                raise ConfigError(f"plugin {info.name} cannot be used: {describe_error(error)}") from error
            if plugin is not None and self._manager.get_plugin(name) is plugin:
                self._manager.unregister(plugin)
            self.infos.append(replace(info, state="broken", reason=describe_error(error)))
            self._warn(f"plugin {info.name} cannot be used and is left out: {describe_error(error)}")
        else:
            callers = self._manager.get_hookcallers(plugin) or []
            hooks = tuple(sorted(caller.name for caller in callers))
            reasons = [*self._explain_unmarked_hooks(info, unmarked), *self._register_models(info, models)]
            self._registered[name] = replace(info, hooks=hooks, reason="; ".join(reasons))
            self.infos.append(self._registered[name])

    def _refuse_registered(self, plugin: object) -> None:
        if self._manager.is_registered(plugin):
            raise ConfigError(f"it is already registered, as {self._manager.get_name(plugin)}")

    def _pop_replacement(self, installed: type) -> object | None:
        """Remove and return the plugin passed in code that replaces an installed plugin of its class."""
        replacement = next((plugin for plugin in self._extra if isinstance(plugin, installed)), None)
        self._extra = [plugin for plugin in self._extra if plugin is not replacement]
        return replacement

    def _collect_models(self, plugin: object) -> list[CatalogEntry]:
        entries: list[CatalogEntry] = []
        for implementation in self.implementations("kling_register_adapters"):
            if implementation.plugin is plugin:
                call_hook(implementation, register=entries.append)
        for entry in entries:
            if not isinstance(entry, CatalogEntry):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigError(f"register() expects a CatalogEntry and got a {type(entry).__name__}")
        return entries

    def _explain_unmarked_hooks(self, info: PluginInfo, names: Iterable[str]) -> list[str]:
        reasons = [f"{name} is not called: mark it with @hookimpl" for name in names]
        for reason in reasons:
            self._warn(f"plugin {info.name}: {reason}")
        return reasons

    def _register_models(self, info: PluginInfo, models: Iterable[CatalogEntry]) -> list[str]:
        """Register models. Return the reasons for models that are left out, whose slug is already registered."""
        reasons: list[str] = []
        for entry in models:
            try:
                self.catalog.register(entry)
            except ConfigError as error:
                if self._strict:
                    raise ConfigError(f"plugin {info.name} cannot be used: {error}") from error
                reasons.append(str(error))
                self._warn(f"a model of plugin {info.name} is left out: {error}")
        return [f"left out: {reason}" for reason in reasons]

    def _warn(self, message: str) -> None:
        if message not in _warnings_logged:
            _warnings_logged.add(message)
            log.warning("%s", message)


def _find_unmarked_hooks(plugin: object) -> list[str]:
    """Return the functions of a plugin that have the name of a hook and are not marked as its implementation."""
    return [
        name
        for name in dir(plugin)
        if name in vars(HookSpecs)
        and name.startswith("kling_")
        and inspect.isroutine(function := getattr(plugin, name, None))
        and not hasattr(function, f"{PROJECT}_impl")
    ]


def _list_slugs() -> Collection[str]:
    """Return the listed slugs that no spec of the core has. The list is only imported when a slug is unknown."""
    from kling_adapters.models import CATALOG
    from kling_adapters.models._listed import LISTED

    return {model.slug for model in LISTED} - {entry.slug for entry in CATALOG}


def _find_installed() -> list[tuple[PluginInfo, Callable[[], object]]]:
    """Return the built-in plugins, then the installed ones by name."""
    # In this order, because the first model of a slug counts.
    core = [(PluginInfo(point.name, f"{CORE} {__version__}", "loaded"), point.load) for point in BUILT_IN]
    installed = sorted(entry_points(group=PROJECT), key=lambda point: (point.name, point.value))
    return [
        *core,
        *(
            (info, point.load)
            for point in installed
            # Older releases of the core have entry points for the built-in plugins.
            if not (info := PluginInfo(point.name, _distribution(point), "loaded")).is_core
        ),
    ]


def _distribution(point: EntryPoint) -> str | None:
    if point.dist is None:
        return None
    # Parsed at each access.
    metadata = point.dist.metadata
    return f"{metadata['Name']} {metadata['Version']}"


def _return_plugin(plugin: object) -> object:
    return plugin
