"""Batches on both clients: each job is submitted once, ends once, and the cost stays within the cap."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import anyio
import pytest

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling, Outcome
from kling_adapters.driver.clock import SystemClock
from kling_adapters.journal.journal import Journal
from kling_adapters.models import Kling2
from kling_adapters.testing import SimulatedClock
from tests.support.batches import (
    Gateway,
    Runner,
    gateway,
    make_requests,
    open_client,
    path,
    read_states,
    run,
)
from tests.support.clients import OpenClient
from tests.support.waiting import wait_until

__all__ = ["gateway", "open_client", "path", "run"]


def test_every_request_is_stored_once_within_concurrency(
    run: Runner, gateway: Gateway, tmp_path: Path
) -> None:
    requests: list[Any] = make_requests(*range(29))
    requests.append(Kling2(prompt="29"))
    outcomes = run("map", requests, concurrency=4, save_to=tmp_path / "out")
    assert sorted(outcome.index for outcome in outcomes) == list(range(30))
    assert sorted(gateway.submits, key=int) == [str(number) for number in range(30)]
    assert 1 < gateway.peak <= 4
    for outcome in outcomes:
        assert (outcome.model, outcome.error) == ("kling-2", None)
        assert outcome.result is not None
        assert outcome.result.request_id == outcome.request_id
        [file] = outcome.result.saved
        assert file.path.parent == tmp_path / "out"
        assert file.path.stat().st_size == file.size


def test_closed_batch_is_finished_by_resume(
    run: Runner, gateway: Gateway, path: Path, request: pytest.FixtureRequest
) -> None:
    draws = itertools.count()
    requests = ({"model": "kling-2", "prompt": str(next(draws))} for _ in itertools.count())
    before = threading.active_count()
    outcomes = run(
        "map", requests, concurrency=4, name="endless", on_outcome=lambda _outcome: len(gateway.submits) > 7
    )
    assert len(gateway.submits) <= next(draws) <= len(outcomes) + 4
    unfinished = read_states(path)
    assert set(unfinished) >= set(gateway.submits)
    assert "UNCERTAIN" not in unfinished.values()
    assert threading.active_count() <= before + 1 or request.node.callspec.params["open_client"] != "sync"
    run("resume")
    assert set(read_states(path).values()) <= {"COMPLETED", "REFUSED"}
    assert all(read_states(path)[prompt] == "COMPLETED" for prompt in gateway.submits)


def test_slow_caller_delays_submits_but_not_running_jobs(
    run: Runner, gateway: Gateway, path: Path, tmp_path: Path
) -> None:
    is_first = iter([True])

    def wait_for_the_others(_outcome: Outcome[Any]) -> None:
        if next(is_first, False):
            wait_until(lambda: set(read_states(path).values()) == {"COMPLETED"})
            wait_until(lambda: len(list((tmp_path / "out").glob("*.mp4"))) == len(read_states(path)))
            assert len(gateway.submits) == len(read_states(path)) <= 5

    assert (
        len(
            run(
                "map",
                make_requests(*range(9)),
                concurrency=5,
                save_to=tmp_path / "out",
                on_outcome=wait_for_the_others,
            )
        )
        == 9
    )


def test_invalid_request_is_an_outcome_with_its_error(run: Runner, gateway: Gateway) -> None:
    requests = [
        *make_requests("a"),
        {"model": "kling-2", "promt": "x"},
        {"prompt": "x"},
        {"model": "kling-22"},
        *make_requests("b"),
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
def test_error_of_every_request_is_raised_before_any_is_sent(
    run: Runner, gateway: Gateway, options: Mapping[str, Any], error: str
) -> None:
    with pytest.raises(ka.ConfigError, match=error):
        run("map", make_requests("a"), **options)
    assert not gateway.requests


def test_relative_save_to_is_absolute_in_the_journal(
    run: Runner, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("map", make_requests("a"), save_to="out")
    with closing(Journal(path)) as journal:
        assert [entry.save_to for entry in journal.entries()] == [str(tmp_path / "out")]


def test_error_of_the_iterable_is_raised_after_running_jobs(
    run: Runner, gateway: Gateway, path: Path
) -> None:
    def requests() -> Iterator[dict[str, Any]]:
        yield from make_requests("a")
        wait_until(lambda: "a" in read_states(path))
        raise RuntimeError("the caller's own")

    with pytest.raises(RuntimeError, match="the caller's own"):
        run("map", requests(), concurrency=1)
    assert set(read_states(path).values()) == {"COMPLETED"}


def test_named_batch_submits_no_request_twice(
    run: Runner, gateway: Gateway, path: Path, tmp_path: Path
) -> None:
    requests = make_requests("done", "stored", "running", "uncertain", "refused", "failed", "new", "new")
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
    # The journal holds the result: the gateway is not make_requests once more.
    polled_paths = [request.path for request in gateway.requests[before:] if "/requests/" in request.path]
    assert not any((entries["done"].request_id or "") in path for path in polled_paths)
    results = [outcomes[index].result for index in (0, 1, 2, 4, 6, 7)]
    assert all(result is not None and len(result.saved) == 1 for result in results)
    # A third run finds everything in the journal.
    before = len(gateway.requests)
    again = run("map", requests, name="films", save_to=tmp_path / "out")
    assert len(again) == 8
    paths = [request.path for request in gateway.requests[before:]]
    # Only the uncertain submit is looked for again.
    assert len(paths) == 1
    assert paths[0].startswith("/inference-request/request-history?")
    # One more request with the same content is one more job; another name is another batch.
    run("map", make_requests("new", "new", "new"), name="films")
    assert gateway.submits[9:] == ["new"]
    run("map", make_requests("done"), name="others")
    assert gateway.submits[10:] == ["done"]


def test_named_batch_cannot_run_twice_at_once(run: Runner, gateway: Gateway, path: Path) -> None:
    def run_again(_outcome: Outcome[Any]) -> None:
        with (
            Kling(base_url=gateway.base_url, api_key=gateway.api_key, journal=path) as second,
            pytest.raises(ka.ConfigError, match="is already running"),
        ):
            next(second.map(make_requests("b"), name="films"))

    run("map", make_requests("a"), name="films", on_outcome=run_again)
    assert gateway.submits == ["a"]
    assert len(run("map", make_requests("b"), name="films")) == 1


def test_max_cost_stops_submits_that_could_exceed_it(
    run: Runner, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    submits_before_the_first_cost: list[int] = []

    def first(_outcome: Outcome[Any]) -> None:
        if not submits_before_the_first_cost:
            submits_before_the_first_cost.append(len(gateway.submits))

    cap: dict[str, Any] = {"name": "films", "allow_unknown_cost": 3}
    outcomes = run("map", make_requests(*range(20)), max_cost=5.5, on_outcome=first, **cap)
    # Two jobs of unknown price could cost 6 together.
    assert submits_before_the_first_cost == [1]
    assert len(outcomes) == len(gateway.submits) == 5
    assert gateway.peak > 1
    assert "max_cost could be exceeded" in caplog.text
    # What an earlier run has cost counts, and is not paid for again.
    assert len(run("map", make_requests(*range(20)), max_cost=7, **cap)) == 7
    assert len(gateway.submits) == 7


def test_uncertain_jobs_count_towards_max_cost(run: Runner, gateway: Gateway) -> None:
    gateway.lost = ("1", "3")
    outcomes = run("map", make_requests(*range(9)), name="films", max_cost=4, allow_unknown_cost=1)
    assert sorted(gateway.submits) == ["0", "1", "2", "3"]
    assert sum(isinstance(outcome.error, ka.SubmitUncertain) for outcome in outcomes) == 2
    run("map", make_requests(*range(9)), name="films", max_cost=5)
    assert sorted(gateway.submits) == ["0", "1", "2", "3", "4"]
    # A job whose cost stays unknown counts at the allowance.
    gateway.lost = ("lost",)
    fresh = Runner(run.open_client, gateway, None)
    assert len(fresh("map", make_requests("lost", "x", "y"), max_cost=100, allow_unknown_cost=60)) == 1
    assert fresh("map", make_requests("x"), max_cost=0, allow_unknown_cost=1) == []


def test_failed_jobs_do_not_count_towards_max_cost(open_client: OpenClient, path: Path) -> None:
    with Gateway(fails="blocked") as gateway:
        run = Runner(open_client, gateway, path)
        for prompts in (range(5), range(5, 6)):  # of this run and of an earlier one
            outcomes = run("map", make_requests(*prompts), name="films", max_cost=1, allow_unknown_cost=1)
            assert [type(outcome.error) for outcome in outcomes] == [ka.JobFailed] * len(prompts)
        assert len(gateway.submits) == 6


def test_refused_jobs_do_not_count_towards_max_cost(open_client: OpenClient, path: Path) -> None:
    with Gateway() as gateway:
        gateway.refused = ("0",)
        run = Runner(open_client, gateway, path)
        outcomes = run("map", make_requests("0", "1", "2"), name="films", max_cost=2, allow_unknown_cost=1)
        assert [type(outcome.error) for outcome in outcomes] == [ka.BadRequest, type(None), type(None)]


def test_paid_jobs_finish_after_cost_cap(
    run: Runner, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    run("map", make_requests("paid"), name="films")
    outcomes = run("map", make_requests("a", "b", "c", "paid", "d"), name="films", max_cost=2, concurrency=2)
    assert sorted(outcome.index for outcome in outcomes) == [0, 3]
    assert all(outcome.error is None for outcome in outcomes)
    assert gateway.submits == ["paid", "a"]
    assert caplog.text.count("max_cost could be exceeded") == 1


def test_expired_job_of_a_named_batch_is_not_polled_again(run: Runner, gateway: Gateway) -> None:
    gateway.forgets = True
    for _ in range(2):
        [outcome] = run("map", make_requests("x"), name="films")
        assert isinstance(outcome.error, ka.JobExpired)
        assert outcome.request_id == outcome.error.request_id
        request_count = len(gateway.requests)
        gateway.forgets = False
    assert len(gateway.requests) == request_count
    assert gateway.submits == ["x"]


def test_timed_out_job_is_an_outcome_with_its_handle(run: Runner, gateway: Gateway) -> None:
    gateway.hangs = True
    [mapped] = run("map", make_requests("x"))
    [resumed] = run("resume")
    for outcome in (mapped, resumed):
        assert isinstance(outcome.error, ka.WaitTimeout)
        assert outcome.error.job.request_id == outcome.request_id == mapped.request_id  # type: ignore[union-attr]
        assert outcome.error.job.model == "kling-2"  # type: ignore[union-attr]
    gateway.hangs = False
    [ended] = run("resume")
    assert (ended.error, ended.request_id) == (None, mapped.request_id)


def test_resume_finishes_jobs_and_reports_uncertain_submits(
    run: Runner, gateway: Gateway, path: Path, tmp_path: Path
) -> None:
    with Kling(base_url=gateway.base_url, api_key=gateway.api_key, journal=path) as kling:
        first, second = (kling.submit("kling-2", prompt=prompt) for prompt in ("one", "two"))
    with closing(Journal(path)) as journal:
        journal.record_destination(gateway.base_url, second.request_id, str(tmp_path / "own"))
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
    assert {file.name for file in (tmp_path / "given").iterdir()} == {f"kling-2-{first.request_id}.mp4"}
    assert {file.name for file in (tmp_path / "own").iterdir()} == {f"kling-2-{second.request_id}.mp4"}
    assert isinstance(outcomes[3].error, ka.SubmitUncertain)
    assert isinstance(outcomes[5].error, ka.JobExpired)
    assert len(gateway.submits) == 2
    assert [outcome.index for outcome in run("resume")] == [3]


def test_resume_without_a_journal_is_a_config_error(run: Runner) -> None:
    run.journal = None
    with pytest.raises(ka.ConfigError, match="has no journal"):
        run("resume")
    with pytest.raises(ka.ConfigError, match="has no journal"):
        run("map", make_requests("a"), name="films")
    assert len(run("map", make_requests("a"))) == 1


def test_entries_lists_the_journal(gateway: Gateway, path: Path) -> None:
    with Kling(base_url=gateway.base_url, api_key=gateway.api_key, journal=path) as kling:
        job = kling.submit("kling-2", prompt="one")
        assert [entry.request_id for entry in kling.entries()] == [job.request_id]

    async def main() -> list[ka.JournalEntry]:
        async with AsyncKling(base_url=gateway.base_url, journal=path) as kling:
            return await kling.entries()

    assert [entry.request_id for entry in anyio.run(main)] == [job.request_id]
    with Kling(journal=None) as kling, pytest.raises(ka.ConfigError, match="has no journal"):
        kling.entries()


def test_closing_waits_for_the_answer_of_a_submit(run: Runner, gateway: Gateway, path: Path) -> None:
    answer_later = threading.Timer(0.5, gateway.gate.set)

    def leave(_outcome: Outcome[Any]) -> bool:
        assert gateway.arrived.wait(20)
        answer_later.start()
        return True

    def requests() -> Iterator[dict[str, Any]]:
        yield {"model": "kling-2", "promt": "an outcome at once"}
        gateway.gate.clear()
        yield from make_requests("a", "b")

    run("map", requests(), concurrency=3, name="films", on_outcome=leave)
    assert not set(read_states(path).values()) & {"UNCERTAIN", "SUBMITTING"}
    assert len(run("map", make_requests("a", "b"), name="films")) == 2
    assert sorted(gateway.submits) == ["a", "b"]


def test_closing_does_not_wait_for_running_jobs(run: Runner, gateway: Gateway, path: Path) -> None:
    gateway.hangs = True
    run.clock = SystemClock()
    closed_at: list[float] = []

    def leave(outcome: Outcome[Any]) -> bool:
        wait_until(lambda: list(read_states(path).values()) == ["QUEUED"] * 2)
        closed_at.append(time.monotonic())
        return outcome.error is not None

    run("map", [*make_requests("a", "b"), {"model": "kling-22"}], on_outcome=leave)
    assert time.monotonic() - closed_at[0] < 5
    assert list(read_states(path).values()) == ["QUEUED"] * 2
    gateway.hangs, run.clock = False, SimulatedClock()
    assert [outcome.error for outcome in run("resume")] == [None, None]


def test_closing_interrupts_the_sleeps_of_running_jobs(run: Runner, gateway: Gateway, path: Path) -> None:
    gateway.limits = True
    run.clock = SystemClock()

    def close(outcome: Outcome[Any]) -> bool:
        wait_until(lambda: gateway.polls >= 1)
        return outcome.error is not None

    start = time.monotonic()
    run("map", [*make_requests("a"), {"model": "kling-22"}], on_outcome=close)
    # Each poll is answered with a rate limit of a minute.
    assert time.monotonic() - start < 20
    assert list(read_states(path).values()) == ["QUEUED"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancellation_leaves_an_unanswered_submit_uncertain(
    backend: str, gateway: Gateway, path: Path
) -> None:
    gateway.gate.clear()

    async def main() -> None:
        async with AsyncKling(base_url=gateway.base_url, api_key=gateway.api_key, journal=path) as kling:
            with anyio.fail_after(20):
                async with anyio.create_task_group() as group:

                    async def iterate() -> None:
                        async with aclosing(kling.map(make_requests("a", "b"), name="films")) as outcomes:
                            async for _ in outcomes:
                                pass

                    group.start_soon(iterate)
                    await anyio.to_thread.run_sync(gateway.arrived.wait)
                    group.cancel_scope.cancel()

    try:
        anyio.run(main, backend=backend)
    finally:
        gateway.gate.set()
    assert "UNCERTAIN" in read_states(path).values()
    assert "SUBMITTING" not in read_states(path).values()
