"""Checks of the settings of a client. An invalid one raises ConfigError before anything is sent."""

from __future__ import annotations

from contextlib import closing
from os import PathLike, environ
from pathlib import Path
from typing import Final

from kling_adapters.client.arguments import (
    check_rate_limit,
    is_series,
    make_absolute,
    read_path,
    refuse,
)
from kling_adapters.errors import ConfigError
from kling_adapters.journal.location import default_path
from kling_adapters.models._gateway import BASE_URL
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Key

GATEWAY: Final = "KLING_BASE_URL"
"""Environment variable: the gateway of clients without `base_url`."""
HISTORY: Final = "KLING_HISTORY"
"""Environment variable: 0 if clients without `history` never read the request history."""

RATE_LIMIT: Final = "KLING_RATE_LIMIT"
"""Environment variable: the requests a minute of clients without `rate_limit`."""


def resolve_gateway(base_url: str | None) -> Gateway:
    """Return the gateway at `base_url`; by default that of KLING_BASE_URL, or the gateway of Segmind."""
    if base_url is not None:
        if not isinstance(base_url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            # It may contain a password.
            refuse("base_url", type(base_url), "a URL, as a str")
        return Gateway(base_url)
    try:
        return Gateway(environ.get(GATEWAY, "").strip() or BASE_URL)
    except ConfigError as error:
        raise ConfigError(f"the environment variable {GATEWAY} cannot be used: {error}") from None


def resolve_history(value: bool | None) -> bool:
    """Return whether the request history may be read; by default True, or the value of KLING_HISTORY."""
    if value is not None:
        check_flag("history", value)
        return value
    text = environ.get(HISTORY, "").strip() or "1"
    if text not in ("0", "1"):
        raise ConfigError(
            f"the environment variable {HISTORY} is {text[:50]!a}; expected 1 or 0. Nothing was sent"
        )
    return text == "1"


def resolve_rate_limit(value: float | None) -> float | None:
    """Return the requests a minute that no key exceeds; by default the number in KLING_RATE_LIMIT, or None."""
    if value is not None:
        check_rate_limit("rate_limit", value)
        return value
    text = environ.get(RATE_LIMIT, "").strip()
    if not text:
        return None
    try:
        number: object = float(text)
    except ValueError:
        number = text[:50]
    check_rate_limit(f"the environment variable {RATE_LIMIT}", number)
    return float(text)


def resolve_journal(value: str | PathLike[str] | None) -> Path | None:
    """Return the absolute path of the journal; None for no journal."""
    if value is None:
        return None
    path = (
        default_path() if value == "" else read_path("journal", value, "a path, as a str or a path, or None")
    )
    return None if path is None else make_absolute("journal", path)


def wrap_key(value: str | None) -> Key | None:
    """Return the API key as a Key, which tracebacks do not show."""
    if value is None:
        return None
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        refuse("api_key", type(value), "a str")
    if not value.strip():
        raise ConfigError(
            "api_key is empty; expected a key. Leave it out to use SEGMIND_API_KEY or a plugin. "
            "Nothing was sent"
        )
    return Key(value)


def check_key(base_url: str | None = None) -> None:
    """Check that a client of this process would have an API key.

    Args:
        base_url: The base URL of the gateway; None for that of the environment.

    Raises:
        ConfigError: No plugin provides a key, or the plugin cannot read it. Nothing was sent.

    """
    from kling_adapters.plugins.manager import Plugins

    with closing(Plugins()) as plugins:
        plugins.auth(resolve_gateway(base_url).base_url).api_key()


def check_plugins(plugins: object) -> None:
    """Refuse a value that is not a series of plugin objects."""
    if not is_series(plugins):
        refuse("plugins", type(plugins), "an iterable of plugin objects, such as [MyPlugin()]")


def check_flag(name: str, value: object) -> None:
    """Refuse a value that is not True or False."""
    if not isinstance(value, bool):
        refuse(name, value, "True or False")


def check_proxy(value: object) -> None:
    """Refuse a proxy that is not a str; None is accepted. The message omits it: it may contain a password."""
    if value is not None and not isinstance(value, str):
        refuse("proxy", type(value), "the URL of a proxy, as a str")


def check_clock(clock: object) -> None:
    """Refuse a value that is not a Clock; None is accepted."""
    if clock is not None and not all(
        callable(getattr(clock, method, None)) for method in ("now", "sleep", "sleep_async")
    ):
        refuse("clock", type(clock), "an object with the methods of kling_adapters.Clock")
