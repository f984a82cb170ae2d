"""Jobs, and their states over the time of the sandbox."""

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from kling_sandbox.accounts import Account
from kling_sandbox.addresses import Sender
from kling_sandbox.rendering.plan import Plan

RECORD_LIFETIME: Final = 3600.0
OUTPUT_LIFETIME: Final = 7 * 86400.0
_QUEUED_SHARE: Final = 0.1

State = Literal["QUEUED", "PROCESSING", "COMPLETED", "FAILED"]


@dataclass(frozen=True)
class Rendered:
    """The output of a job: a file, or the reason why there is none."""

    path: Path | None = None
    error: str | None = None


@dataclass
class Job:
    """An accepted submit. Used on the event loop only."""

    slug: str
    account: Account
    sender: Sender
    requested_seed: int | None
    prompt: str | None
    plan: Plan
    cost: float
    remaining_credits: float
    submitted: float
    polls_needed: float
    end: float | None
    """The time of the end; None until there were enough polls."""
    failure: str | None
    """The reason for which the job will fail."""
    body: bytes
    """The parameters as they were sent."""
    history_delay: float
    """Seconds after the submit until the job is in the request history."""
    created: float = field(default_factory=time.time)
    """The time of the submit on the clock of this machine, which a client compares with its own."""
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    polls: int = 0
    rendered: asyncio.Future[Rendered] | None = None
    has_record: bool = True
    """False for a job of a synchronous call, about which the gateway answers 404."""

    @property
    def seed(self) -> int:
        """The requested seed, or one from the request id."""
        if self.requested_seed is None:
            return uuid.UUID(self.request_id).int % 2**31
        return self.requested_seed

    def poll(self, now: float) -> None:
        """Count a status poll, which may end the job."""
        self.polls += 1
        if self.end is None and self.polls > self.polls_needed:
            self.end = now

    def has_expired(self, now: float) -> bool:
        """Return whether the record has expired: an hour after the end of the job."""
        return now >= (self.submitted if self.end is None else self.end) + RECORD_LIFETIME

    def is_in_history(self, now: float) -> bool:
        """Return whether the job is in the request history, which keeps it for ever."""
        return now >= self.submitted + self.history_delay

    def running_state(self, now: float) -> State | None:
        """Return the state of a running job; None after its end."""
        if self.end is None:
            return "QUEUED" if self.polls <= 1 else "PROCESSING"
        if now >= self.end:
            return None
        is_queued = now < self.submitted + _QUEUED_SHARE * (self.end - self.submitted)
        return "QUEUED" if is_queued else "PROCESSING"

    @property
    def error(self) -> str | None:
        """The reason for which the job fails, or its worker has failed; None for a job that has not failed."""
        is_rendered = self.rendered is not None and self.rendered.done()
        return self.rendered.result().error if self.rendered and is_rendered else self.failure

    def output(self, now: float) -> Path | None:
        """Return the file of the job while it can be downloaded: from the end of the job, for a week."""
        return self._path() if self.keeps_output(now) and not self.has_lost_file() else None

    def keeps_output(self, now: float) -> bool:
        """Return whether the gateway keeps an output of the job: from the end of the job, for a week."""
        return self.end is not None and self.end <= now < self.end + OUTPUT_LIFETIME

    def has_lost_file(self) -> bool:
        """Return whether its file was rendered and then removed to make room."""
        path = self._path()
        return path is not None and not path.exists()

    def _path(self) -> Path | None:
        return self.rendered.result().path if self.rendered and self.rendered.done() else None

    def times(self) -> dict[str, float]:
        """Return the time metrics of a job after its end, in seconds of the sandbox's clock."""
        total = (self.end or self.submitted) - self.submitted
        queue = _QUEUED_SHARE * total
        return {
            "queue_time": round(queue, 3),
            "inference_time": round(total - queue, 3),
            "total_time": round(total, 3),
        }
