"""Pools of keys: which key a request has, and which refusals a pool learns of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kling_adapters import api_errors, errors, fingerprint_key
from kling_adapters.journal.journal import Journal
from kling_adapters.protocol.keys import check_key
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.submit import submit
from kling_adapters.protocol.wait import query_credits, query_status
from tests.protocol.conftest import (
    ACCEPTED,
    BODY,
    GATEWAY,
    KEY,
    InvalidAuth,
    make_answer,
    make_state,
    read_row,
)
from tests.support.scripted_flow import Key, run


class RenewedKey(Key):
    """An Auth with another key from its refusal number `number` on."""

    def __init__(self, number: int) -> None:
        self._remaining = number

    def api_key(self) -> str:
        return "SG_renewed" if self._remaining <= 0 else KEY

    def refused(self, key: str, status: int, seconds: float | None) -> bool:
        self._remaining -= 1
        return self._remaining <= 0


@pytest.mark.parametrize("number", [1, 2])
def test_submit_waits_only_for_a_key_that_has_no_successor(session: Session, number: int) -> None:
    limit = make_answer(429, {"retry-after": "100"})
    session.auth = RenewedKey(number)
    flow_result = run(submit(session, "kling-2", BODY), [*[limit] * number, ACCEPTED])
    assert [request.key for request in flow_result.requests] == [*[KEY] * number, "SG_renewed"]
    assert flow_result.seconds == pytest.approx(100 * (number - 1), abs=15)
    assert read_row(session) == ("QUEUED", "job", fingerprint_key("SG_renewed"))


@pytest.mark.parametrize(
    ("status", "keys"), [(401, [KEY, "SG_renewed", "SG_renewed"]), (403, [KEY]), (410, [KEY])]
)
def test_query_tries_each_invalid_key_once_more(status: int, keys: list[str]) -> None:
    auth = RenewedKey(1)
    flow_result = run(query_credits(Session(GATEWAY, lambda: auth)), [make_answer(status)] * 9)
    assert isinstance(flow_result.error, api_errors.ApiError)
    assert [request.key for request in flow_result.requests] == keys


class Pool:
    """Keys that take turns: one that is refused goes to the end."""

    def __init__(self, *ring: str, has_another: bool = True) -> None:
        self.ring = list(ring)
        self.jobs: dict[str, str] = {}
        self.reports: list[tuple[Any, ...]] = []
        self.has_another = has_another

    def api_key(self) -> str:
        return self.ring[0]

    def keys(self) -> list[str]:
        return sorted(self.ring)

    def key_of(self, request_id: str) -> str | None:
        assert isinstance(request_id, str)
        return self.jobs.get(request_id)

    def accepted(self, key: str, request_id: str) -> None:
        self.reports.append(("accepted", key, request_id))

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        self.reports.append(("refused", key, status, retry_after))
        self.ring.append(self.ring.pop(0))
        return self.has_another


@pytest.mark.parametrize("status", [401, 403, 406, 429])
def test_pool_tries_each_key_once(tmp_path: Path, status: int) -> None:
    pool = Pool("SG_a", "SG_b", "SG_c")
    session = Session(GATEWAY, lambda: pool, Journal(tmp_path / "journal"), uses_history=False)
    refusal = make_answer(status, {"retry-after": "7"}, error="Insufficient credits")
    flow_result = run(submit(session, "kling-2", BODY), [refusal, refusal, ACCEPTED])
    assert [request.key for request in flow_result.requests] == ["SG_a", "SG_b", "SG_c"]
    assert flow_result.seconds == 0
    assert pool.reports == [
        *(("refused", key, status, 7.0) for key in ("SG_a", "SG_b")),
        ("accepted", "SG_c", "job"),
    ]
    assert read_row(session) == ("QUEUED", "job", fingerprint_key("SG_c"))
    session.close()


@pytest.mark.parametrize(("has_another", "sent"), [(True, 3), (False, 1)])
def test_pool_with_refused_keys_raises_the_refusal(has_another: bool, sent: int) -> None:
    pool = Pool("SG_a", "SG_b", has_another=has_another)
    flow_result = run(submit(Session(GATEWAY, lambda: pool), "kling-2", BODY), [make_answer(401)] * 9)
    assert isinstance(flow_result.error, api_errors.Unauthorized)
    assert (flow_result.sent, flow_result.seconds) == (sent, 0)


def test_check_of_a_pool_takes_no_key() -> None:
    pool = Pool()
    assert run(check_key(Session(GATEWAY, lambda: pool)), []).error is None
    assert isinstance(run(check_key(Session(GATEWAY, lambda: InvalidAuth(""))), []).error, errors.ConfigError)


def test_other_refusals_are_not_reported_to_a_pool() -> None:
    pool = Pool("SG_a", "SG_b")
    flow_result = run(
        submit(Session(GATEWAY, lambda: pool), "kling-2", BODY), [make_answer(500), make_answer(400)]
    )
    assert isinstance(flow_result.error, api_errors.BadRequest)
    assert pool.reports == []


def test_query_uses_the_key_that_submitted_the_job(tmp_path: Path) -> None:
    pool = Pool("SG_a", "SG_b")
    session = Session(GATEWAY, lambda: pool, Journal(tmp_path / "journal"), uses_history=False)
    run(submit(session, "kling-2", BODY), [make_answer(401), ACCEPTED])
    pool.ring = ["SG_a", "SG_b"]
    pool.reports.clear()

    def find_query_key(session: Session, request_id: str | None) -> str | None:
        if request_id is None:
            return run(query_credits(session), [make_answer(200, credits=1)] * 9).requests[0].key
        return run(query_status(session, JobRef(request_id)), [make_state("QUEUED")]).requests[0].key

    # From the journal, which the pool then learns.
    assert find_query_key(session, "job") == "SG_b"
    assert pool.reports == [("accepted", "SG_b", "job")]
    # Another job, or no job, has no recorded key.
    assert find_query_key(session, "other") == find_query_key(session, None) == "SG_a"
    assert find_query_key(Session(GATEWAY, lambda: pool), "job") == "SG_a"
    # The key is no longer there.
    pool.ring = ["SG_a", "SG_c"]
    assert find_query_key(session, "job") == "SG_a"
    assert len(pool.reports) == 1
    # The pool has its own record.
    pool.jobs = {"job": "SG_c"}
    assert find_query_key(session, "job") == "SG_c"
    assert len(pool.reports) == 1
    session.close()
