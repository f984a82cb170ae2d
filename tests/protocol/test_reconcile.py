"""An uncertain submit is settled by the request history, on both clients against the sandbox."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Fault, Faults, Sandbox

import kling_adapters as ka
from kling_adapters.journal.journal import Journal
from kling_adapters.protocol import open_entries
from kling_adapters.testing import SimulatedClock
from tests.support.clients import OpenClient

HISTORY = "/inference-request/request-history*"
LOST = Fault("reset-late", method="POST", path="/v2/*")
KEYS = ("SG_aaaaaaaaaaaaaaaa", "SG_bbbbbbbbbbbbbbbb")


class SandboxClock(SimulatedClock):
    """A simulated clock that the sandbox follows."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self._sandbox = sandbox

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._sandbox.advance(seconds)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(timing="polls:2", api_keys=KEYS) as running:
        yield running


def count_history(sandbox: Sandbox) -> int:
    return sum(request.path.startswith(HISTORY.rstrip("*")) for request in sandbox.requests)


def lose_submits(sandbox: Sandbox, *others: Fault, **fields: Any) -> None:
    sandbox.faults = Faults([Fault("reset-late", method="POST", path="/v2/*", **fields), *others])


@pytest.mark.parametrize("delay", [0, 3, 90])
def test_lost_submit_is_found_in_the_history(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path, delay: float
) -> None:
    lose_submits(sandbox)
    sandbox.delay_history(delay)
    clock = SandboxClock(sandbox)
    with open_client(sandbox, journal=tmp_path / "journal", clock=clock) as kling:
        result = kling.run("kling-2", prompt="a heron", save_to=tmp_path / "out")
        [entry] = kling.entries()
    [submit] = sandbox.submits
    assert result.request_id == entry.request_id == submit.request_id
    assert (entry.state, entry.reason, len(entry.files)) == ("COMPLETED", None, 1)
    assert result.saved[0].path.exists()


def test_lost_submit_with_local_media_and_added_defaults_is_found(
    open_client: OpenClient, tmp_path: Path
) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    with (
        Sandbox(timing="polls:2", history_defaults=True, faults=[LOST]) as sandbox,
        open_client(sandbox, journal=tmp_path / "journal") as kling,
    ):
        job = kling.submit("kling-2", prompt="a heron", start_image=image, duration=10)
        assert job.request_id == sandbox.submits[0].request_id


