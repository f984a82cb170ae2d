"""The request history as the official client reads it, against the sandbox."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from kling_sandbox import BLOCKED_TEXT, Fault, Faults, Sandbox
from segmind import SegmindClient
from segmind.exceptions import SegmindError
from segmind.generations import Generations

from .conftest import Connect

OTHER_KEY = "SG_0000000000000002"
# The package has an object of the name of the module.
GENERATIONS = sys.modules[Generations.__module__]
PATH = "/inference-request/request-history"


@pytest.fixture
def account(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Sandbox, SegmindClient]]:
    """A sandbox of two accounts, and the client of the first, whose history is at the sandbox."""
    with Sandbox(api_keys=("SG_0000000000000001", OTHER_KEY)) as sandbox:
        # The client has the address of the real history built in.
        monkeypatch.setattr(GENERATIONS, "REQUEST_HISTORY_URL", sandbox.base_url + PATH)
        yield sandbox, connect(sandbox)


def rows(client: SegmindClient, **filters: Any) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = client.generations.history(**filters)["generations"]
    return listed


def ids(client: SegmindClient, **filters: Any) -> list[str]:
    return [row["request_id"] for row in rows(client, **filters)]


def day(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%d")


def test_every_call_of_the_history_is_tested() -> None:
    calls = {name for name in vars(Generations) if not name.startswith("_")}
    # `recent` and `list` are about outputs only, at addresses that are built in.
    assert calls == {"recent", "list", "history", "get"}


def test_rows_have_cost_inputs_and_outcome(account: tuple[Sandbox, SegmindClient]) -> None:
    sandbox, client = account
    done = client.submit_async("kling-2", prompt="x")
    output = done.wait()["output"]
    failed = client.submit_async("kling-2", prompt=BLOCKED_TEXT)
    by_id = {row["request_id"]: row for row in rows(client)}
    row = by_id[done.request_id]
    assert (row["model_name"], row["model_status"]) == ("kling-2", "COMPLETED")
    assert row["credits_deduction"] == sandbox.billed[done.request_id]
    assert row["request_body"] == {"prompt": "x"}
    assert row["generation_url"] == output
    assert httpx.get(row["generation_url"]).status_code == 200
    assert "error" not in row
    assert by_id[failed.request_id]["model_status"] == "FAILED"
    assert by_id[failed.request_id]["credits_deduction"] == 0
    assert "blocked" in by_id[failed.request_id]["error"]


def test_file_of_a_row_exists_although_nobody_polled(account: tuple[Sandbox, SegmindClient]) -> None:
    _, client = account
    job = client.submit_async("kling-2", prompt="x")
    row = client.generations.get(job.request_id)
    assert row == rows(client)[0]
    assert httpx.get(row["generation_url"]).headers["content-type"] == "video/mp4"


def test_in_flight_requests_are_listed(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(timing="polls:9") as sandbox:
        monkeypatch.setattr(GENERATIONS, "REQUEST_HISTORY_URL", sandbox.base_url + PATH)
        client = connect(sandbox)
        job = client.submit_async("kling-2", prompt="x")
        [row] = rows(client, status="PENDING")
        assert row["request_id"] == job.request_id
        assert (row["credits_deduction"], row["generation_url"], row["latency_ms"]) == (None, None, None)
        assert rows(client, status="COMPLETED") == []


def test_filters_and_order(account: tuple[Sandbox, SegmindClient]) -> None:
    _, client = account
    jobs = [
        client.submit_async(slug, **params).request_id
        for slug, params in (
            ("kling-2", {"prompt": "x", "duration": 10}),
            ("kling-2.5-turbo", {"prompt": "x"}),
            ("kling-2", {"prompt": BLOCKED_TEXT}),
        )
    ]
    assert ids(client) == jobs[::-1]
    assert ids(client, sort_order="asc") == jobs
    assert ids(client, model_name="2.5") == [jobs[1]]
    assert set(ids(client, model_name="kling-2")) == set(jobs)
    assert ids(client, status="FAILED") == [jobs[2]]
    assert ids(client, sort_by="credits_deduction")[0] == jobs[0]
    assert ids(client, sort_by="model_name", sort_order="desc")[0] == jobs[1]
    assert ids(client, from_date=day(0), to_date=day(0)) == jobs[::-1]
    assert ids(client, from_date=day(-9), to_date=day(-1)) == []


def test_pages(account: tuple[Sandbox, SegmindClient]) -> None:
    _, client = account
    jobs = [client.submit_async("kling-2", prompt="x").request_id for _ in range(5)][::-1]
    first = client.generations.history(per_page=2)
    assert [row["request_id"] for row in first["generations"]] == jobs[:2]
    page = {"page": 1, "per_page": 2, "total": 5, "total_pages": 3, "has_next": True, "has_prev": False}
    assert first["pagination"] == page
    last = client.generations.history(page=3, per_page=2)
    assert [row["request_id"] for row in last["generations"]] == jobs[4:]
    assert (last["pagination"]["has_next"], last["pagination"]["has_prev"]) == (False, True)
    assert ids(client, page=4, per_page=2) == []


@pytest.mark.parametrize(
    ("filters", "word"),
    [
        ({"per_page": 101}, "per_page"),
        ({"page": 0}, "page"),
        ({"from_date": "1.2.2026"}, "from_date"),
        ({"from_date": day(-31), "to_date": day(0)}, "31 days"),
        ({"from_date": day(0), "to_date": day(-1)}, "31 days"),
        ({"status": "DONE"}, "status"),
        ({"sort_by": "price"}, "sort_by"),
        ({"sort_order": "up"}, "sort_order"),
    ],
)
def test_bad_filters_are_400(
    account: tuple[Sandbox, SegmindClient], filters: dict[str, Any], word: str
) -> None:
    _, client = account
    with pytest.raises(SegmindError, match=word) as caught:
        client.generations.history(**filters)
    assert caught.value.status == 400


def test_longest_window_is_accepted(account: tuple[Sandbox, SegmindClient]) -> None:
    _, client = account
    job = client.submit_async("kling-2", prompt="x")
    assert ids(client, from_date=day(-30), to_date=day(0)) == [job.request_id]


def test_request_of_any_age_is_found(account: tuple[Sandbox, SegmindClient]) -> None:
    sandbox, client = account
    job = client.submit_async("kling-2", prompt="x")
    job.wait()
    sandbox.advance(40 * 86400)
    with pytest.raises(SegmindError):
        job.status()
    assert client.generations.get(job.request_id)["model_status"] == "COMPLETED"


def test_requests_of_other_accounts_are_not_found(
    account: tuple[Sandbox, SegmindClient], connect: Connect
) -> None:
    sandbox, client = account
    job = connect(sandbox, OTHER_KEY).submit_async("kling-2", prompt="x")
    assert rows(client) == []
    with pytest.raises(SegmindError) as caught:
        client.generations.get(job.request_id)
    assert caught.value.status == 404
    sandbox.faults = Faults([Fault("foreign")])
    assert ids(client) == [job.request_id]


def test_rows_are_late(account: tuple[Sandbox, SegmindClient]) -> None:
    sandbox, client = account
    sandbox.delay_history([0, 9000])
    jobs = [client.submit_async("kling-2", prompt="x").request_id for _ in range(3)]
    assert ids(client) == [jobs[2], jobs[0]]
    sandbox.advance(8000)
    sandbox.delay_history(90_000, jobs[2])
    assert ids(client) == [jobs[0]]
    sandbox.advance(1000)
    assert ids(client) == [jobs[1], jobs[0]]
    with pytest.raises(SegmindError):
        client.generations.get(jobs[2])
    sandbox.delay_history(0)
    assert ids(client) == jobs[::-1]


def test_rows_are_missing_for_a_while_or_twins(account: tuple[Sandbox, SegmindClient]) -> None:
    sandbox, client = account
    job = client.submit_async("kling-2", prompt="x").request_id
    sandbox.faults = Faults([Fault("missing", burst=2, nth=1), Fault("twins")])
    assert [ids(client) for _ in range(3)] == [[], [], [job, job]]


def test_completed_job_is_misreported_as_failed(account: tuple[Sandbox, SegmindClient]) -> None:
    sandbox, client = account
    job = client.submit_async("kling-2", prompt="x").request_id
    sandbox.faults = Faults([Fault("misreport", burst=2, nth=1)])
    for row in (rows(client)[0], client.generations.get(job)):
        assert (row["request_id"], row["model_status"], row["generation_url"]) == (job, "FAILED", None)
    assert rows(client)[0]["model_status"] == "COMPLETED"


def test_defaults_are_added_to_bodies(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(history_defaults=True) as sandbox:
        monkeypatch.setattr(GENERATIONS, "REQUEST_HISTORY_URL", sandbox.base_url + PATH)
        client = connect(sandbox)
        client.submit_async("kling-2", prompt="x", duration="10")
        [row] = rows(client)
        assert row["request_body"]["prompt"] == "x"
        assert row["request_body"]["duration"] == 10
        assert "cfg_scale" in row["request_body"]


def test_synchronous_calls_are_listed(account: tuple[Sandbox, SegmindClient]) -> None:
    _, client = account
    answer = client.run_sync("kling-2", prompt="x")
    assert ids(client) == [answer.headers["x-request-id"]]


@pytest.mark.parametrize("status", [401, 429, 502])
def test_faults_strike_the_history(account: tuple[Sandbox, SegmindClient], status: int) -> None:
    sandbox, client = account
    sandbox.faults = Faults([Fault(str(status), path="/inference-request/*")])
    with pytest.raises(SegmindError) as caught:
        client.generations.history()
    assert caught.value.status == status
