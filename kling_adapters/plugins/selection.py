"""Selection of installed plugins by name, from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from kling_adapters.errors import ConfigError

ALLOW = "KLING_PLUGINS"
"""Environment variable: names of the only plugins to load beside the built-in ones."""
DISABLE = "KLING_DISABLE_PLUGINS"
"""Environment variable: names of plugins that are not loaded."""
AUTH = "KLING_AUTH"
"""Environment variable: name of the plugin that provides the API key."""
STRICT = "KLING_STRICT_PLUGINS"
"""Environment variable: any value except empty and 0 makes a broken plugin an error."""
CORE = "kling-adapters"
"""Distribution of the built-in plugins."""


@dataclass(frozen=True)
class PluginInfo:
    """A plugin and its state.

    Attributes:
        name: The name that selects or disables it.
        distribution: Name and version of its distribution; None for a plugin passed in code.
        state: `loaded`, `disabled` by the environment or a conflict of names, or `broken`.
        reason: The reason of a disabled or broken plugin; for a loaded one, the models that are left out and the
            functions that lack `@hookimpl`.
        hooks: The names of its hooks; empty unless it is loaded.

    """

    name: str
    distribution: str | None
    state: Literal["loaded", "disabled", "broken"]
    reason: str = ""
    hooks: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name with the distribution, such as kling-keyring:keyring, unless it was passed in code."""
        return f"{self.distribution.split()[0]}:{self.name}" if self.distribution else self.name

    @property
    def is_core(self) -> bool:
        """True for a built-in plugin."""
        return self.distribution is not None and self.distribution.split()[0] == CORE

    def answers_to(self, name: str) -> bool:
        """Compare a name with the names of this plugin.

        Args:
            name: The name, or the full name with the distribution.

        Returns:
            Whether the name selects this plugin.

        """
        # A name with a colon is always a full name: the name of an entry point may look like one of another
        # plugin.
        return _normalize(name) == _normalize(self.full_name) if ":" in name else name == self.name


def is_strict() -> bool:
    """Return whether the environment makes broken plugins errors."""
    return os.environ.get(STRICT, "") not in ("", "0")


class Selection:
    """Choice of installed plugins by KLING_PLUGINS, KLING_DISABLE_PLUGINS and KLING_AUTH.

    Raises ConfigError if one of the first two contains a name that is not installed.
    """

    def __init__(self, installed: Sequence[PluginInfo]) -> None:
        self._installed = installed
        self._by_name: dict[str, list[PluginInfo]] = {}
        for info in installed:
            self._by_name.setdefault(info.name, []).append(info)
        self._allowed = self._read_names(ALLOW)
        self._disabled = self._read_names(DISABLE)
        auth = os.environ.get(AUTH, "").strip()
        self._full_names = [name for name in (*self._allowed, auth) if ":" in name]

    def _read_names(self, variable: str) -> list[str]:
        names = re.findall(r"[^,;\s]+", os.environ.get(variable, ""))
        for name in names:
            if not any(info.answers_to(name) for info in self._installed):
                plugins = [info.name for info in self._installed]
                raise ConfigError(
                    f"{variable} names {name!r}, which is not an installed plugin"
                    f"{suggest_name(name, plugins)} Installed: {', '.join(sorted(set(plugins)))}. "
                    "Separate several names with commas."
                )
        return names

    def explain_disabled(self, info: PluginInfo) -> str:
        """Return the reason for which the environment disables a plugin; empty if it does not."""
        if _matches_any(info, self._disabled):
            return f"named in {DISABLE}"
        if self._allowed and not info.is_core and not _matches_any(info, self._allowed):
            return f"not named in {ALLOW}"
        return ""

    def explain_conflict(self, info: PluginInfo) -> str:
        """Return the conflict of a plugin with another of the same name; empty if there is none.

        Without this check, a package that is installed later could replace the plugin that provides the key.
        """
        if info.is_core or _matches_any(info, self._full_names):
            return ""
        rivals = [
            rival
            for rival in self._by_name[info.name]
            if rival is not info and not self.explain_disabled(rival)
        ]
        if not rivals:
            return ""
        if any(rival.is_core for rival in rivals):
            return f"the name {info.name} belongs to a built-in plugin; use {info.full_name} in {ALLOW}"
        names = [rival.full_name for rival in rivals]
        return (
            f"{' and '.join([info.full_name, *names])} have the same name; disable one, "
            f"for example with {DISABLE}={names[0]}"
        )


def suggest_name(name: str, names: Iterable[str]) -> str:
    """Return the end of a sentence that suggests the closest of the names, if one is close."""
    import difflib  # for messages only

    by_folded_name = {candidate.casefold(): candidate for candidate in names}
    matches = difflib.get_close_matches(name.casefold(), by_folded_name, n=1)
    return f". Did you mean {by_folded_name[matches[0]]}?" if matches else "."


def _matches_any(info: PluginInfo, names: Iterable[str]) -> bool:
    return any(info.answers_to(name) for name in names)


def _normalize(name: str) -> str:
    """Return a full name with a normalized distribution: Kling_Keyring:x becomes kling-keyring:x."""
    distribution, colon, plugin = name.partition(":")
    return re.sub(r"[-_.]+", "-", distribution).lower() + colon + plugin if colon else name
