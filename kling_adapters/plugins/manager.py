"""The plugins of a client, which are loaded when first needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from kling_adapters.errors import ConfigError, KlingError
from kling_adapters.forks import ForkSafeLock
from kling_adapters.hook_objects import Auth, Engine, Storage
from kling_adapters.plugins.calls import call_hook
from kling_adapters.plugins.guards import GuardedAuth, guard_auth, guard_storage
from kling_adapters.plugins.runner import HookRunner, log_failure
from kling_adapters.plugins.selection import AUTH, PluginInfo, is_strict, suggest_name
from kling_adapters.schema.catalog import Catalog

if TYPE_CHECKING:
    import click
    import pluggy

    from kling_adapters.events import Event
    from kling_adapters.plugins.discovery import Discovery

log = logging.getLogger("kling_adapters")

EVENT_SECONDS = 10.0
"""The longest time that a client waits for a plugin to handle one event, in seconds."""
CLOSE_SECONDS = 30.0
"""The longest time that a client waits for a plugin when it is closed, in seconds."""


class Plugins:
    """The plugins of one client.

    Args:
        extra: Plugins passed in code, beside the built-in and installed ones.
        strict: Whether a broken plugin raises ConfigError instead of being listed with a warning; then all
            are loaded at once.

    """

    def __init__(self, extra: Iterable[object] = (), *, strict: bool = False) -> None:
        self._extra = tuple(extra)
        for plugin in self._extra:
            if isinstance(plugin, str):
                raise ConfigError(
                    f"plugins contains the str {plugin!r}; expected plugin objects, such as MyPlugin(). "
                    "Installed plugins are used without it; to select the source of the API key, pass "
                    "auth=... Nothing was sent"
                )
        self._strict = strict or is_strict()
        self._lock = ForkSafeLock()
        self._discovery: Discovery | None = None
        self._runner = HookRunner()
        if self._strict:
            self._load()

    def _load(self) -> Discovery:
        from kling_adapters.plugins.discovery import Discovery  # slow to import

        with self._lock:
            if self._discovery is None:
                self._discovery = Discovery(self._extra, strict=self._strict)
            return self._discovery

    @property
    def infos(self) -> tuple[PluginInfo, ...]:
        """All plugins, including broken and disabled ones."""
        return tuple(self._load().infos)

    @property
    def catalog(self) -> Catalog:
        """The models of all loaded plugins."""
        return self._load().catalog

    def auth(self, gateway: str, name: str | None = None) -> GuardedAuth:
        """Return the source of the API key.

        Args:
            gateway: The base URL of the gateway.
            name: The plugin to use; None selects the plugin of KLING_AUTH, or the first that provides a key.

        Raises:
            ConfigError: No plugin provides a key.

        """
        selected = name or os.environ.get(AUTH, "").strip()
        discovery = self._load()
        implementations = list(discovery.implementations("kling_auth"))
        if selected:
            available = [discovery.info_of(implementation) for implementation in implementations]
            implementations = [
                implementation
                for implementation, info in zip(implementations, available, strict=True)
                if info.answers_to(selected)
            ]
            if not implementations:
                raise ConfigError(_explain_no_auth(selected, available, self.infos))
        for plugin, answer in _answers(implementations, gateway=gateway, chosen=bool(selected)):
            if isinstance(answer, Auth):
                return guard_auth(plugin, answer)
            _log_wrong_type(plugin, answer, "an Auth")
        raise ConfigError(
            f"no plugin{f' {selected}' if selected else ''} provides an API key: pass Kling(api_key=...), or "
            "enable another plugin; `kling plugins` lists them. Nothing was sent"
        )

    def storage(self, url: str) -> Storage:
        """Return the storage of a path or URL. Raises ConfigError if no plugin handles it."""
        for plugin, answer in _answers(self._load().implementations("kling_storage"), url=url):
            if isinstance(answer, Storage):
                return guard_storage(plugin, answer)
            _log_wrong_type(plugin, answer, "a Storage")
        raise ConfigError(_explain_no_storage(url, self.infos))

    def engine(self, name: str, address: str | None) -> Engine:
        """Return an engine of batches. Raises ConfigError if no plugin has it."""
        implementations = self._load().implementations("kling_engine")
        for plugin, answer in _answers(implementations, name=name, address=address):
            if isinstance(answer, Engine):
                return answer
            _log_wrong_type(plugin, answer, "an Engine")
        raise ConfigError(
            f"no plugin provides the engine {name!r}; `kling plugins` lists the installed plugins. Nothing was sent"
        )

    def add_commands(self, app: click.Group) -> None:
        """Let every plugin add its commands to the command line."""
        for implementation in self._load().implementations("kling_cli"):
            with log_failure(implementation, "added no commands"):
                call_hook(implementation, app=app)

    def notify(self, event: Event) -> None:
        """Pass an event to every plugin, and wait for each."""
        discovery = self._load()
        for implementation in discovery.implementations("kling_event"):
            subject = _describe_event(event)
            if discovery.info_of(implementation).is_core:
                # It does not block.
                with log_failure(implementation, f"failed on {subject}"):
                    call_hook(implementation, event=event)
            else:
                self._runner.run(implementation, subject, EVENT_SECONDS, event=event)

    async def notify_async(self, event: Event) -> None:
        """Pass an event to every plugin, and wait for each; a cancelled task waits, too."""
        if self._discovery is not None and self._discovery.has_only_core("kling_event"):
            self.notify(event)
        else:
            import anyio.to_thread  # for asynchronous clients only

            await anyio.to_thread.run_sync(self.notify, event)

    def close(self) -> None:
        """Let every plugin finish its pending work, and end the workers."""
        if self._discovery is not None:
            for implementation in self._discovery.implementations("kling_close"):
                self._runner.run(implementation, "closing", CLOSE_SECONDS)
        self._runner.close()


def load_catalog() -> Catalog:
    """Load the catalog of all models, without a client and a key.

    Returns:
        The built-in models and those of installed plugins.

    """
    return Plugins().catalog


def _answers(implementations: Iterable[pluggy.HookImpl], **arguments: object) -> Iterator[tuple[str, object]]:
    """Yield plugin and result of each implementation that returns one; log errors, except KlingErrors."""
    for implementation in implementations:
        name = implementation.plugin_name
        try:
            answer: object = call_hook(implementation, **arguments)
        except KlingError:
            raise
        except Exception:
            log.exception("plugin %s is skipped", name)
            continue
        if answer is not None:
            yield name, answer


def _log_wrong_type(plugin: str, answer: object, expected: str) -> None:
    # Not the answer itself: it may be a key.
    log.error("plugin %s is skipped: it returned a %s, not %s", plugin, type(answer).__name__, expected)


def _explain_no_auth(selected: str, available: Iterable[PluginInfo], infos: Iterable[PluginInfo]) -> str:
    names = sorted(info.name for info in available)
    state = next((f" ({i.state}: {i.reason})" for i in infos if i.answers_to(selected) and i.reason), "")
    return (
        f"no auth plugin {selected!r}{state}{suggest_name(selected, names)} "
        f"Available: {', '.join(names)}. Nothing was sent"
    )


def _explain_no_storage(url: str, infos: Iterable[PluginInfo]) -> str:
    unused = [info for info in infos if info.state != "loaded"]
    # Plugins are often named after their scheme; if one is, the others do not matter.
    unused = [info for info in unused if info.name == url.partition(":")[0]] or unused
    reasons = [
        f"plugin {info.name!r} is installed but "
        f"{'broken' if info.state == 'broken' else 'not enabled'} ({info.reason})"
        for info in unused
    ]
    advice = "; ".join(reasons) or "`kling plugins` lists the installed plugins"
    return f"no plugin can store to {url}; {advice}. Nothing was sent"


def _describe_event(event: Event) -> str:
    return f"{type(event).__name__} of {event.model or 'job'} {event.request_id or ''}".rstrip()
