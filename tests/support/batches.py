"""Batches on both clients, and under trio: a gateway that counts jobs and holds submits back, and fixtures."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import kling_adapters as ka
from kling_adapters import Outcome
from kling_adapters.journal.journal import Journal
from kling_adapters.testing import FakeGateway, SimulatedClock
from kling_adapters.testing.server import GatewayAnswer
from tests.support.clients import OpenClient, open_clients


class Gateway(FakeGateway):
    """Counts jobs that were submitted and not fetched; holds submits back while `gate` is closed.

    `hangs`: no job ends. `forgets`: no job is known.
    `limits`: polls are answered with a rate limit of a minute.
    `lost`: the prompts whose submits are answered with an error that does not say whether a job was started.
    `refused`: the prompts whose submits are refused as invalid.
    """

    hangs = False
    forgets = False
    limits = False
    lost: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Event()
        self.peak = 0
        self._counting = threading.Lock()
        self._in_flight = 0

    @property
    def submits(self) -> list[Any]:
        return [request.params["prompt"] for request in self.requests if request.method == "POST"]

    @property
    def polls(self) -> int:
        return sum(request.path.endswith("/status") for request in self.requests)

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> GatewayAnswer:
        if method == "POST":
            self.arrived.set()
            assert self.gate.wait(30)
        with self._counting:
            if method == "POST":
                self._in_flight += 1
                self.peak = max(self.peak, self._in_flight)
            elif path.startswith("/v2/requests/") and not path.endswith("/status"):
                self._in_flight -= 1
        if self.hangs and path.endswith("/status"):
            return GatewayAnswer.of(200, {"status": "QUEUED"})
        if self.forgets and path.startswith("/v2/requests/"):
            return GatewayAnswer.of(404, {"error": "there is nothing of that name"})
        if method == "POST" and json.loads(body)["prompt"] in self.refused:
            return GatewayAnswer.of(400, {"error": "the prompt is not allowed"})
        answer = super().answer(method, path, headers, body)
        if self.limits and path.endswith("/status"):
            return GatewayAnswer(429, {"retry-after": "60"}, b"{}")
        is_lost = method == "POST" and json.loads(body)["prompt"] in self.lost
        return GatewayAnswer.of(504, {}) if is_lost else answer


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """Run a gateway."""
    with Gateway() as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of the journal."""
    return tmp_path / "journal.sqlite3"


@dataclass
class Runner:
    """Iterates `map` or `resume` of a new client."""

    open_client: OpenClient
    gateway: Gateway
    journal: Path | None
    clock: ka.Clock = field(default_factory=SimulatedClock)

    def __call__(
        self, call: str, *args: Any, on_outcome: Callable[[Outcome[Any]], object] = repr, **options: Any
    ) -> list[Outcome[Any]]:
        """Return the outcomes. `on_outcome` gets each, and closes the batch by returning True."""
        received: list[Outcome[Any]] = []
        with (
            self.open_client(self.gateway, journal=self.journal, clock=self.clock) as kling,
            closing(getattr(kling, call)(*args, **options)) as outcomes,
        ):
            for outcome in outcomes:
                received.append(outcome)
                if on_outcome(outcome) is True:
                    break
        return received


@pytest.fixture(params=["sync", "asyncio", "trio"])
def open_client(request: pytest.FixtureRequest) -> Iterator[OpenClient]:
    """Run the test with both event loops: a batch has tasks of its own."""
    with open_clients(request.param) as function:
        yield function


@pytest.fixture
def run(open_client: OpenClient, gateway: Gateway, path: Path) -> Runner:
    """Return a function that runs a batch."""
    return Runner(open_client, gateway, path)


def make_requests(*prompts: object) -> list[dict[str, Any]]:
    """Return a request for each prompt."""
    return [{"model": "kling-2", "prompt": str(prompt)} for prompt in prompts]


def read_states(path: Path) -> dict[str, str]:
    """Return the states of the jobs in a journal by their prompts."""
    with closing(Journal(path)) as journal:
        return {entry.params["prompt"]: entry.state for entry in journal.entries()}
