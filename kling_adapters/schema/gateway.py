"""Rows of the gateway's tables, as the generated `models/_gateway.py` declares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class GatewayState:
    """A state of a job.

    Attributes:
        name: The name of the state in answers.
        meaning: A description.
        terminal: Whether the state is final.

    """

    name: str
    meaning: str
    terminal: bool


@dataclass(frozen=True)
class StatusCode:
    """A status code of the gateway.

    Attributes:
        status: The HTTP status code.
        name: The name of the error class.
        meaning: A description.
        submit: The meaning for a submit. `safe`: no job was started, and the submit may be repeated.
            `never`: no job was started, and a repetition does not help. `uncertain`: a job may have been
            started.
        source: The source of this fact.

    """

    status: int
    name: str
    meaning: str
    submit: Literal["safe", "never", "uncertain"]
    source: Literal["seed", "docs", "client", "digest"]


@dataclass(frozen=True)
class HistoryFields:
    """Names of the members of a row of the request history, the likeliest first.

    Attributes:
        request_id: The id of the request.
        model: The slug of the model.
        state: The state.
        cost: The cost of the request, in credits.
        body: The parameters of the request.
        url: The URL of an output.
        error: The reason of a failure.
        created: The time of the request.

    """

    request_id: tuple[str, ...]
    model: tuple[str, ...]
    state: tuple[str, ...]
    cost: tuple[str, ...]
    body: tuple[str, ...]
    url: tuple[str, ...]
    error: tuple[str, ...]
    created: tuple[str, ...]
