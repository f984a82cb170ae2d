"""State that the flows of a client share, and references to jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kling_adapters._text import fingerprint_key
from kling_adapters.errors import ConfigError
from kling_adapters.hook_objects import Auth
from kling_adapters.journal.base import BaseJournal
from kling_adapters.journal.null import NullJournal
from kling_adapters.media.uploads import Uploads
from kling_adapters.models._gateway import RECORD_LIFETIME
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.history import Histories
from kling_adapters.protocol.rate_limit import RateLimiter
from kling_adapters.protocol.running_jobs import RunningJobs
from kling_adapters.protocol.shared_pace import SharedPace
from kling_adapters.result import ResultData
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.facts import OutputKind


@dataclass(frozen=True, slots=True)
class JobRef:
    """Reference to a job, and the facts of its model.

    Attributes:
        request_id: The id of the job.
        model: The slug of the model; None if unknown.
        latency: The usual duration of a job of the model in seconds; None if unknown.
        returns: The kind of output of the model; None if unknown.
        submitted: The time of the submit on the clock of the client; None for a job of an earlier client.

    """

    request_id: str
    model: str | None = None
    latency: float | None = None
    returns: OutputKind | None = None
    submitted: float | None = field(default=None, compare=False)

    @classmethod
    def of(cls, request_id: str, model: str, adapter: Adapter | None) -> JobRef:
        """Return the reference to a job of a model; `adapter` has the facts of the model, if there is a spec."""
        return cls(request_id, model, adapter.latency, adapter.returns) if adapter else cls(request_id, model)


@dataclass(eq=False)
class Session:
    """State of a client.

    Attributes:
        gateway: The gateway of the client.
        find_auth: Finds the source of the API key, which may load plugins.
        journal: The journal.
        make_job: Makes the job of a WaitTimeout.
        make_result: Makes the result of a StorageError.
        auth: The source of the API key, once it is found.
        closed: Set when the client is closed.
        uses_history: Whether the request history of the gateway may be read.
        resubmit_after: Seconds after which an uncertain submit that the history does not list is sent once more; None
            for never.
        find_schema: Returns the JSON Schema of a model; None without a spec. It may load plugins.
        rate_limit: Requests a minute that no key exceeds; None if the limit is only learned.
        limiters: The rate limiter of each key.
        has_settled: Set when the jobs of uncertain submits of earlier clients were looked for.
        waiting: The jobs of each key that wait for their end.
        uploads: The URLs of files that were uploaded.
        histories: The durations of earlier jobs of each model.

    """

    gateway: Gateway
    find_auth: Callable[[], Auth]
    journal: BaseJournal = field(default_factory=NullJournal)
    make_job: Callable[[JobRef], Any] = lambda job: job
    make_result: Callable[[ResultData], Any] = lambda data: data
    auth: Auth | None = field(default=None, repr=False)
    closed: threading.Event = field(default_factory=threading.Event, repr=False)
    uses_history: bool = True
    resubmit_after: float | None = None
    find_schema: Callable[[str], Mapping[str, Any] | None] = lambda _: None
    rate_limit: float | None = None
    limiters: dict[str, RateLimiter] = field(default_factory=dict[str, RateLimiter], repr=False)
    has_settled: bool = False
    waiting: dict[str, RunningJobs] = field(default_factory=dict[str, RunningJobs], repr=False)
    uploads: Uploads = field(default_factory=Uploads)
    histories: Histories = field(default_factory=Histories, repr=False)

    def check_open(self, request_id: str | None = None) -> None:
        """Raise ConfigError if the client is closed, so that nothing more is sent or recorded."""
        if not self.closed.is_set():
            return
        consequence = "Nothing was sent"
        if request_id is not None:
            # The client may have been closed between the submit and the end of the job.
            consequence = (
                f"Job {request_id} is not affected and may be billed; query it within {RECORD_LIFETIME // 60} minutes "
                f'with kling.job("{request_id}")'
            )
        raise ConfigError(f"this client is closed; make a new one. {consequence}")

    def limiter(self, key: str) -> RateLimiter:
        """Return the rate limiter of a key."""
        if (limiter := self.limiters.get(key)) is None:
            paces = self.journal.paces
            shared = None if paces is None else SharedPace(paces, self.gateway.base_url, fingerprint_key(key))
            limiter = self.limiters.setdefault(key, RateLimiter(self.rate_limit, shared))
        return limiter

    def running_jobs(self, key: str) -> RunningJobs:
        """Return the waiting jobs of a key."""
        if (jobs := self.waiting.get(key)) is None:
            jobs = self.waiting.setdefault(key, RunningJobs(self.limiter(key)))
        return jobs

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()