def test_job_that_is_not_listed_stays_uncertain_within_bounds(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    lose_submits(sandbox)
    sandbox.delay_history(3600)
    clock = SandboxClock(sandbox)
    with open_client(sandbox, journal=tmp_path / "journal", clock=clock) as kling:
        with pytest.raises(ka.SubmitUncertain) as caught:
            kling.submit("kling-2", prompt="a heron")
        [entry] = kling.entries()
        assert (caught.value.entry, entry.state, entry.request_id) == (entry.id, "UNCERTAIN", None)
        assert entry.looked is not None
        assert (entry.looked.rows, entry.looked.problem) == (0, None)
        assert sum(clock.slept) < 120
        assert count_history(sandbox) == 6
        # The row is late, not lost: the next resume finds it.
        sandbox.delay_history(0)
        [outcome] = kling.resume(save_to=tmp_path / "out")
        assert (outcome.error, outcome.request_id) == (None, sandbox.submits[0].request_id)
    assert len(sandbox.submits) == 1


def test_job_that_another_process_finds_meanwhile_is_followed(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    class ClockOfTwo(SandboxClock):
        """A clock of two clients, the other of which settles the submit after the first pause."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            with closing(Journal(tmp_path / "journal")) as journal:
                if journal.find_unanswered(sandbox.base_url):
                    assert journal.claim(1, str(sandbox.submits[0].request_id))

    lose_submits(sandbox)
    sandbox.delay_history(3600)
    with open_client(sandbox, journal=tmp_path / "journal", clock=ClockOfTwo(sandbox)) as kling:
        result = kling.run("kling-2", prompt="a heron")
    assert result.request_id == sandbox.submits[0].request_id
    assert len(sandbox.submits) == 1


def test_looks_end_at_the_deadline(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    lose_submits(sandbox)
    sandbox.delay_history(3600)
    clock = SandboxClock(sandbox)
    with open_client(sandbox, journal=tmp_path / "journal", clock=clock) as kling:
        with pytest.raises(ka.SubmitUncertain):
            kling.submit("kling-2", prompt="a heron", timeout=10)
        assert sum(clock.slept) <= 10


def test_twins_get_one_job_each(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    lose_submits(sandbox)
    with open_client(sandbox, journal=tmp_path / "journal", clock=SandboxClock(sandbox)) as kling:
        ids = [kling.submit("kling-2", prompt="a heron").request_id for _ in range(3)]
    assert ids == [submit.request_id for submit in sandbox.submits]


def test_batch_finds_the_jobs_of_lost_submits(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    lose_submits(sandbox, rate=0.4)
    sandbox.delay_history([0, 3, 20, 3600])
    requests = [{"model": "kling-2", "prompt": f"heron {number % 7}"} for number in range(20)]
    options = {"journal": tmp_path / "journal", "clock": SandboxClock(sandbox)}
    with open_client(sandbox, **options) as kling:
        outcomes = list(kling.map(requests, name="herons", save_to=tmp_path / "out"))
        assert len(outcomes) == 20
        uncertain = [outcome for outcome in outcomes if isinstance(outcome.error, ka.SubmitUncertain)]
        assert len(uncertain) < 5
        assert [outcome.error for outcome in outcomes if outcome not in uncertain] == [None] * (
            20 - len(uncertain)
        )
        sandbox.delay_history(0)
        again = list(kling.map(requests, name="herons", save_to=tmp_path / "out"))
        assert [outcome.error for outcome in again] == [None] * 20
    assert len(sandbox.submits) == 20
    assert {outcome.request_id for outcome in again} == {submit.request_id for submit in sandbox.submits}


@pytest.mark.parametrize("kind", ["404", "401", "403"])
def test_refused_history_costs_one_request(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path, kind: str
) -> None:
    lose_submits(sandbox, Fault(kind, path=HISTORY))
    with open_client(sandbox, journal=tmp_path / "journal") as kling:
        with pytest.raises(ka.SubmitUncertain, match="not repeated"):
            kling.submit("kling-2", prompt="a heron")
        assert kling.clock.slept == []
        [entry] = kling.entries()
        assert entry.looked is not None
        assert kind in str(entry.looked.problem)
    assert count_history(sandbox) == 1


@pytest.mark.parametrize("kind", ["500", "html", "garbage", "reset-early", "truncate", "429", "missing"])
def test_broken_history_is_no_worse_than_none(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path, kind: str
) -> None:
    lose_submits(sandbox, Fault(kind, path=HISTORY))
    clock = SandboxClock(sandbox)
    with open_client(sandbox, journal=tmp_path / "journal", clock=clock) as kling:
        with pytest.raises(ka.SubmitUncertain, match="not repeated"):
            kling.submit("kling-2", prompt="a heron")
        assert sum(clock.slept) < 200
        assert kling.entries()[0].state == "UNCERTAIN"
    assert len(sandbox.submits) == 1


def test_history_that_is_off_is_not_asked(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    lose_submits(sandbox)
    with open_client(sandbox, journal=tmp_path / "journal", history=False) as kling:
        with pytest.raises(ka.SubmitUncertain):
            kling.submit("kling-2", prompt="a heron")
        [outcome] = kling.resume()
        assert isinstance(outcome.error, ka.SubmitUncertain)
    assert count_history(sandbox) == 0


def test_job_of_another_account_is_never_claimed(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    # The list has an equal job of another account; the account's own job is not listed yet.
    with open_client(sandbox, api_key=KEYS[1], journal=None) as stranger:
        stranger.submit("kling-2", prompt="a heron")
    lose_submits(sandbox, Fault("foreign", path=HISTORY.rstrip("*")))
    sandbox.delay_history(3600)
    sandbox.delay_history(0, sandbox.submits[0].request_id)
    with open_client(sandbox, journal=tmp_path / "journal", clock=SandboxClock(sandbox)) as kling:
        with pytest.raises(ka.SubmitUncertain):
            kling.submit("kling-2", prompt="a heron")
        assert kling.entries()[0].request_id is None


def test_submit_of_another_key_is_left_to_its_account(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    lose_submits(sandbox)
    with (
        open_client(sandbox, journal=tmp_path / "journal", history=False) as kling,
        pytest.raises(ka.SubmitUncertain),
    ):
        kling.submit("kling-2", prompt="a heron")
    with open_client(sandbox, api_key=KEYS[1], journal=tmp_path / "journal") as stranger:
        [outcome] = stranger.resume()
        assert isinstance(outcome.error, ka.SubmitUncertain)
        assert "another API key" in str(stranger.entries()[0].looked.problem)
    assert count_history(sandbox) == 0


def test_lost_direct_run_is_found_in_the_history(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.faults = Faults([Fault("reset-late", method="POST", path="/v1/*")])
    clock = SandboxClock(sandbox)
    with open_client(sandbox, journal=tmp_path / "journal", clock=clock) as kling:
        result = kling.run_direct("kling-2", prompt="a heron", save_to=tmp_path / "out")
        [entry] = kling.entries()
    [submit] = sandbox.submits
    assert result.request_id == entry.request_id == submit.request_id
    assert (entry.state, len(entry.files)) == ("COMPLETED", 1)


def test_submit_that_is_never_listed_is_repeated_once_if_allowed(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    # The connection is cut before the gateway reads the submit, which starts nothing.
    sandbox.faults = Faults([Fault("reset-early", method="POST", path="/v2/*", nth=1)])
    clock = SandboxClock(sandbox)
    options = {"journal": tmp_path / "journal", "clock": clock, "resubmit_after": 300}
    with open_client(sandbox, **options) as kling:
        job = kling.submit("kling-2", prompt="a heron")
        first, second = kling.entries()
    assert 300 <= sum(clock.slept) < 320
    assert (first.state, first.request_id) == ("REFUSED", None)
    assert "has not listed its job within 300 s" in str(first.reason)
    assert (second.request_id, second.state) == (job.request_id, "QUEUED")
    assert len(sandbox.billed) == 1


def test_job_that_is_listed_before_the_repetition_is_taken(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    lose_submits(sandbox)
    sandbox.delay_history(290)
    options = {"journal": tmp_path / "journal", "clock": SandboxClock(sandbox), "resubmit_after": 300}
    with open_client(sandbox, **options) as kling:
        job = kling.submit("kling-2", prompt="a heron")
        [entry] = kling.entries()
    assert entry.request_id == job.request_id == sandbox.submits[0].request_id
    assert len(sandbox.submits) == 1


def test_job_that_is_listed_after_the_repetition_is_paid_twice(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The risk of `resubmit_after`, which `usage` shows."""
    lose_submits(sandbox, nth=1)
    sandbox.delay_history(400)
    options = {"journal": tmp_path / "journal", "clock": SandboxClock(sandbox), "resubmit_after": 300}
    with open_client(sandbox, **options) as kling:
        job = kling.submit("kling-2", prompt="a heron")
        first, second = sandbox.submits
        assert set(sandbox.billed) == {first.request_id, second.request_id}
        assert job.request_id == second.request_id
        sandbox.advance(400)
        assert list(kling.reconcile()) == []
        assert [entry.state for entry in kling.entries()] == ["REFUSED", "QUEUED"]
        assert [charge.is_recorded for charge in kling.usage(0.0).charges].count(False) == 1


@pytest.mark.parametrize("nth", [1, 3, 6])
@pytest.mark.parametrize("kind", ["500", "404", "garbage"])
def test_submit_is_not_repeated_if_the_history_was_ever_unreadable(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path, nth: int, kind: str
) -> None:
    early = Fault("reset-early", method="POST", path="/v2/*")
    sandbox.faults = Faults([early, Fault(kind, path=HISTORY, nth=nth, burst=9)])
    options = {"journal": tmp_path / "journal", "clock": SandboxClock(sandbox), "resubmit_after": 300}
    with open_client(sandbox, **options) as kling:
        with pytest.raises(ka.SubmitUncertain):
            kling.submit("kling-2", prompt="a heron")
        [entry] = kling.entries()
    assert entry.state == "UNCERTAIN"
    assert len(sandbox.billed) == 0


def test_submit_is_not_repeated_beside_a_request_that_may_be_its_job(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    with open_client(sandbox, journal=None) as stranger:
        stranger.submit("kling-2", prompt="a heron, as a gateway would never change it")
    sandbox.faults = Faults([Fault("reset-early", method="POST", path="/v2/*")])
    options = {"journal": tmp_path / "journal", "clock": SandboxClock(sandbox), "resubmit_after": 300}
    with open_client(sandbox, **options) as kling:
        with pytest.raises(ka.SubmitUncertain):
            kling.submit("kling-2", prompt="a heron")
        assert [entry.state for entry in kling.entries()] == ["UNCERTAIN"]
    assert len(sandbox.billed) == 1


def test_repeated_submit_that_is_lost_too_is_not_repeated_again(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.faults = Faults([Fault("reset-early", method="POST", path="/v2/*")])
    options = {"journal": tmp_path / "journal", "clock": SandboxClock(sandbox), "resubmit_after": 60}
    with open_client(sandbox, **options) as kling:
        with pytest.raises(ka.SubmitUncertain) as caught:
            kling.submit("kling-2", prompt="a heron")
        first, second = kling.entries()
    assert (first.state, second.state, caught.value.entry) == ("REFUSED", "UNCERTAIN", second.id)
    assert len([request for request in sandbox.requests if request.method == "POST"]) == 2


def test_repeated_submit_that_is_lost_is_found_in_the_history(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    early, late = (
        Fault(kind, method="POST", path="/v2/*", nth=number)
        for number, kind in enumerate(("reset-early", "reset-late"), start=1)
    )
    sandbox.faults = Faults([early, late])
    options = {"journal": tmp_path / "journal", "clock": SandboxClock(sandbox), "resubmit_after": 60}
    with open_client(sandbox, **options) as kling:
        job = kling.submit("kling-2", prompt="a heron")
    assert sandbox.submits[-1].request_id == job.request_id
    assert len(sandbox.billed) == 1


def test_row_of_an_equal_submit_in_flight_is_left_to_it(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    with open_client(sandbox, journal=None) as kling:
        request_id = kling.submit("kling-2", prompt="a heron").request_id
    with closing(Journal(path)) as journal, open_client(sandbox, journal=path) as kling:
        lost, in_flight = (
            journal.intend(sandbox.base_url, "kling-2", {"prompt": "a heron"}, sandbox.api_key)
            for _ in range(2)
        )
        journal.update(lost, state="UNCERTAIN", reason="cut")
        assert [entry.state for entry in kling.reconcile()] == ["UNCERTAIN"]
        journal.update(in_flight, state="QUEUED", request_id=request_id)
        assert [entry.state for entry in kling.reconcile()] == ["UNCERTAIN"]
        # The submit in flight has another job, so the row is free.
        journal.update(in_flight, request_id="another-job")
        assert [entry.request_id for entry in kling.reconcile()] == [request_id]


def test_older_equal_request_is_not_taken(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with open_client(sandbox, journal=None) as kling:
        kling.submit("kling-2", prompt="a heron")
    with closing(Journal(path)) as journal, open_client(sandbox, journal=path) as kling:
        lost = journal.intend(sandbox.base_url, "kling-2", {"prompt": "a heron"}, sandbox.api_key)
        journal.update(lost, state="UNCERTAIN", reason="cut")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE jobs SET created = created + 900, updated = updated + 900")
            connection.commit()
        assert [entry.state for entry in kling.reconcile()] == ["UNCERTAIN"]


def learn_durations(kling: Any) -> None:
    """Run jobs, so that the first poll of the next one leaves time for something else."""
    for _ in range(12):
        kling.run("kling-2", prompt="a lighthouse")


@pytest.mark.parametrize("recent", [0.0, 300.0])
def test_first_pause_of_a_client_settles_submits_of_earlier_ones(
    open_client: OpenClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recent: float
) -> None:
    monkeypatch.setattr(open_entries, "_RECENT", recent)
    with Sandbox(timing="latency:0.1") as sandbox:
        options: dict[str, Any] = {"journal": tmp_path / "journal", "clock": SandboxClock(sandbox)}
        with open_client(sandbox, **options) as kling:
            learn_durations(kling)
            lose_submits(sandbox, Fault("404", path=HISTORY))
            with pytest.raises(ka.SubmitUncertain):
                kling.submit("kling-2", prompt="a heron")
            sandbox.faults = Faults()
        lost, before = sandbox.submits[-1].request_id, count_history(sandbox)
        with open_client(sandbox, **options) as kling:
            for _ in range(2):
                kling.run("kling-2", prompt="a lighthouse")
            [entry] = [entry for entry in kling.entries() if entry.params["prompt"] == "a heron"]
        if recent:
            # Its own call may still look for its job.
            assert (entry.state, count_history(sandbox)) == ("UNCERTAIN", before)
        else:
            assert (entry.state, entry.request_id) == ("QUEUED", lost)
            assert count_history(sandbox) == before + 2


@pytest.mark.parametrize("kind", ["500", "401"])
def test_pause_is_not_longer_because_of_the_history(
    open_client: OpenClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(open_entries, "_RECENT", 0.0)
    with Sandbox(timing="latency:0.1") as sandbox:
        options: dict[str, Any] = {"journal": tmp_path / "journal", "clock": SandboxClock(sandbox)}
        with open_client(sandbox, **options) as kling:
            learn_durations(kling)
            lose_submits(sandbox, Fault("404", path=HISTORY))
            with pytest.raises(ka.SubmitUncertain):
                kling.submit("kling-2", prompt="a heron")
            sandbox.faults = Faults([Fault(kind, path=HISTORY)])
        with open_client(sandbox, **options) as kling:
            start, before = options["clock"].now(), count_history(sandbox)
            kling.run("kling-2", prompt="a lighthouse")
            assert options["clock"].now() - start < 60
            assert 0 < count_history(sandbox) - before < 6
