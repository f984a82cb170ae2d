"""Choose plugins by name: what a plugin is called, and which of them the environment asks for."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from kling_adapters.errors import ConfigError

ALLOW = "KLING_PLUGINS"
"""Environment variable: names of the only plugins to load beside those of the core."""
DISABLE = "KLING_DISABLE_PLUGINS"
"""Environment variable: names of plugins that are not loaded."""
AUTH = "KLING_AUTH"
"""Environment variable: the name of the plugin that the key comes from."""
STRICT = "KLING_STRICT_PLUGINS"
"""Environment variable: anything but empty or 0 makes a broken plugin an error."""
CORE = "kling-adapters"
"""The distribution of the built-in plugins."""


@dataclass(frozen=True)
class PluginInfo:
    """A plugin and its state; `distribution` is None for one given in code.

    `reason`: why it is disabled or broken, or which models of a loaded one are left out.
    """

    name: str
    distribution: str | None
    state: Literal["loaded", "disabled", "broken"]
    reason: str = ""
    hooks: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """The name with its distribution, as in kling-keyring:keyring; the name alone for one given in code."""
        return f"{self.distribution.split()[0]}:{self.name}" if self.distribution else self.name

    @property
    def is_core(self) -> bool:
        """Whether it is one of the built-in plugins."""
        return self.distribution is not None and self.distribution.split()[0] == CORE

    def answers_to(self, name: str) -> bool:
        """Whether `name` is its name, or its name in full.

        A name with a colon is always one in full: an entry point may be called like another plugin in full.
        """
        return _canonical(name) == _canonical(self.full_name) if ":" in name else name == self.name


def is_strict() -> bool:
    """Whether the environment asks for broken plugins to be errors."""
    return os.environ.get(STRICT, "") not in ("", "0")


class Selection:
    """Decides which of the installed plugins are loaded. Raises ConfigError for a name that is not installed."""

    def __init__(self, installed: Sequence[PluginInfo]) -> None:
        self._installed = installed
        self._by_name: dict[str, list[PluginInfo]] = {}
        for info in installed:
            self._by_name.setdefault(info.name, []).append(info)
        self._allowed = self._read(ALLOW)
        self._disabled = self._read(DISABLE)
        self._in_full = [name for name in (*self._allowed, os.environ.get(AUTH, "").strip()) if ":" in name]

    def _read(self, variable: str) -> list[str]:
        names = re.findall(r"[^,;\s]+", os.environ.get(variable, ""))
        for name in names:
            if not any(info.answers_to(name) for info in self._installed):
                plugins = [info.name for info in self._installed]
                raise ConfigError(
                    f"{variable} names {name!r}, which is not an installed plugin{suggest(name, plugins)} "
                    f"Installed: {', '.join(sorted(set(plugins)))}. Separate several names with commas."
                )
        return names

    def explain_disabled(self, info: PluginInfo) -> str:
        """Return why the environment turns a plugin off; an empty text if it does not."""
        if _names(self._disabled, info):
            return f"named in {DISABLE}"
        if self._allowed and not info.is_core and not _names(self._allowed, info):
            return f"not named in {ALLOW}"
        return ""

    def explain_conflict(self, info: PluginInfo) -> str:
        """Return why a plugin cannot be told from another of its name; an empty text if it can be.

        Otherwise whoever installs a second plugin of that name could be asked for the key.
        """
        if info.is_core or _names(self._in_full, info):
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
            f"{' and '.join([info.full_name, *names])} have the same name; leave one out, "
            f"as in {DISABLE}={names[0]}"
        )


def suggest(name: str, names: Iterable[str]) -> str:
    """Return the end of a sentence that asks for the closest of the names, if one is close."""
    by_case = {each.casefold(): each for each in names}
    close = difflib.get_close_matches(name.casefold(), by_case, n=1)
    return f". Did you mean {by_case[close[0]]}?" if close else "."


def _names(words: Iterable[str], info: PluginInfo) -> bool:
    return any(info.answers_to(word) for word in words)


def _canonical(name: str) -> str:
    """Return a full name with its distribution as package indexes write it: Kling_Keyring:x is kling-keyring:x."""
    distribution, colon, rest = name.partition(":")
    return re.sub(r"[-_.]+", "-", distribution).lower() + colon + rest if colon else name
