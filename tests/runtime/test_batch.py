"""Many jobs at once, on both clients: each is submitted once, ends once, and costs no more than is told."""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling, Outcome
from kling_adapters.driver.clock import SystemClock
from kling_adapters.journal.journal import Journal
from kling_adapters.models import Kling2
from kling_adapters.testing import FakeGateway, SimulatedClock
from kling_adapters.testing.gateway import GatewayAnswer


class Gateway(FakeGateway):
    """Counts jobs that were submitted and not fetched; holds submits back while `gate` is closed.

    `hangs`: no job ends. `forgets`: no job is known.
    `lost`: the prompts whose submits are answered with an error that does not say whether a job was started.
    """

    hangs = False
    forgets = False
    lost: tuple[str, ...] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Event()
        self.most = 0
        self._counting = threading.Lock()
        self._in_flight = 0

    @property
    def submits(self) -> list[Any]:
        return [request.params["prompt"] for request in self.requests if request.method == "POST"]

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> GatewayAnswer:
        if method == "POST":
            self.arrived.set()
            assert self.gate.wait(30)
        with self._counting:
            if method == "POST":
                self._in_flight += 1
                self.most = max(self.most, self._in_flight)
            elif path.startswith("/v2/requests/") and not path.endswith("/status"):
                self._in_flight -= 1
        if self.hangs and path.endswith("/status"):
            return GatewayAnswer.of(200, {"status": "QUEUED"})
        if self.forgets and path.startswith("/v2/requests/"):
            return GatewayAnswer.of(404, {"error": "there is nothing of that name"})
        answer = super().answer(method, path, headers, body)
        is_lost = method == "POST" and json.loads(body)["prompt"] in self.lost
        return GatewayAnswer.of(504, {}) if is_lost else answer


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@dataclass
class Runner:
    """Iterates `map` or `resume` of one of the clients."""

    kind: str
    gateway: Gateway
    journal: Path | None
    clock: ka.Clock = field(default_factory=SimulatedClock)

    def __call__(
        self, call: str, *args: Any, seen: Callable[[Outcome[Any]], object] = repr, **options: Any
    ) -> list[Outcome[Any]]:
        """Return the outcomes; `seen` is told each, and leaves early with True."""
        given: dict[str, Any] = {
            "base_url": self.gateway.base_url,
            "api_key": self.gateway.api_key,
            "journal": self.journal,
            "clock": self.clock,
        }
        found: list[Outcome[Any]] = []
        if self.kind == "sync":
            with Kling(**given) as kling, closing(getattr(kling, call)(*args, **options)) as outcomes:
                for outcome in outcomes:
                    found.append(outcome)
                    if seen(outcome) is True:
                        break
            return found

        async def main() -> None:
            async with (
                AsyncKling(**given) as kling,
                aclosing(getattr(kling, call)(*args, **options)) as outcomes,
            ):
                async for outcome in outcomes:
                    found.append(outcome)
                    # In a thread: a caller that blocks the loop stops everything.
                    if await anyio.to_thread.run_sync(seen, outcome) is True:
                        break

        anyio.run(main, backend=self.kind)
        return found


@pytest.fixture(params=["sync", "asyncio", "trio"])
def run(request: pytest.FixtureRequest, gateway: Gateway, path: Path) -> Runner:
    return Runner(request.param, gateway, path)


def asked(*prompts: object) -> list[dict[str, Any]]:
    return [{"model": "kling-2", "prompt": str(prompt)} for prompt in prompts]


def states(path: Path) -> dict[str, str]:
    with closing(Journal(path)) as journal:
        return {entry.params["prompt"]: entry.state for entry in journal.entries()}


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_every_request_ends_once_and_is_stored_and_no_more_run_than_may(
    run: Runner, gateway: Gateway, tmp_path: Path
) -> None:
    requests: list[Any] = asked(*range(29))
    requests.append(Kling2(prompt="29"))
    outcomes = run("map", requests, concurrency=4, save_to=tmp_path / "out")
    assert sorted(outcome.index for outcome in outcomes) == list(range(30))
    assert sorted(gateway.submits, key=int) == [str(number) for number in range(30)]
    assert 1 < gateway.most <= 4
    for outcome in outcomes:
        assert (outcome.model, outcome.error) == ("kling-2", None)
        assert outcome.result is not None
        assert outcome.result.request_id == outcome.request_id
        [file] = outcome.result.saved
        assert file.path.parent == tmp_path / "out"
        assert file.path.stat().st_size == file.size


