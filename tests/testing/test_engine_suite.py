"""EngineConformance accepts a correct plugin; each check detects its own defect."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, cast

import pytest

from kling_adapters import AsyncKling
from kling_adapters.hookspecs import hookimpl
from kling_adapters.testing import EngineConformance, FakeGateway, SimulatedClock


class InProcess:
    """An engine that runs the jobs in this process. It is correct; subclasses have a defect."""

    def __init__(self) -> None:
        self.key = ""
        self.outcomes: dict[str, list[Any]] = {}

    @hookimpl
    def kling_engine(self, name: str) -> Any:
        return self.engine(name)

    def engine(self, name: str) -> Any:
        return self if name == "in-process" else None

    async def map(
        self, requests: Sequence[Any], *, base_url: str, name: str, save_to: str | None, concurrency: int
    ) -> AsyncGenerator[Any]:
        if name not in self.outcomes:
            options: dict[str, Any] = {"base_url": base_url, "api_key": self.key, "clock": SimulatedClock()}
            async with AsyncKling(journal=None, **options) as kling:
                self.outcomes[name] = [item async for item in kling.map(requests, concurrency=concurrency)]
        for outcome in self.outcomes[name]:
            yield outcome


class InProcessConformance(EngineConformance):
    name = "in-process"

    def __init__(self, plugin: InProcess) -> None:
        self.plugin: InProcess = plugin

    def workers(self, gateway: FakeGateway) -> Any:
        self.plugin.key = gateway.api_key
        return super().workers(gateway)


class AnswersToEveryName(InProcess):
    def engine(self, name: str) -> Any:
        return self


class ReturnsNoEngine(InProcess):
    def engine(self, name: str) -> Any:
        return object()


class ForgetsItsJobs(InProcess):
    async def map(self, requests: Sequence[Any], **options: Any) -> AsyncGenerator[Any]:
        self.outcomes.clear()
        async for outcome in super().map(requests, **options):
            yield outcome


class LosesAnOutcome(InProcess):
    async def map(self, requests: Sequence[Any], **options: Any) -> AsyncGenerator[Any]:
        async for outcome in super().map(requests, **options):
            if outcome.index:
                yield outcome


class JoinsEqualRequests(InProcess):
    async def map(self, requests: Sequence[Any], **options: Any) -> AsyncGenerator[Any]:
        async for outcome in super().map(requests[:2], **options):
            yield outcome
            if not outcome.index:
                yield type(outcome)(2, outcome.model, outcome.request_id, outcome.result, None)


CHECKS = ["test_only_its_name_is_answered", "test_each_request_is_submitted_once"]
MUTANTS: list[tuple[type[InProcess], str]] = [
    (AnswersToEveryName, CHECKS[0]),
    (ReturnsNoEngine, CHECKS[0]),
    (ForgetsItsJobs, CHECKS[1]),
    (LosesAnOutcome, CHECKS[1]),
    (JoinsEqualRequests, CHECKS[1]),
]


def run_check(plugin: InProcess, check: str) -> None:
    cast("Callable[[], None]", getattr(InProcessConformance(plugin), check))()


@pytest.mark.parametrize("check", CHECKS)
def test_correct_engine_passes(check: str) -> None:
    run_check(InProcess(), check)


@pytest.mark.parametrize(("mutant", "check"), MUTANTS)
def test_each_check_catches_its_defect(mutant: type[InProcess], check: str) -> None:
    with pytest.raises(AssertionError, match=r"\w+ .*\w"):
        run_check(mutant(), check)
