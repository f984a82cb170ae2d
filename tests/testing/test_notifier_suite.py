"""NotifierConformance accepts correct plugins, and each check detects its own defect."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast, get_args

import pytest

from kling_adapters.events import Completed, Event, Failed, Submitted
from kling_adapters.hookspecs import hookimpl
from kling_adapters.testing import EventRecorder, NotifierConformance, notifier


class TestLog(NotifierConformance):
    plugin = "log_notifier"


class TestRecorder(NotifierConformance):
    plugin = EventRecorder


class AsyncNotifier:
    @hookimpl
    async def kling_event(self, event: Event) -> None:
        assert event.model is None or event.model == "kling-2"


class TestAsyncNotifier(NotifierConformance):
    plugin = AsyncNotifier


class NeedsAModel:
    @hookimpl
    def kling_event(self, event: Event) -> None:
        _ = event.model + "!"  # type: ignore[operator]


class Slow:
    @hookimpl
    def kling_event(self, event: Event) -> None:
        if isinstance(event, Completed):
            time.sleep(0.2)


class BlocksTheLoop:
    @hookimpl
    async def kling_event(self, event: Event) -> None:
        time.sleep(0.2)  # noqa: ASYNC251  that is the defect


class FailsOnSecondEvent:
    """Fails on the second event of a job."""

    def __init__(self) -> None:
        self.request_ids: set[str | None] = set()

    @hookimpl
    def kling_event(self, event: Event) -> None:
        if event.request_id in self.request_ids:
            raise RuntimeError("twice")
        self.request_ids.add(event.request_id)


class NeedsAnEventToClose:
    def __init__(self) -> None:
        self.events: list[Event] = []

    @hookimpl
    def kling_event(self, event: Event) -> None:
        self.events.append(event)

    @hookimpl
    def kling_close(self) -> None:
        self.events.pop()


class ClosesSlowly(EventRecorder):
    @hookimpl
    def kling_close(self) -> None:
        time.sleep(0.2)


MUTANTS: list[tuple[type[Any], str]] = [
    (NeedsAModel, "test_handles_every_event_in_time"),
    (Slow, "test_handles_every_event_in_time"),
    (BlocksTheLoop, "test_handles_every_event_in_time"),
    (FailsOnSecondEvent, "test_handles_jobs_of_the_blocking_client"),
    (FailsOnSecondEvent, "test_handles_jobs_of_the_async_client"),
    (NeedsAnEventToClose, "test_closes_without_an_event"),
    (ClosesSlowly, "test_closes_without_an_event"),
]


@pytest.mark.parametrize(("mutant", "check"), MUTANTS)
def test_each_check_catches_its_defect(
    monkeypatch: pytest.MonkeyPatch, mutant: type[Any], check: str
) -> None:
    monkeypatch.setattr(notifier, "MAX_SECONDS", 0.15)

    class Suite(NotifierConformance):
        plugin = mutant

    with pytest.raises(AssertionError, match=r"\w+ .*\w"):
        cast("Callable[[], None]", getattr(Suite(), check))()


class Misnamed:
    @hookimpl
    def kling_evnt(self) -> None: ...


@pytest.mark.parametrize(
    ("tested_plugin", "message"),
    [
        ("missing", r"no plugin missing with a hook kling_event is loaded \(none is broken or disabled\)"),
        ("env_auth", "no plugin env_auth with a hook kling_event"),
        (
            Misnamed(),
            "no plugin Misnamed with a hook kling_event is loaded .*Misnamed is broken: .*kling_evnt",
        ),
    ],
)
def test_unusable_plugin_is_named(tested_plugin: object, message: str) -> None:
    class Suite(NotifierConformance):
        plugin = tested_plugin

    with pytest.raises(AssertionError, match=message):
        Suite().test_handles_every_event_in_time()


def test_every_check_has_a_mutant() -> None:
    assert {check for _, check in MUTANTS} == {
        name for name in dir(NotifierConformance) if name.startswith("test_")
    }


def test_suite_has_events_of_every_type() -> None:
    events = notifier.make_events()
    assert {type(event) for event in events} == set(get_args(Event))
    assert {event.uncertain for event in events if hasattr(event, "uncertain")} == {True, False}


def test_recorder_keeps_the_order() -> None:
    recorder = EventRecorder()
    events: list[Event] = [Submitted("1", "kling-2", {}, 0.1), Failed("1", "kling-2", "no", 2)]
    for event in events:
        recorder.kling_event(event)
    assert recorder.events == events