def test_requests_are_taken_when_there_is_room_and_a_caller_may_leave(
    run: Runner, gateway: Gateway, path: Path
) -> None:
    taken = itertools.count()
    requests = ({"model": "kling-2", "prompt": str(next(taken))} for _ in itertools.count())
    before = threading.active_count()
    outcomes = run(
        "map", requests, concurrency=4, name="endless", seen=lambda _outcome: len(gateway.submits) > 7
    )
    assert len(gateway.submits) <= next(taken) <= len(outcomes) + 4
    left = states(path)
    assert set(left) >= set(gateway.submits)
    assert "UNCERTAIN" not in left.values()
    assert threading.active_count() <= before + 1 or run.kind != "sync"
    # Nothing is lost: what was left goes on.
    run("resume")
    assert set(states(path).values()) <= {"COMPLETED", "REFUSED"}
    assert all(states(path)[prompt] == "COMPLETED" for prompt in gateway.submits)


def test_a_slow_caller_keeps_no_job_from_its_end_and_nothing_more_is_submitted(
    run: Runner, gateway: Gateway, path: Path, tmp_path: Path
) -> None:
    is_first = iter([True])

    def wait_for_the_others(_outcome: Outcome[Any]) -> None:
        if next(is_first, False):
            until(lambda: set(states(path).values()) == {"COMPLETED"})
            until(lambda: len(list((tmp_path / "out").glob("*.mp4"))) == len(states(path)))
            assert len(gateway.submits) == len(states(path)) <= 5

    assert (
        len(run("map", asked(*range(9)), concurrency=5, save_to=tmp_path / "out", seen=wait_for_the_others))
        == 9
    )


def test_what_is_wrong_with_one_request_is_its_outcome(run: Runner, gateway: Gateway) -> None:
    requests = [
        *asked("a"),
        {"model": "kling-2", "promt": "x"},
        {"prompt": "x"},
        {"model": "kling-22"},
        *asked("b"),
    ]
    outcomes = sorted(run("map", requests), key=lambda outcome: outcome.index)
    kinds = [type(outcome.error) for outcome in outcomes]
    assert kinds == [type(None), ka.ParamsInvalid, ka.ConfigError, ka.UnknownModel, type(None)]
    assert [outcome.model for outcome in outcomes] == ["kling-2", "kling-2", "", "kling-22", "kling-2"]
    assert sorted(gateway.submits) == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"save_to": "ftp://host/"}, "no plugin can store"),
        ({"concurrency": 0}, "concurrency is 0; expected a whole number of jobs, 1 or more"),
    ],
)
def test_what_would_stop_every_request_is_raised_before_any_is_sent(
    run: Runner, gateway: Gateway, options: Mapping[str, Any], error: str
) -> None:
    with pytest.raises(ka.ConfigError, match=error):
        run("map", asked("a"), **options)
    assert not gateway.requests


def test_a_folder_is_remembered_as_it_is_known_from_anywhere(
    run: Runner, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("map", asked("a"), save_to="out")
    with closing(Journal(path)) as journal:
        assert [entry.save_to for entry in journal.entries()] == [str(tmp_path / "out")]


def test_an_error_of_the_iterable_is_raised(run: Runner, gateway: Gateway, path: Path) -> None:
    def requests() -> Iterator[dict[str, Any]]:
        yield from asked("a")
        until(lambda: "a" in states(path))
        raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="the caller's own"):
        run("map", requests(), concurrency=1)
    assert set(states(path).values()) == {"COMPLETED"}


