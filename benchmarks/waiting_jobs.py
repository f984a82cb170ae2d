"""Many jobs that wait at once, in simulated time: the flows of the package against a gateway with a request history.

A request takes 0.2 to 0.4 s, and the gateway answers it
as of the middle of that time. The history can be late: with its rows, and with the ends of jobs.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Answer, Outcome, Request
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.wait import wait
from kling_adapters.result import ResultData
from tests.support.concurrent_flows import run_together

MODEL: Final = "kling-2"
_GATEWAY: Final = Gateway("https://api.segmind.com")
_LATENCY: Final = (0.2, 0.4)
_TIMEOUT: Final = 7200.0


class _Key:
    def api_key(self) -> str:
        return "SG_simulated"


@dataclass
class HistoryDelays:
    """Seconds by which the history is late with the rows of jobs, and with their ends; and whether it is down."""

    rows: float = 0.0
    ends: float = 0.0
    is_down: bool = False


@dataclass
class WaitingJobs:
    """The jobs, and the requests that were sent for them.

    Attributes:
        durations: The seconds of each job.
        documented: The documented mean of the durations, in seconds.
        uses_history: Whether the client may use the history.
        delays: The delays of the history.
        spread: Seconds within which all jobs are submitted.
        strangers: Running jobs of the account that this client does not have.
        rate_limit: Requests a minute that the client is allowed; None for any.
        requests: The requests of each kind.
        lags: The seconds from the end of each job to the answer that says so.

    """

    durations: list[float]
    documented: float
    uses_history: bool = True
    delays: HistoryDelays = field(default_factory=HistoryDelays)
    spread: float = 60.0
    strangers: int = 0
    rate_limit: float | None = None
    requests: Counter[str] = field(default_factory=Counter[str])
    lags: list[float] = field(default_factory=list[float])

    def run(self, seed: int) -> None:
        """Wait for all jobs."""
        random.seed(seed)
        source = random.Random(seed)
        self._starts = sorted(source.uniform(0, self.spread) for _ in self.durations)
        session = Session(_GATEWAY, _Key, uses_history=self.uses_history, rate_limit=self.rate_limit)
        flows = [
            (start, wait(session, JobRef(str(number), MODEL, self.documented, submitted=start), _TIMEOUT))
            for number, start in enumerate(self._starts)
        ]
        for outcome in run_together(flows, self._answer, lambda: source.uniform(*_LATENCY) / 2):
            assert isinstance(outcome, ResultData), outcome

    @property
    def requests_per_job(self) -> float:
        """The polls and the pages of the history, for each job; the request for the result is not counted."""
        return (self.requests["status"] + self.requests["history"]) / len(self.durations)

    def _answer(self, request: Request, now: float) -> Outcome:
        url = urlsplit(request.url)
        if _GATEWAY.is_history(request.url):
            self.requests["history"] += 1
            return self._list(parse_qs(url.query), now)
        number = int(url.path.split("/")[3])
        is_ended = now >= self._starts[number] + self.durations[number]
        if url.path.endswith("/status"):
            self.requests["status"] += 1
            if is_ended:
                self.lags.append(now - self._starts[number] - self.durations[number])
            return _reply({"status": "COMPLETED" if is_ended else "PROCESSING"})
        self.requests["result"] += 1
        return _reply({"status": "COMPLETED", "output": "https://a.example/b.mp4", "metrics": {}})

    def _list(self, query: dict[str, list[str]], now: float) -> Outcome:
        if self.delays.is_down:
            return Answer(503, {}, b"{}")
        running = [
            str(number)
            for number, start in enumerate(self._starts)
            if start + self.delays.rows <= now < start + self.durations[number] + self.delays.ends
        ]
        running += [f"stranger-{number}" for number in range(self.strangers)]
        running.reverse()
        page, size = int(query["page"][0]), int(query["per_page"][0])
        rows: list[dict[str, Any]] = [
            {"request_id": name, "model_status": "PENDING", "model_name": MODEL, "request_body": {}}
            for name in running[(page - 1) * size : page * size]
        ]
        return _reply({"generations": rows, "pagination": {"has_next": page * size < len(running)}})


def _reply(value: Any) -> Answer:
    return Answer(200, {}, json.dumps(value).encode())
