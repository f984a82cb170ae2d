"""Requirements for plugins that handle events, and a plugin that records them."""

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
MAX_SECONDS = 2.0
"""The longest time for an event or for closing, in seconds."""


class EventRecorder:
    """A plugin that records the events of jobs: `Kling(plugins=[recorder])`.

    Attributes:
        events: The events, in order.

    """

    def __init__(self) -> None:
        self.events: list[Event] = []

    @hookimpl
    def kling_event(self, event: Event) -> None:
        """Record an event.

        Args:
            event: The event.

        """
        self.events.append(event)


class NotifierConformance(PluginConformance):
    """Requirements for plugins with `kling_event`: inherit it and define `plugin`.

    Configure the plugin so that it sends its notifications to this machine.
    """

    def test_handles_every_event_in_time(self) -> None:
        """Every type of event, also with as little data as possible, raises nothing."""
        implementation = self.implementation("kling_event")
        # All events in one event loop, as in a client.
        with asyncio.Runner() as runner:
            for event in make_events():
                with _limit_time(f"kling_event with {type(event).__name__}"):
                    try:
                        awaitable: Awaitable[None] | None = call_hook(implementation, event=event)
                        if awaitable is not None:
                            runner.run(_await(awaitable))
                    except Exception as error:
                        raise AssertionError(f"kling_event raised {error!r} for {event!r}") from error

    def test_handles_jobs_of_the_blocking_client(self) -> None:
        """All events of a job that completes, and of a job that fails."""

        def run(gateway: FakeGateway) -> None:
            with self.client(gateway, api_key=gateway.api_key) as kling, suppress(JobFailed):
                kling.run("kling-2", prompt="x")

        for reason in (None, "blocked"):
            with self._expect_no_errors(), FakeGateway(fails=reason) as gateway:
                run(gateway)

    def test_handles_jobs_of_the_async_client(self) -> None:
        """The same with AsyncKling."""

        async def run(gateway: FakeGateway) -> None:
            async with self.async_client(gateway, api_key=gateway.api_key) as kling:
                with suppress(JobFailed):
                    await kling.run("kling-2", prompt="x")

        for reason in (None, "blocked"):
            with self._expect_no_errors(), FakeGateway(fails=reason) as gateway:
                anyio.run(run, gateway)

    def test_closes_without_an_event(self) -> None:
        """A client that is closed without a job, and twice, closes in time."""
        with self._expect_no_errors(), FakeGateway() as gateway:
            kling = self.client(gateway, api_key=gateway.api_key)
            assert kling.plugins
            for _ in range(2):
                with _limit_time("closing, with nothing to finish,"):
                    kling.close()

    @contextmanager
    def _expect_no_errors(self) -> Generator[None]:
        """Check that the client logs no failure of the plugin: it does not raise them."""
        name = self.implementation("kling_event").plugin_name
        handler = _ErrorRecorder(logging.ERROR)
        logger = logging.getLogger("kling_adapters")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
        errors = [text for text in handler.texts if text.startswith(f"plugin {name} ")]
        assert not errors, f"the client logged: {errors[0]}"


class _ErrorRecorder(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = f": {record.exc_info[1]!r}" if record.exc_info else ""
        self.texts.append(record.getMessage() + error)


@contextmanager
def _limit_time(action: str) -> Generator[None]:
    start = time.monotonic()
    yield
    seconds = time.monotonic() - start
    assert seconds < MAX_SECONDS, f"{action} took {seconds:.1f} s; jobs wait for it (at most {MAX_SECONDS} s)"


async def _await(awaitable: Awaitable[None]) -> None:
    await awaitable


def make_events() -> tuple[Event, ...]:
    """Return an event of every type, with all data, and with only the id of the job."""
    events: list[Event] = [
        SubmitFailed("kling-2", "the gateway could not be reached", uncertain=False),
        SubmitFailed("kling-2", "the connection broke", uncertain=True),
        Submitted(_JOB, "kling-2", {"prompt": "x"}, 0.5),
    ]
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