def test_a_batch_of_a_name_submits_nothing_twice(
    run: Runner, gateway: Gateway, path: Path, tmp_path: Path
) -> None:
    requests = asked("done", "stored", "running", "uncertain", "refused", "failed", "new", "new")
    first = run("map", requests[:6], name="films", concurrency=1)
    assert len(first) == 6
    with closing(Journal(path)) as journal:
        entries = {entry.params["prompt"]: entry for entry in journal.entries()}
        with closing(sqlite3.connect(path)) as connection:
            for prompt, state in (("running", "PROCESSING"), ("failed", "FAILED")):
                connection.execute(
                    "UPDATE jobs SET state = ?, reason = 'because' WHERE id = ?", (state, entries[prompt].id)
                )
            connection.commit()
        journal.update(entries["uncertain"].id, state="UNCERTAIN", reason="cut")
        journal.update(entries["refused"].id, state="REFUSED", reason="no")
    before = len(gateway.requests)
    outcomes = {
        outcome.index: outcome for outcome in run("map", requests, name="films", save_to=tmp_path / "out")
    }
    assert sorted(outcomes) == list(range(8))
    assert gateway.submits[6:] in (
        ["refused", "new", "new"],
        ["new", "refused", "new"],
        ["new", "new", "refused"],
    )
    kinds = [type(outcomes[index].error) for index in range(8)]
    assert kinds == [*[type(None)] * 3, ka.SubmitUncertain, type(None), ka.JobFailed, *[type(None)] * 2]
    uncertain = outcomes[3].error
    assert isinstance(uncertain, ka.SubmitUncertain)
    assert uncertain.entry == entries["uncertain"].id
    # The journal holds the result: the gateway is not asked once more.
    asked_again = [request.path for request in gateway.requests[before:] if "/requests/" in request.path]
    assert not any((entries["done"].request_id or "") in each for each in asked_again)
    results = [outcomes[index].result for index in (0, 1, 2, 4, 6, 7)]
    assert all(result is not None and len(result.saved) == 1 for result in results)
    # And all over again: only what is not known is done.
    before = len(gateway.requests)
    again = run("map", requests, name="films", save_to=tmp_path / "out")
    assert len(again) == 8
    assert len(gateway.requests) == before
    # A request that comes once more than before is a job more; another name is another batch.
    run("map", asked("new", "new", "new"), name="films")
    assert gateway.submits[9:] == ["new"]
    run("map", asked("done"), name="others")
    assert gateway.submits[10:] == ["done"]


def test_a_batch_is_run_by_one_at_a_time(run: Runner, gateway: Gateway, path: Path) -> None:
    def once_more(_outcome: Outcome[Any]) -> None:
        with (
            Kling(base_url=gateway.base_url, api_key=gateway.api_key, journal=path) as other,
            pytest.raises(ka.ConfigError, match="is being run already"),
        ):
            next(other.map(asked("b"), name="films"))

    run("map", asked("a"), name="films", seen=once_more)
    assert gateway.submits == ["a"]
    assert len(run("map", asked("b"), name="films")) == 1


