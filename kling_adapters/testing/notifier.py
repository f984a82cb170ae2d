"""What every plugin that is told of events must do, and one that keeps them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Generator
from contextlib import contextmanager, suppress

import anyio

from kling_adapters.errors import JobFailed
from kling_adapters.events import (
    Completed,
    Event,
    Expired,
    Failed,
    StateChanged,
    Stored,
    SubmitFailed,
    Submitted,
)
from kling_adapters.hookspecs import hookimpl
from kling_adapters.plugins.calls import call_hook
from kling_adapters.result import Artifact, Metrics, ResultData, StoredFile
from kling_adapters.testing.gateway import FakeGateway
from kling_adapters.testing.plugin import PluginConformance

_JOB = "5f0c3c4e-8c1a-4a53-9f3b-3f1f6a6f2f11"
_URL = f"https://files.example/{_JOB}.mp4"
QUICK = 2.0
"""Seconds that an event, or closing, may take here."""


class EventRecorder:
    """A plugin that keeps what it is told: `events`, in order. Kling(plugins=[recorder])."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    @hookimpl
    def kling_event(self, event: Event) -> None:
        """Keep the event."""
        self.events.append(event)


def one_of_each() -> tuple[Event, ...]:
    """Return an event of every kind, and again those of a job of which only the id is known."""
    events: list[Event] = [SubmitFailed("kling-2", "the gateway could not be reached", uncertain=False)]
    events += [SubmitFailed("kling-2", "the connection broke", uncertain=True)]
    events += [Submitted(_JOB, "kling-2", {"prompt": "x"}, 0.5)]
    for model in ("kling-2", None):
        metrics = Metrics(cost=1.5, inference_time=30.0) if model else Metrics()
        result = ResultData(_JOB, model, _URL, (Artifact(_URL, "video"),), metrics, {"output": _URL})
        link = None if model else _URL
        events += [
            StateChanged(_JOB, model, "PROCESSING"),
            Completed(_JOB, model, result, 3),
            Failed(_JOB, model, "the input was blocked" if model else "", 3),
            Expired(_JOB, model, 3),
            Stored(_JOB, model, (StoredFile("s3://bucket/a.mp4", 5, "0" * 64, "video/mp4", link),), 1.5),
        ]
    return tuple(events)


class NotifierConformance(PluginConformance):
    """Inherit it, name the `plugin`, and let what it notifies be something on this machine."""

    def test_takes_every_event_quickly(self) -> None:
        """Every kind, with as little in it as there can be, without an exception."""
        implementation = self.implementation("kling_event")
        # One event loop for all events, as clients have it.
        with asyncio.Runner() as runner:
            for event in one_of_each():
                with _quickly(f"kling_event with {type(event).__name__}"):
                    try:
                        told: Awaitable[None] | None = call_hook(implementation, event=event)
                        if told is not None:
                            runner.run(_finish(told))
                    except Exception as error:
                        raise AssertionError(f"kling_event raised {error!r} on {event!r}") from error

    def test_is_told_by_the_blocking_client(self) -> None:
        """The whole life of a job that completes, and of one that fails."""

        def run(gateway: FakeGateway) -> None:
            with self.client(gateway, api_key=gateway.api_key) as kling, suppress(JobFailed):
                kling.run("kling-2", prompt="x")

        for reason in (None, "blocked"):
            with self._without_errors(), FakeGateway(fails=reason) as gateway:
                run(gateway)

    def test_is_told_by_the_asynchronous_client(self) -> None:
        """The same, in a task."""

        async def run(gateway: FakeGateway) -> None:
            async with self.async_client(gateway, api_key=gateway.api_key) as kling:
                with suppress(JobFailed):
                    await kling.run("kling-2", prompt="x")

        for reason in (None, "blocked"):
            with self._without_errors(), FakeGateway(fails=reason) as gateway:
                anyio.run(run, gateway)

    def test_closes_without_an_event(self) -> None:
        """Quickly, and twice."""
        with self._without_errors(), FakeGateway() as gateway:
            kling = self.client(gateway, api_key=gateway.api_key)
            assert kling.plugins
            for _ in range(2):
                with _quickly("closing, with nothing to finish,"):
                    kling.close()

    @contextmanager
    def _without_errors(self) -> Generator[None]:
        """Check that the client has no failure of the plugin to log, since it does not raise them."""
        name = self.implementation("kling_event").plugin_name
        handler = _Errors(logging.ERROR)
        logger = logging.getLogger("kling_adapters")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
        own = [text for text in handler.texts if text.startswith(f"plugin {name} ")]
        assert not own, f"the client had to log: {own[0]}"


class _Errors(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = f": {record.exc_info[1]!r}" if record.exc_info else ""
        self.texts.append(record.getMessage() + error)


@contextmanager
def _quickly(what: str) -> Generator[None]:
    start = time.monotonic()
    yield
    took = time.monotonic() - start
    assert took < QUICK, f"{what} took {took:.1f} s, and others wait meanwhile"


async def _finish(told: Awaitable[None]) -> None:
    await told
