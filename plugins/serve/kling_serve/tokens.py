"""The file of tokens: one table for each program or person, with the limits of its jobs."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field, ValidationError

from kling_adapters import ConfigError

RESERVED: Final = ("studio", "mcp")
"""Names of the browser and of `kling mcp`."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_MAX_BYTES: Final = 1024**2


@dataclass(frozen=True)
class Limits:
    """Limits of the jobs of one token; None for no limit.

    Attributes:
        jobs_in_flight: Jobs that may be unfinished at a time.
        credits_a_day: Credits that the jobs of the last 24 hours may cost.
        credits_in_all: Credits that the jobs since the start of the process may cost.
        unknown_price: Credits to set aside for a job of unknown price; None refuses such jobs if credits are limited.

    """

    jobs_in_flight: int | None = None
    credits_a_day: float | None = None
    credits_in_all: float | None = None
    unknown_price: float | None = None


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
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            # The part that was read could be valid, without the limits after it.
            raise ConfigError(
                f"cannot read the tokens in {str(path)!r}: expected at most {_MAX_BYTES >> 20} MiB"
            )
        tables = tomllib.loads(content.decode())
    except (OSError, ValueError, RecursionError) as error:
        # The text of a syntax error could show a token.
        reason = error.strerror if isinstance(error, OSError) else "it is not valid TOML"
        raise ConfigError(f"cannot read the tokens in {str(path)!r}: {reason}") from None
    tokens = tuple(_read_token(name, table) for name, table in tables.items())
    if len({token.secret for token in tokens}) < len(tokens):
        raise ConfigError(f"two names in {str(path)!r} have the same token; give each its own")
    return tokens


class _Table(BaseModel, extra="forbid", strict=True):
    token: str = Field(pattern=r"^[!-~]{32,512}$")
    jobs_in_flight: int | None = Field(default=None, ge=0)
    credits_a_day: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    unknown_price: float | None = Field(default=None, ge=0, allow_inf_nan=False)


def _read_token(name: str, table: object) -> Token:
    if _NAME.fullmatch(name) is None or name in RESERVED:
        raise ConfigError(
            f"{name[:64]!r} is not a name for a token: expected small letters, digits, - and _, "
            f"and not {' or '.join(RESERVED)}"
        )
    try:
        values = _Table.model_validate(table).model_dump()
    except ValidationError as error:
        member = str((*error.errors()[0]["loc"], "token")[0])[:64]
        raise ConfigError(f"{member} of {name} {_PROBLEMS.get(member, _UNKNOWN)}") from None
    return Token(name, values.pop("token"), Limits(**values))


_PROBLEMS: Final = {
    "token": "is missing or too weak: expected 32 to 512 printable ASCII characters",
    "jobs_in_flight": "is not a whole number of 0 or more",
    "credits_a_day": "is not a number of 0 or more",
    "unknown_price": "is not a number of 0 or more",
}
_UNKNOWN: Final = f"is unknown: expected {', '.join(_PROBLEMS)}"
