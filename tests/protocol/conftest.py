"""Scripted answers for flows, and a session with a journal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kling_adapters.journal.journal import Journal
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Answer, Fault, Outcome
from kling_adapters.protocol.session import Session
from kling_adapters.protocol.submit import submit
from kling_adapters.protocol.wait import wait
from kling_adapters.schema.adapter import Adapter
from tests.support.scripted_flow import Key, run

GATEWAY = Gateway("https://api.example.com")
ADAPTER = Adapter(slug="kling-2", title="Kling 2", returns="video", latency=300.0)
BODY = {"prompt": "a lighthouse"}
KEY = Key().api_key()
LOST = Fault("cut", sent=True)
UNREACHED = Fault("refused", sent=False)


def make_answer(code: int, headers: dict[str, str] | None = None, **body: Any) -> Answer:
    """Return an answer with a JSON body."""
    return Answer(code, headers or {}, json.dumps(body).encode())


ACCEPTED = make_answer(200, request_id="job", status="QUEUED")
RESULT = make_answer(200, status="COMPLETED", request_id="job", output="https://e.com/a.mp4")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A session with a journal."""
    session = Session(GATEWAY, Key, Journal(tmp_path / "journal"), uses_history=False)
    yield session
    session.close()


def read_row(session: Session) -> tuple[str, str | None, str]:
    """Return the state, the id and the key of the one entry in the journal."""
    assert isinstance(session.journal, Journal)
    [entry] = session.journal.entries()
    return entry.state, entry.request_id, entry.key


def run_submit(session: Session, *outcomes: Outcome) -> Any:
    """Submit a job."""
    return run(submit(session, "kling-2", BODY, ADAPTER, "out", "tag"), outcomes)


def run_wait(session: Session, *outcomes: Outcome, timeout: float | None = None) -> Any:
    """Submit a job and wait for it."""
    job = run_submit(session, ACCEPTED).value
    return run(wait(session, job, timeout), outcomes)


def make_state(name: str) -> Answer:
    """Return the answer to a query of the status of a job."""
    return make_answer(200, status=name, request_id="job")


class InvalidAuth:
    """An Auth that returns an invalid key, or raises an error."""

    def __init__(self, key: Any) -> None:
        self.key = key

    def api_key(self) -> Any:
        if isinstance(self.key, Exception):
            raise self.key
        return self.key
