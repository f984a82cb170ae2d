"""A Kling with the few calls that only the official client has: bodies of answers, uploads, pages of the history."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kling_adapters.client.client import Kling
from kling_adapters.compat.segmind.exceptions import describe_state
from kling_adapters.errors import ConfigError
from kling_adapters.protocol.effects import Flow, Now
from kling_adapters.protocol.exchange import JobMissing, query_once
from kling_adapters.protocol.keys import find_key
from kling_adapters.protocol.messages import Answer, Request
from kling_adapters.protocol.polling import PollCounter
from kling_adapters.protocol.records import record
from kling_adapters.protocol.request_history import HISTORY_BUDGET, HistoryUnavailable, ask_history
from kling_adapters.protocol.responses import read_ended_job, read_status
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.uploads import upload_media
from kling_adapters.protocol.wait import find_end
from kling_adapters.result import ResultData


class CompatibleKling(Kling):
    """The Kling of a SegmindClient."""

    def read_status(self, request_id: str) -> dict[str, Any]:
        """Return the body of the state of a job."""
        request = self._session.gateway.status(request_id)
        return dict(self._driver.run(_read_body(self._session, request, request_id)))

    def read_result(self, request_id: str) -> dict[str, Any]:
        """Return the body of the result of a job, or of its state before its end. The journal receives a result."""
        request = self._session.gateway.result(request_id)
        return dict(self._driver.run(_read_body(self._session, request, request_id)))

    def upload(self, path: Path) -> str:
        """Upload a file, unless equal content was uploaded before, and return its URL."""
        body = self._driver.run(upload_media(self._session, {"file": path}, float("inf")))
        url: str = body["file"]
        return url

    def read_history(self, request_id: str | None = None, **filters: object) -> dict[str, Any]:
        """Return a page of the request history, or the row of one request, as the gateway answers it."""
        gateway = self._session.gateway
        if request_id is None:
            request = Request("GET", f"{gateway.history_url}?{urlencode(filters)}")
        else:
            request = gateway.request_row(request_id)
        return dict(self._driver.run(_read_history(self._session, request)))


def _read_body(session: Session, request: Request, request_id: str) -> Flow[Mapping[str, Any]]:
    def read(answer: Answer) -> Answer | None:
        return None if read_status(answer, request_id) is None else answer

    try:
        answer: Answer = yield from query_once(session, request, read, request_id)
    except JobMissing:
        outcome = yield from find_end(session, JobRef(request_id), PollCounter())
        if isinstance(outcome, ResultData):
            return outcome.body
        return describe_state(request_id, outcome.state, outcome.metrics, outcome.error)
    ended, update = read_ended_job(request_id, None, None, answer), session.journal.update_job
    # The status of a COMPLETED job has no output.
    if isinstance(ended, ResultData) and "output" in ended.body:
        result, cost = ended.body, ended.metrics.cost
        base_url = session.gateway.base_url
        yield from record(update, base_url, request_id, state="COMPLETED", result=result, cost=cost)
    return answer.json() or {}


def _read_history(session: Session, request: Request) -> Flow[Mapping[str, Any]]:
    """Return the body of an answer of the history. Raises the error of the last answer."""
    session.check_open()
    if not session.uses_history:
        raise ConfigError(
            "the request history is turned off by KLING_HISTORY or history=False. Nothing was sent"
        )
    key = yield from find_key(session, None)
    end: float = (yield Now()) + HISTORY_BUDGET
    try:
        return (yield from ask_history(session, request, key, _read_success, end))
    except HistoryUnavailable as error:
        raise (error.__cause__ or error) from None


def _read_success(answer: Answer) -> Mapping[str, Any] | None:
    return answer.json() if answer.is_success else None
