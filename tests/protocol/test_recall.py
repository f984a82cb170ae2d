"""What the journal knows of a job counts when the gateway no longer knows it, or knows it under another key only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import BLOCKED_TEXT, Fault, Faults, Sandbox

import kling_adapters as ka
from kling_adapters import Kling, ResultData
from kling_adapters.journal.entries import JournalEntry
from kling_adapters.protocol.recall import output_is_alive, read_end, read_result
from kling_adapters.testing import SimulatedClock
from tests.support.clients import OpenClient

HOUR = 3601.0
KEY_A, KEY_B = "SG_aaaaaaaaaaaaaaaa", "SG_bbbbbbbbbbbbbbbb"


def test_result_is_found_after_the_gateways_hour(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    with open_client(sandbox, journal=tmp_path / "journal") as kling:
        job = kling.submit("kling-2", prompt="x")
        first = job.wait()
        sandbox.advance(HOUR)
        again = kling.job(job.request_id)
        assert again.status().state == "COMPLETED"
        result = again.wait()
        assert (result.output, result.metrics.cost, result.model) == (
            first.output,
            first.metrics.cost,
            "kling-2",
        )
        [file] = result.save(tmp_path / "out")
        assert file.path.exists()
        assert [type(event) for event in kling.job(job.request_id).events()] == [ka.events.Completed]
        [entry] = kling.entries()
        assert (entry.state, len(entry.files), entry.save_to) == ("COMPLETED", 1, str(tmp_path / "out"))


def test_failure_is_found_after_the_gateways_hour(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    with open_client(sandbox, journal=tmp_path / "journal") as kling:
        job = kling.submit("kling-2", prompt=f"a {BLOCKED_TEXT} heron")
        with pytest.raises(ka.JobFailed) as first:
            job.wait()
        sandbox.advance(HOUR)
        with pytest.raises(ka.JobFailed) as again:
            kling.job(job.request_id).wait()
        assert again.value.message == first.value.message
        assert kling.job(job.request_id).status().state == "FAILED"


def test_job_without_a_result_expires(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    with open_client(sandbox, journal=tmp_path / "journal", history=False) as kling:
        job = kling.submit("kling-2", prompt="x")
        sandbox.advance(HOUR)
        with pytest.raises(ka.JobExpired):
            job.wait()
        [entry] = kling.entries()
        assert entry.state == "EXPIRED"


def test_submit_keeps_the_place_for_resume(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    with open_client(sandbox, journal=tmp_path / "journal") as kling:
        job = kling.submit("kling-2", prompt="x", save_to=tmp_path / "out")
        raw = kling.submit_raw("kling-2", {"prompt": "y"}, save_to=tmp_path / "out")
        job.wait()
        resumed = list(kling.resume())
        assert {outcome.request_id for outcome in resumed} == {job.request_id, raw.request_id}
        assert len(list((tmp_path / "out").iterdir())) == 2
        assert list(kling.resume()) == []


def test_submit_refuses_an_unusable_destination(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    before = sandbox.requests
    with open_client(sandbox, journal=tmp_path / "journal") as kling:
        for call in (kling.submit, kling.run, kling.run_sync):
            with pytest.raises(ka.StorageError, match=r"Nothing was sent\.$"):
                call("kling-2", prompt="x", save_to=tmp_path / "file" / "out")
        assert kling.entries() == []
    assert sandbox.requests == before


def test_save_that_failed_is_finished_by_resume(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "out"

    with open_client(sandbox, journal=tmp_path / "journal") as kling:
        result = kling.submit("kling-2", prompt="x").wait()
        sandbox.faults = Faults([Fault("500", path="/media/*")])
        with pytest.raises(ka.StorageError):
            result.save(folder)
        sandbox.faults = Faults()
        [entry] = kling.entries()
        assert (entry.save_to, entry.files) == (str(folder), ())
        [outcome] = list(kling.resume())
        assert outcome.error is None
        assert len(list(folder.iterdir())) == 1


def test_another_key_changes_nothing(tmp_path: Path) -> None:
    with Sandbox(api_keys=[KEY_A, KEY_B], timing="polls:1") as sandbox:

        def client(key: str) -> Kling:
            journal = tmp_path / "journal"
            return Kling(base_url=sandbox.base_url, api_key=key, journal=journal, clock=SimulatedClock())

        with client(KEY_A) as kling:
            job = kling.submit("kling-2", prompt="x")
            before = kling.entries()
        with client(KEY_B) as kling:
            [outcome] = kling.resume()
            asks: list[Any] = [kling.job(job.request_id).wait, kling.job(job.request_id).status]
            messages = [str(outcome.error)]
            for ask in asks:
                with pytest.raises(ka.ConfigError) as caught:
                    ask()
                messages.append(str(caught.value))
            assert isinstance(outcome.error, ka.ConfigError)
            for message in messages:
                assert f"Entry {before[0].id} of the journal was submitted with another key" in message
                assert before[0].key in message
                assert "The journal was not changed" in message
            assert kling.entries() == before
        with client(KEY_A) as kling:
            [outcome] = kling.resume()
            assert outcome.error is None
            assert kling.job(job.request_id).status().state == "COMPLETED"


def test_expired_job_is_found_in_the_history_and_stored(open_client: OpenClient, tmp_path: Path) -> None:
    with Sandbox(timing="latency:0.01") as sandbox:
        with open_client(sandbox, journal=tmp_path / "journal") as kling:
            jobs = [kling.submit("kling-2", prompt=f"{n}", save_to=tmp_path / "out") for n in range(3)]
            blocked = kling.submit("kling-2", prompt=BLOCKED_TEXT)
        sandbox.advance(2 * 86400.0)
        with open_client(sandbox, journal=tmp_path / "journal") as kling:
            outcomes = {outcome.request_id: outcome for outcome in kling.resume()}
            entries = {entry.request_id: entry for entry in kling.entries()}
        for job in jobs:
            outcome, entry = outcomes[job.request_id], entries[job.request_id]
            assert outcome.error is None
            assert outcome.error is None
            assert outcome.result.saved[0].path.exists()
            assert (entry.state, entry.cost) == ("COMPLETED", sandbox.billed[job.request_id])
        assert isinstance(outcomes[blocked.request_id].error, ka.JobFailed)
        assert entries[blocked.request_id].state == "FAILED"


def test_expired_job_that_the_history_lists_as_running_is_not_given_up(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    with open_client(sandbox, journal=tmp_path / "journal") as kling:
        job = kling.submit("kling-2", prompt="x")
        sandbox.advance(HOUR)
        with pytest.raises(ka.WaitTimeout, match="lists it as running"):
            job.wait(60)
        assert job.status().state == "PROCESSING"
        assert kling.entries()[0].state == "QUEUED"


@pytest.mark.parametrize("kind", ["404", "500", "garbage", "missing", "foreign"])
def test_job_expires_until_the_history_has_it(open_client: OpenClient, tmp_path: Path, kind: str) -> None:
    with Sandbox() as sandbox, open_client(sandbox, journal=tmp_path / "journal") as kling:
        job = kling.submit("kling-2", prompt=BLOCKED_TEXT)
        sandbox.advance(HOUR)
        sandbox.faults = Faults([Fault(kind, path="/inference-request/request-history*")])
        with pytest.raises(ka.JobExpired):
            job.wait()
        assert kling.entries()[0].state == "EXPIRED"
        # Only the page of all accounts lists it, which the row of the job itself must confirm.
        assert [type(outcome.error) for outcome in kling.resume()] == [ka.JobExpired] * (kind == "foreign")
        sandbox.faults = Faults()
        [outcome] = kling.resume()
        assert isinstance(outcome.error, ka.JobFailed)
        assert (kling.entries()[0].state, list(kling.resume())) == ("FAILED", [])


@pytest.mark.parametrize("is_named", [True, False])
def test_expired_job_that_is_listed_late_is_stored_by_a_later_call(
    open_client: OpenClient, tmp_path: Path, is_named: bool
) -> None:
    requests, out = [{"model": "kling-2", "prompt": "x"}], tmp_path / "out"
    with Sandbox(timing="latency:100", history_delay=3 * 86400.0) as sandbox:

        def finish(kling: Any) -> list[Any]:
            return list(kling.map(requests, name="films", save_to=out) if is_named else kling.resume())

        with open_client(sandbox, journal=tmp_path / "journal") as kling:
            [outcome] = kling.map(requests, name="films", save_to=out)
            assert isinstance(outcome.error, ka.WaitTimeout)
            sandbox.advance(86400.0)
            [outcome] = finish(kling)
            assert isinstance(outcome.error, ka.JobExpired)
            # Until it is listed it is not looked for at the gateway again.
            polls = len(list_polls(sandbox))
            assert [type(outcome.error) for outcome in finish(kling)] == [ka.JobExpired] * is_named
            assert len(list_polls(sandbox)) == polls
            sandbox.advance(3 * 86400.0)
            [outcome] = finish(kling)
            assert outcome.error is None
            assert outcome.result.saved[0].path.exists()
            assert (kling.entries()[0].state, len(sandbox.submits)) == ("COMPLETED", 1)


def list_polls(sandbox: Sandbox) -> list[str]:
    return [request.path for request in sandbox.requests if request.path.startswith("/v2/requests/")]


def test_reconcile_reopens_expired_jobs_that_the_history_has(open_client: OpenClient, tmp_path: Path) -> None:
    with Sandbox() as sandbox, open_client(sandbox, journal=tmp_path / "journal") as kling:
        job = kling.submit("kling-2", prompt="x", save_to=tmp_path / "out")
        sandbox.advance(HOUR)
        sandbox.faults = Faults([Fault("missing", path="/inference-request/request-history*")])
        with pytest.raises(ka.JobExpired):
            job.wait()
        assert kling.reconcile() == []
        sandbox.faults = Faults()
        [entry] = kling.reconcile()
        assert (entry.request_id, entry.state) == (job.request_id, "QUEUED")
        [outcome] = kling.resume()
        assert outcome.result.saved[0].path.exists()
        assert kling.reconcile() == []


def test_wait_asks_again_for_an_expired_job(open_client: OpenClient, tmp_path: Path) -> None:
    with Sandbox() as sandbox, open_client(sandbox, journal=tmp_path / "journal") as kling:
        job = kling.submit("kling-2", prompt="x")
        sandbox.advance(HOUR)
        sandbox.faults = Faults([Fault("500", path="/inference-request/request-history*")])
        with pytest.raises(ka.JobExpired):
            job.wait()
        sandbox.faults = Faults()
        [file] = kling.job(job.request_id).wait().save(tmp_path / "out")
        assert file.path.exists()
        assert (kling.entries()[0].state, len(kling.entries()[0].files)) == ("COMPLETED", 1)


URL = "https://files.example.com/a.mp4"
BODY = {"status": "COMPLETED", "request_id": "job", "output": URL}
ENTRY = JournalEntry(
    id=1, gateway="https://api.example.com", model="kling-2", params={}, key="", save_to=None, tag=None,
    request_id="job", state="COMPLETED", reason=None, result=BODY, cost=None, files=(), created=1e9, updated=1e9,
)  # fmt: skip


def test_result_is_read_from_an_entry() -> None:
    for result in (read_result(ENTRY, "video"), read_end(ENTRY, "video")):
        assert isinstance(result, ResultData)
        assert (result.request_id, result.model, result.output) == ("job", "kling-2", URL)
        assert [file.url for file in result.artifacts] == [URL]


@pytest.mark.parametrize(
    "members",
    [
        {"state": "QUEUED"},
        {"result": None},
        {"result": {**BODY, "status": "FAILED"}},
        {"request_id": None, "result": {"status": "COMPLETED", "output": URL}},
    ],
)
def test_entry_without_a_result_has_none(members: dict[str, Any]) -> None:
    assert read_end(replace(ENTRY, **members)) is None


def test_output_is_kept_for_seven_days() -> None:
    assert output_is_alive(ENTRY, 1e9 + 7 * 86400 - 1)
    assert not output_is_alive(ENTRY, 1e9 + 7 * 86400)
