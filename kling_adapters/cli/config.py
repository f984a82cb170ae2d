"""`kling config`: the settings that a command would use, and their sources. The API key itself is never shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from kling_adapters._text import format_number
from kling_adapters.cli.connection import is_writable
from kling_adapters.cli.exit_codes import ExitCode
from kling_adapters.cli.listings import print_plugins
from kling_adapters.cli.options import as_json, base_url, journal
from kling_adapters.cli.output import count_noun, print_json, print_table
from kling_adapters.cli.wording import describe_error
from kling_adapters.errors import KlingError
from kling_adapters.models._gateway import KEY_ENVIRONMENT

if TYPE_CHECKING:
    from kling_adapters.plugins.manager import Plugins
    from kling_adapters.plugins.selection import PluginInfo


@dataclass(frozen=True)
class _Setting:
    """A setting; `problem` is the message for an unusable one."""

    name: str
    value: str
    source: str
    problem: str | None = None


@click.command("config")
@base_url
@journal
@as_json
def show_config(base_url: str | None, journal: str | None, as_json: bool) -> None:
    """Show the settings and their sources.

    These are the gateway, the API key without the key itself, the journal, proxies and plugins. Nothing is sent. The
    exit code is 2 if a setting cannot be used.
    """
    from kling_adapters.plugins.manager import Plugins

    gateway = _read_gateway(base_url)
    with closing(Plugins()) as manager:
        plugins, problem = _read_plugins(manager)
        key = [_read_key(manager, gateway.value)] if problem is None and gateway.problem is None else []
    problems = [problem] if problem is not None else []
    settings = [
        gateway,
        *key,
        _read_history(base_url),
        _read_rate_limit(),
        _read_journal(journal),
        *_read_proxies(),
        *problems,
    ]
    if as_json:
        plugin_rows = [asdict(plugin) for plugin in plugins]
        print_json({"settings": [asdict(setting) for setting in settings], "plugins": plugin_rows})
    else:
        rows = [(setting.name, setting.problem or setting.value, setting.source) for setting in settings]
        print_table(("setting", "value", "from"), rows)
        if plugins:
            print_plugins(plugins)
    if any(setting.problem for setting in settings):
        sys.exit(ExitCode.BAD_INPUT)


def _read_gateway(base_url: str | None) -> _Setting:
    from kling_adapters.client.settings import resolve_gateway

    source = _find_source("--base-url", base_url, "KLING_BASE_URL")
    try:
        return _Setting("gateway", resolve_gateway(base_url).base_url, source)
    except KlingError as error:
        return _Setting("gateway", "", source, describe_error(error))


def _read_key(manager: Plugins, gateway: str) -> _Setting:
    plugin = ""
    try:
        auth = manager.auth(gateway)
        plugin = auth.plugin
        auth.api_key()
    except KlingError as error:
        return _Setting("API key", "", plugin, describe_error(error))
    return _Setting("API key", "set", _describe_key_source(plugin))


def _describe_key_source(plugin: str) -> str:
    variables = (KEY_ENVIRONMENT, f"{KEY_ENVIRONMENT}_FILE")
    variable = next((name for name in variables if os.environ.get(name, "").strip()), None)
    return variable if plugin == "env_auth" and variable else f"plugin {plugin}"


def _read_history(base_url: str | None) -> _Setting:
    from kling_adapters.client.settings import HISTORY, resolve_gateway, resolve_history

    name, source = "request history", _find_source("", None, HISTORY)
    try:
        uses_history = resolve_history(None)
    except KlingError as error:
        return _Setting(name, "", source, describe_error(error))
    try:
        address = resolve_gateway(base_url).history_url
    except KlingError:
        # The row of the gateway has the problem.
        address = "on"
    return _Setting(name, address if uses_history else "off: nothing is asked of it", source)


def _read_rate_limit() -> _Setting:
    from kling_adapters.client.settings import RATE_LIMIT, resolve_rate_limit

    name, source = "rate limit", _find_source("", None, RATE_LIMIT)
    try:
        limit = resolve_rate_limit(None)
    except KlingError as error:
        return _Setting(name, "", source, describe_error(error))
    value = "learned from refusals" if limit is None else f"{format_number(limit)} requests a minute"
    return _Setting(name, value, source)


def _read_journal(journal: str | None) -> _Setting:
    from kling_adapters.client.settings import resolve_journal

    source = _find_source("--journal", "none" if journal is None else journal, "KLING_JOURNAL")
    try:
        path = resolve_journal(journal)
        state = "none: jobs cannot be found again" if path is None else f"{path} ({_describe_journal(path)})"
    except KlingError as error:
        return _Setting("journal", "", source, describe_error(error))
    return _Setting("journal", state, source)


def _describe_journal(path: Path) -> str:
    """Return the state of a journal. Raises StorageError if it cannot be read."""
    from kling_adapters.journal.journal import Journal

    access = "" if is_writable(path) else "; cannot be written"
    if not path.exists():
        return f"does not exist yet{access}"
    with closing(Journal(path)) as store:
        entries = store.entries()
    unfinished = sum(entry.is_unfinished for entry in entries)
    return f"{count_noun(len(entries), 'job')}, {unfinished} unfinished{access}"


def _read_proxies() -> Iterator[_Setting]:
    from kling_adapters._http.proxies import read_proxy_rules

    try:
        rules = read_proxy_rules()
    except KlingError as error:
        yield _Setting("proxy", "", "", describe_error(error))
        return
    for rule in rules:
        proxy = f"through {_without_password(rule.proxy)}" if rule.proxy else "without a proxy"
        yield _Setting("proxy", f"{rule.entry or rule.pattern} {proxy}", rule.source)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _read_plugins(manager: Plugins) -> tuple[tuple[PluginInfo, ...], _Setting | None]:
    """Return all plugins, and the problem if the environment names one that is not installed."""
    try:
        return manager.infos, None
    except KlingError as error:
        return (), _Setting("plugins", "", "", describe_error(error))


def _find_source(option: str, value: str | None, variable: str) -> str:
    if value:
        return option
    return variable if os.environ.get(variable, "").strip() else "default"
