"""Rows of the gateway's tables, as the generated `models/_gateway.py` declares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class GatewayState:
    """A state of a job; after a terminal one nothing changes any more."""

    name: str
    meaning: str
    terminal: bool


@dataclass(frozen=True)
class StatusCode:
    """A status code of the gateway, and what a submit that was answered with it may do.

    `submit`: safe, nothing was started and it may be repeated; never, nothing was started and repeating does
    not help; uncertain, a job may have been started. `source` is where the fact comes from.
    """

    status: int
    name: str
    meaning: str
    submit: Literal["safe", "never", "uncertain"]
    source: Literal["seed", "docs", "client", "digest"]
