"""The key of a request: which source is asked, how its faults are described, and what a closed client says."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from kling_adapters import ConfigError, StorageError, api_errors, errors
from kling_adapters.hook_objects import InstantAuth
from kling_adapters.protocol import keys, messages
from kling_adapters.protocol.records import call_quietly, record
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.submit import run_sync, submit
from kling_adapters.protocol.wait import query_credits, query_status, wait
from tests.protocol.conftest import ACCEPTED, ADAPTER, BODY, GATEWAY, KEY, InvalidAuth
from tests.support.scripted_flow import STARTED, Key, run


class Instant(InstantAuth):
    """An Auth whose key needs no call that could block."""

    def instant_key(self) -> str:
        return "SG_instant"

    def api_key(self) -> str:
        raise AssertionError("instant_key has the key")


class Pool:
    """A KeyPool of two keys."""

    is_counted = False

    def api_key(self) -> str:
        self.is_counted = True
        return "SG_next"

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        raise AssertionError("only submits are reported")

    def keys(self) -> list[str]:
        return ["SG_next", "SG_other"]

    def accepted(self, key: str, request_id: str) -> None: ...

    def key_of(self, request_id: str) -> str | None:
        return None


def test_instant_key_needs_no_call() -> None:
    assert run(keys.read_key(Instant()), []).value == "SG_instant"


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("SG key", "Invalid API key: expected printable ASCII without spaces"),
        (None, "Invalid API key: expected printable ASCII without spaces"),
        (OSError("SG_key"), "the plugin that provides the API key failed with OSError"),
    ],
)
@pytest.mark.parametrize(
    ("request_id", "consequence"),
    [(None, "Nothing was sent"), ("job", "Job job is not affected and may be billed")],
)
def test_failing_source_says_what_became_of_the_job(
    key: Any, problem: str, request_id: str | None, consequence: str
) -> None:
    session = Session(GATEWAY, lambda: InvalidAuth(key))
    error = run(keys.find_key(session, request_id), []).error
    assert (type(error), str(error)) == (ConfigError, f"{problem}. {consequence}")


def test_pool_is_not_called_by_a_check_or_about_another_request() -> None:
    pool = Pool()
    session = Session(GATEWAY, lambda: pool)
    assert run(keys.check_key(session), []).error is None
    assert keys.has_another_key(session, messages.Key("SG_next")) is False
    assert not pool.is_counted


def test_failed_write_is_logged_and_has_no_value(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> int:
        raise StorageError("the disk is full")

    assert (run(record(lambda: 7), []).value, call_quietly(lambda: 7)) == (7, 7)
    for call in (lambda: run(record(fail), []).value, lambda: call_quietly(fail)):
        caplog.clear()
        assert call() is None
        message = "could not update the journal or a plugin; the job continues: the disk is full."
        assert caplog.record_tuples == [("kling_adapters", logging.WARNING, message)]


@pytest.mark.parametrize(
    ("request_id", "end"), [(None, "make a new one. Nothing was sent"), ("job", 'with kling.job("job")')]
)
def test_closed_client_says_what_became_of_the_request(request_id: str | None, end: str) -> None:
    session = Session(GATEWAY, Pool)
    session.check_open(request_id)
    session.closed.set()
    with pytest.raises(ConfigError) as caught:
        session.check_open(request_id)
    assert str(caught.value).endswith(end)


def test_state_of_a_session_is_not_in_its_repr() -> None:
    """Its source of the key may show a key; the rest is large."""
    session = Session(GATEWAY, Pool, auth=Pool())
    session.running_jobs("SG_key")
    shown = repr(session)
    assert "gateway=" in shown
    for name in ("auth=", "closed=", "limiters=", "waiting=", "histories="):
        assert f" {name}" not in shown
    assert not session.has_settled


def test_closed_client_asks_for_no_key() -> None:
    session = Session(GATEWAY, Key)
    session.closed.set()
    job = JobRef("job", "kling-2", submitted=STARTED)
    for flow in (
        query_credits(session),
        query_status(session, job),
        wait(session, job, None),
        submit(session, "kling-2", BODY),
        run_sync(session, ADAPTER, BODY, None),
    ):
        flow_result = run(flow, [])
        assert isinstance(flow_result.error, errors.ConfigError)
        assert flow_result.seconds == 0
    assert session.auth is None
    assert session.limiters == {}


class ShownKey(Key):
    """An Auth of a plugin that shows its key."""

    def __repr__(self) -> str:
        return f"ShownKey({self.api_key()})"


def test_session_does_not_show_its_keys() -> None:
    session = Session(GATEWAY, ShownKey)
    run(submit(session, "kling-2", BODY), [ACCEPTED])
    session.auth = ShownKey()
    session.running_jobs(KEY)
    assert KEY in session.limiters.keys() & session.waiting.keys()
    assert KEY not in repr(session)


@pytest.mark.parametrize("key", ["", "SG a", "SG_ä", "SG_\n", None, 7, RuntimeError("SG_secret")])
def test_invalid_key_is_not_sent_and_not_shown(key: Any) -> None:
    flow_result = run(submit(Session(GATEWAY, lambda: InvalidAuth(key)), "kling-2", BODY), [])
    assert isinstance(flow_result.error, errors.ConfigError)
    assert "Nothing was sent" in str(flow_result.error)
    assert "secret" not in str(flow_result.error)
    assert ("failed with RuntimeError" in str(flow_result.error)) == isinstance(key, RuntimeError)
    error = api_errors.Unauthorized(401, "what a plugin says on purpose")
    flow_result = run(submit(Session(GATEWAY, lambda: InvalidAuth(error)), "kling-2", BODY), [])
    assert flow_result.error is error