def test_nothing_is_submitted_that_could_exceed_the_cost(
    run: Runner, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    most_before_the_first_cost: list[int] = []

    def first(_outcome: Outcome[Any]) -> None:
        if not most_before_the_first_cost:
            most_before_the_first_cost.append(len(gateway.submits))

    outcomes = run("map", asked(*range(20)), max_cost=5.5, name="films", seen=first)
    assert most_before_the_first_cost == [1]
    assert len(outcomes) == len(gateway.submits) == 5
    assert gateway.most > 1
    assert "could exceed max_cost" in caplog.text
    # What an earlier run has cost counts, and is not paid for again.
    assert len(run("map", asked(*range(20)), max_cost=7, name="films")) == 7
    assert len(gateway.submits) == 7


def test_what_may_be_billed_counts_as_if_it_were(run: Runner, gateway: Gateway) -> None:
    gateway.lost = ("1", "3")
    outcomes = run("map", asked(*range(9)), name="films", max_cost=4)
    assert sorted(gateway.submits) == ["0", "1", "2", "3"]
    assert sum(isinstance(outcome.error, ka.SubmitUncertain) for outcome in outcomes) == 2
    run("map", asked(*range(9)), name="films", max_cost=5)
    assert sorted(gateway.submits) == ["0", "1", "2", "3", "4"]
    # While no cost is known, a job whose cost cannot be learnt is the last.
    gateway.lost = ("lost",)
    fresh = Runner(run.kind, gateway, None)
    assert len(fresh("map", asked("lost", "x", "y"), max_cost=100)) == 1
    assert fresh("map", asked("x"), max_cost=0) == []


def test_a_failed_job_costs_nothing(path: Path) -> None:
    with Gateway(fails="blocked") as gateway:
        run = Runner("sync", gateway, path)
        for prompts in (range(5), range(5, 6)):  # those of an earlier run neither
            outcomes = run("map", asked(*prompts), name="films", max_cost=1)
            assert [type(outcome.error) for outcome in outcomes] == [ka.JobFailed] * len(prompts)
        assert len(gateway.submits) == 6


def test_what_was_paid_for_is_ended_although_nothing_more_can_be_paid(
    run: Runner, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    run("map", asked("paid"), name="films")
    outcomes = run("map", asked("a", "b", "c", "paid", "d"), name="films", max_cost=2, concurrency=2)
    assert sorted(outcome.index for outcome in outcomes) == [0, 3]
    assert all(outcome.error is None for outcome in outcomes)
    assert gateway.submits == ["paid", "a"]
    assert caplog.text.count("could exceed max_cost") == 1


def test_a_job_that_expired_is_not_asked_for_again(run: Runner, gateway: Gateway) -> None:
    gateway.forgets = True
    for _ in range(2):
        [outcome] = run("map", asked("x"), name="films")
        assert isinstance(outcome.error, ka.JobExpired)
        assert outcome.request_id == outcome.error.request_id
        asked_for = len(gateway.requests)
        gateway.forgets = False
    assert len(gateway.requests) == asked_for
    assert gateway.submits == ["x"]


def test_a_job_that_does_not_end_in_time_is_an_outcome_with_its_handle(run: Runner, gateway: Gateway) -> None:
    gateway.hangs = True
    [mapped] = run("map", asked("x"))
    [resumed] = run("resume")
    for outcome in (mapped, resumed):
        assert isinstance(outcome.error, ka.WaitTimeout)
        assert outcome.error.job.request_id == outcome.request_id == mapped.request_id  # type: ignore[union-attr]
        assert outcome.error.job.model == "kling-2"  # type: ignore[union-attr]
    gateway.hangs = False
    [ended] = run("resume")
    assert (ended.error, ended.request_id) == (None, mapped.request_id)


def test_resume_ends_what_is_unfinished_and_reports_what_is_uncertain(
    run: Runner, gateway: Gateway, path: Path, tmp_path: Path
) -> None:
    with Kling(base_url=gateway.base_url, api_key=gateway.api_key, journal=path) as kling:
        one, two = kling.submit("kling-2", prompt="one"), kling.submit("kling-2", prompt="two")
    with closing(Journal(path)) as journal:
        journal.record_destination(gateway.base_url, two.request_id, str(tmp_path / "own"))
        journal.update(
            journal.intend(gateway.base_url, "kling-2", {"prompt": "lost"}, "SG_1"),
            state="UNCERTAIN",
            reason="cut",
        )
        journal.update(
            journal.intend("https://elsewhere", "kling-2", {"prompt": "other"}, "SG_1"),
            request_id="abc",
            state="QUEUED",
        )
        intent = journal.intend(gateway.base_url, "kling-9", {"prompt": "gone"}, gateway.api_key)
        journal.update(intent, request_id="def", state="QUEUED")
    outcomes = {outcome.index: outcome for outcome in run("resume", save_to=tmp_path / "given")}
    assert sorted(outcomes) == [1, 2, 3, 5]
    assert {file.name for file in (tmp_path / "given").iterdir()} == {f"kling-2-{one.request_id}.mp4"}
    assert {file.name for file in (tmp_path / "own").iterdir()} == {f"kling-2-{two.request_id}.mp4"}
    assert isinstance(outcomes[3].error, ka.SubmitUncertain)
    assert isinstance(outcomes[5].error, ka.JobExpired)
    assert len(gateway.submits) == 2
    assert [outcome.index for outcome in run("resume")] == [3]


def test_without_a_journal_there_is_nothing_to_resume(run: Runner) -> None:
    run.journal = None
    with pytest.raises(ka.ConfigError, match="has no journal"):
        run("resume")
    with pytest.raises(ka.ConfigError, match="has no journal"):
        run("map", asked("a"), name="films")
    assert len(run("map", asked("a"))) == 1


def test_jobs_lists_the_journal(gateway: Gateway, path: Path) -> None:
    with Kling(base_url=gateway.base_url, api_key=gateway.api_key, journal=path) as kling:
        job = kling.submit("kling-2", prompt="one")
        assert [entry.request_id for entry in kling.entries()] == [job.request_id]

    async def main() -> list[ka.JournalEntry]:
        async with AsyncKling(base_url=gateway.base_url, journal=path) as kling:
            return await kling.entries()

    assert [entry.request_id for entry in anyio.run(main)] == [job.request_id]
    with Kling(journal=None) as kling, pytest.raises(ka.ConfigError, match="has no journal"):
        kling.entries()


def test_leaving_waits_for_the_answer_of_a_submit(run: Runner, gateway: Gateway, path: Path) -> None:
    answer_later = threading.Timer(0.5, gateway.gate.set)

    def leave(_outcome: Outcome[Any]) -> bool:
        assert gateway.arrived.wait(20)
        answer_later.start()
        return True

    def requests() -> Iterator[dict[str, Any]]:
        yield {"model": "kling-2", "promt": "an outcome at once"}
        gateway.gate.clear()
        yield from asked("a", "b")

    run("map", requests(), concurrency=3, name="films", seen=leave)
    assert not set(states(path).values()) & {"UNCERTAIN", "SUBMITTING"}
    assert len(run("map", asked("a", "b"), name="films")) == 2
    assert sorted(gateway.submits) == ["a", "b"]


def test_leaving_does_not_wait_for_jobs_that_take_long(run: Runner, gateway: Gateway, path: Path) -> None:
    gateway.hangs = True
    run.clock = SystemClock()
    left: list[float] = []

    def leave(outcome: Outcome[Any]) -> bool:
        until(lambda: list(states(path).values()) == ["QUEUED"] * 2)
        left.append(time.monotonic())
        return outcome.error is not None

    run("map", [*asked("a", "b"), {"model": "kling-22"}], seen=leave)
    assert time.monotonic() - left[0] < 5
    assert list(states(path).values()) == ["QUEUED"] * 2
    gateway.hangs, run.clock = False, SimulatedClock()
    assert [outcome.error for outcome in run("resume")] == [None, None]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelling_stops_at_once_and_an_unanswered_submit_is_uncertain(
    backend: str, gateway: Gateway, path: Path
) -> None:
    gateway.gate.clear()

    async def main() -> None:
        async with AsyncKling(base_url=gateway.base_url, api_key=gateway.api_key, journal=path) as kling:
            with anyio.fail_after(20):
                async with anyio.create_task_group() as group:

                    async def iterate() -> None:
                        async with aclosing(kling.map(asked("a", "b"), name="films")) as outcomes:
                            async for _ in outcomes:
                                pass

                    group.start_soon(iterate)
                    await anyio.to_thread.run_sync(gateway.arrived.wait)
                    group.cancel_scope.cancel()

    try:
        anyio.run(main, backend=backend)
    finally:
        gateway.gate.set()
    assert "UNCERTAIN" in states(path).values()
    assert "SUBMITTING" not in states(path).values()
