"""Jobs and how they get on: the states of a request over the sandbox's time."""

import asyncio
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from kling_sandbox.access import is_loopback
from kling_sandbox.accounts import Account
from kling_sandbox.plan import Plan

RECORD_LIFETIME: Final = 3600.0
OUTPUT_LIFETIME: Final = 7 * 86400.0
LONGEST_LEAP: Final = 1_000_000_000
"""Seconds; without a bound, two leaps could make the time infinite."""
DEFAULT_LATENCY: Final = 60.0
_QUEUED_SHARE: Final = 0.1

State = Literal["QUEUED", "PROCESSING", "COMPLETED", "FAILED"]


class Clock:
    """Seconds that pass like real ones, and can be made to pass."""

    def __init__(self) -> None:
        """Start at the machine's monotonic time."""
        self._offset = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return the seconds since some fixed moment."""
        return time.monotonic() + self._offset

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass now. Raises ValueError if they are negative or more than LONGEST_LEAP."""
        if not 0 <= seconds <= LONGEST_LEAP:
            raise ValueError(f"from 0 to {LONGEST_LEAP} seconds can pass at once, not {seconds}")
        with self._lock:
            self._offset += seconds


@dataclass(frozen=True)
class Timing:
    """When a job ends: `at-once`, after `amount` status polls, or after `amount` times its latency."""

    mode: Literal["at-once", "polls", "latency"]
    amount: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `at-once`, `polls:N` or `latency:FACTOR`. Raises ValueError for anything else."""
        match text.partition(":"):
            case ("at-once", "", ""):
                return cls("at-once")
            case ("polls", ":", digits) if digits.isascii() and digits.isdigit():
                return cls("polls", int(digits))
            case ("latency", ":", factor):
                amount = float(factor)
                if 0 <= amount < float("inf"):
                    return cls("latency", amount)
            case _:
                pass
        raise ValueError(f"timing must be at-once, polls:N or latency:FACTOR, not {text!r}")

    def end(self, submitted: float, latency: float | None) -> float | None:
        """Return when a job submitted then ends; None if that depends on how often it is asked for."""
        if self.mode == "polls":
            return None
        return submitted + self.amount * (latency or DEFAULT_LATENCY)


@dataclass(frozen=True)
class Rendered:
    """What came out of a job: a file, or the reason why there is none."""

    path: Path | None = None
    error: str | None = None


@dataclass(frozen=True)
class Sender:
    """Where a job came from."""

    netloc: str
    """Host and port by which it calls the sandbox."""
    is_on_this_machine: bool

    def means_sandbox(self, url: str) -> bool:
        """Tell whether a URL leads to the sandbox: by the same name, or by another of this machine and the same port."""
        try:
            own, other = urlsplit(f"http://{self.netloc}"), urlsplit(url)
            ports = own.port or 80, other.port or 80
        except ValueError:
            return False
        if other.scheme != "http" or ports[0] != ports[1]:
            return False
        hosts = own.hostname or "", other.hostname or ""
        return hosts[0] == hosts[1] or all(map(is_loopback, hosts))


@dataclass
class Job:
    """One accepted submit. Read and changed on the event loop only."""

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
    failure: str | None
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    polls: int = 0
    rendered: asyncio.Future[Rendered] | None = None
    has_record: bool = True
    """Whether it can be asked for by its id."""

    @property
    def seed(self) -> int:
        """The seed asked for, or one of its own."""
        if self.requested_seed is None:
            return uuid.UUID(self.request_id).int % 2**31
        return self.requested_seed

    def poll(self, now: float) -> None:
        """Count a status poll, which may be the one that finds the job done."""
        self.polls += 1
        if self.end is None and self.polls > self.polls_needed:
            self.end = now

    def expired(self, now: float) -> bool:
        """Tell whether the record is gone: an hour after the end of the job."""
        return now >= (self.submitted if self.end is None else self.end) + RECORD_LIFETIME

    def running(self, now: float) -> State | None:
        """Return the state of a job that has not ended yet, else None."""
        if self.end is None:
            return "QUEUED" if self.polls <= 1 else "PROCESSING"
        if now >= self.end:
            return None
        return (
            "QUEUED" if now < self.submitted + _QUEUED_SHARE * (self.end - self.submitted) else "PROCESSING"
        )

    def output(self, now: float) -> Path | None:
        """Return the file of the job while it can be downloaded: from the end of the job, for a week."""
        if self.end is None or not self.end <= now < self.end + OUTPUT_LIFETIME:
            return None
        return None if self.has_lost_file() else self._path()

    def has_lost_file(self) -> bool:
        """Tell whether its file was rendered and has been removed since, to make room for others."""
        path = self._path()
        return path is not None and not path.exists()

    def _path(self) -> Path | None:
        return self.rendered.result().path if self.rendered and self.rendered.done() else None

    def times(self) -> dict[str, float]:
        """Return the time metrics of a job that has ended, in seconds of the sandbox's clock."""
        total = (self.end or self.submitted) - self.submitted
        queue = _QUEUED_SHARE * total
        return {
            "queue_time": round(queue, 3),
            "inference_time": round(total - queue, 3),
            "total_time": round(total, 3),
        }
