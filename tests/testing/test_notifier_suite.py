"""NotifierConformance passes what is right, and each check catches a defect of its own."""

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


class Awaited:
    @hookimpl
    async def kling_event(self, event: Event) -> None:
        assert event.model is None or event.model == "kling-2"


class TestAwaited(NotifierConformance):
    plugin = Awaited


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


class OncePerJob:
    """Fails where a job has more than one event."""

    def __init__(self) -> None:
        self.seen: set[str | None] = set()

    @hookimpl
    def kling_event(self, event: Event) -> None:
        if event.request_id in self.seen:
            raise RuntimeError("twice")
        self.seen.add(event.request_id)


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
    (NeedsAModel, "test_takes_every_event_quickly"),
    (Slow, "test_takes_every_event_quickly"),
    (BlocksTheLoop, "test_takes_every_event_quickly"),
    (OncePerJob, "test_is_told_by_the_blocking_client"),
    (OncePerJob, "test_is_told_by_the_asynchronous_client"),
    (NeedsAnEventToClose, "test_closes_without_an_event"),
    (ClosesSlowly, "test_closes_without_an_event"),
]


@pytest.mark.parametrize(("mutant", "check"), MUTANTS)
def test_each_check_catches_its_defect(
    monkeypatch: pytest.MonkeyPatch, mutant: type[Any], check: str
) -> None:
    monkeypatch.setattr(notifier, "QUICK", 0.15)

    class Suite(NotifierConformance):
        plugin = mutant

    with pytest.raises(AssertionError, match=r"\w+ .*\w"):
        cast("Callable[[], None]", getattr(Suite(), check))()


class Misnamed:
    @hookimpl
    def kling_evnt(self) -> None: ...


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("nobody", r"no plugin nobody with a hook kling_event is loaded \(none is broken or disabled\)"),
        ("env_auth", "no plugin env_auth with a hook kling_event"),
        (
            Misnamed(),
            "no plugin Misnamed with a hook kling_event is loaded .*Misnamed is broken: .*kling_evnt",
        ),
    ],
)
def test_a_plugin_that_cannot_be_asked_is_said(given: object, says: str) -> None:
    class Suite(NotifierConformance):
        plugin = given

    with pytest.raises(AssertionError, match=says):
        Suite().test_takes_every_event_quickly()


def test_every_check_has_a_mutant() -> None:
    assert {check for _, check in MUTANTS} == {
        name for name in dir(NotifierConformance) if name.startswith("test_")
    }


def test_the_suite_tells_an_event_of_every_kind() -> None:
    told = notifier.one_of_each()
    assert {type(event) for event in told} == set(get_args(Event))
    assert {event.uncertain for event in told if hasattr(event, "uncertain")} == {True, False}


def test_the_recorder_keeps_the_order() -> None:
    recorder = EventRecorder()
    events: list[Event] = [Submitted("1", "kling-2", {}, 0.1), Failed("1", "kling-2", "no", 2)]
    for event in events:
        recorder.kling_event(event)
    assert recorder.events == events
