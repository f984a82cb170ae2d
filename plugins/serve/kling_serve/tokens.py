"""The file of tokens: one table for each program or person, with the limits of its jobs."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from kling_adapters import ConfigError
from kling_serve.limits import Limits

RESERVED: Final = ("studio", "mcp")
"""Names of the browser and of `kling mcp`."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TOKEN: Final = re.compile(r"[!-~]{32,512}")
_MAX_BYTES: Final = 1024**2


@dataclass(frozen=True)
class Token:
    """A token of a program.

    Attributes:
        name: The name, which the journal has as the tag of its jobs.
        secret: The text that the program sends.
        limits: The limits of its jobs.

    """

    name: str
    secret: str = field(repr=False)
    limits: Limits = field(default_factory=Limits)


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Return the tokens of a TOML file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            tables = tomllib.loads(file.read(_MAX_BYTES).decode())
    except (OSError, ValueError) as error:
        # The text of a syntax error could show a token.
        reason = error.strerror if isinstance(error, OSError) else "it is not valid TOML"
        raise ConfigError(f"cannot read the tokens in {str(path)!r}: {reason}") from None
    tokens = tuple(_read_token(name, table) for name, table in tables.items())
    if len({token.secret for token in tokens}) < len(tokens):
        raise ConfigError(f"two names in {str(path)!r} have the same token; give each its own")
    return tokens


def _read_token(name: str, table: object) -> Token:
    if _NAME.fullmatch(name) is None or name in RESERVED:
        raise ConfigError(
            f"{name[:64]!r} is not a name for a token: expected small letters, digits, - and _, "
            f"and not {' or '.join(RESERVED)}"
        )
    values: Mapping[str, Any] = cast("dict[str, Any]", table) if isinstance(table, dict) else {}
    secret = values.get("token")
    if not isinstance(secret, str) or _TOKEN.fullmatch(secret) is None:
        raise ConfigError(
            f"the token of {name} is missing or too weak: expected 32 to 512 printable ASCII characters"
        )
    limits = {key: _read_limit(name, key, value) for key, value in values.items() if key != "token"}
    return Token(name, secret, Limits(**limits))


def _read_limit(name: str, key: str, value: object) -> Any:
    if key not in ("jobs_in_flight", "credits_a_day", "unknown_price"):
        raise ConfigError(
            f"{key[:64]!r} of {name} is unknown: expected token, jobs_in_flight, credits_a_day or unknown_price"
        )
    kinds = (int,) if key == "jobs_in_flight" else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value < math.inf:
        raise ConfigError(f"{key} of {name} is not a number of 0 or more")
    return value
