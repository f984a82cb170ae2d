"""Faults that are asked for: which requests they strike, told from a seed and a count, and from nothing else."""

import json
import math
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Final, Self

from kling_sandbox.bodies import with_integers

KINDS: Final = {
    "latency": "handled as usual, after `seconds`",
    "html": "502 with a page instead of JSON; not handled",
    "reset-early": "the connection is reset before the body is read; not handled",
    "reset-late": "handled, then the connection is reset without an answer",
    "reset": "handled; the connection is reset after `at` bytes of the answer, head included",
    "truncate": "handled; the connection ends after `at` bytes of the body, whatever Content-Length says",
    "length": "handled; Content-Length is `at`, and all of the body is sent",
    "type": "handled; Content-Type is text/html, whatever the body is",
    "garbage": "handled, then 200 with a body that is no JSON",
    "failed": "a submit is accepted, and its job ends FAILED",
    "restart": "asked for the status of a job: it is QUEUED again, and begins anew",
    "flap": "asked for a job: once, another state than its own, and never an end",
}
"""What each kind of fault does, beside three digits from 400 to 599: an answer of that status, without the request
being handled; a 504 comes after it was, since that is what makes it dangerous."""

# What these change happens in the gateway, so they strike only where it can.
_ONLY: Final = {
    "failed": ("POST", "/v[12]/*"),
    # Not when asked for the result: with `polls:N`, who only asks for that would wait for ever.
    "restart": ("GET", "/v2/requests/*/status"),
    "flap": ("GET", "/v[12]/requests/*"),
}


@dataclass(frozen=True)
class Fault:
    """One kind of fault, and which of the requests it strikes."""

    kind: str
    """One of KINDS, or a status as text: "502"."""
    rate: float = 1.0
    """The share of the matching requests, from 0 to 1."""
    method: str = "*"
    path: str = "*"
    """Shell patterns of the requests that match."""
    nth: int | None = None
    """Only the nth request that matches, from 1."""
    burst: int = 1
    """How many matching requests in a row are struck each time."""
    at: int | None = None
    """Bytes, for `reset`, `truncate` and `length`; by default half of them."""
    seconds: float = 0.0
    """How long it takes until the request is handled, of real time; whatever the kind."""

    def __post_init__(self) -> None:
        """Raise ValueError for what means nothing."""
        if self.kind not in KINDS and not re.fullmatch("[45][0-9]{2}", self.kind):
            raise ValueError(
                f"{self.kind!r} is no fault: a status from 400 to 599, or one of {', '.join(KINDS)}"
            )
        if not (0 <= self.rate <= 1 and 0 <= self.seconds < math.inf and self.burst >= 1):
            raise ValueError("rate is from 0 to 1, seconds at least 0 and finite, burst at least 1")
        if (self.nth is not None and self.nth < 1) or (self.at is not None and self.at < 0):
            raise ValueError("nth is at least 1, at is at least 0")

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read a JSON object with the names of the fields. Raises ValueError for anything else."""
        kinds: dict[str, tuple[type, ...]] = {
            "kind": (str,), "rate": (int, float), "method": (str,), "path": (str,),
            "nth": (int, type(None)), "burst": (int,), "at": (int, type(None)), "seconds": (int, float),
        }  # fmt: skip
        if not isinstance(value, dict) or "kind" not in value:
            raise ValueError(f"a fault is an object with a kind, not {value!r}")
        members = with_integers(value)
        for name, member in members.items():
            if name not in kinds or not isinstance(member, kinds[name]) or isinstance(member, bool):
                raise ValueError(f"{name}={member!r} says nothing about a fault")
        return cls(**members)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `KIND` or `KIND:name=value,name=value`, as the command line has it. Raises ValueError."""
        kind, _, rest = text.partition(":")
        value: dict[str, Any] = {"kind": kind}
        for pair in rest.split(",") if rest else ():
            name, _, given = pair.partition("=")
            try:
                value[name] = json.loads(given)
            except ValueError:
                value[name] = given
        return cls.read(value)

    def matches(self, method: str, path: str) -> bool:
        """Tell whether it is about such requests."""
        only = _ONLY.get(self.kind, ("*", "*"))
        return all(
            fnmatchcase(method, a) and fnmatchcase(path, b) for a, b in ((self.method, self.path), only)
        )


class Faults:
    """Faults and how far each of them is: for the same seed, the nth request that matches one has the same fate."""

    def __init__(self, faults: Sequence[Fault] = (), seed: int = 0) -> None:
        """Begin to count."""
        self.faults, self.seed = tuple(faults), seed
        self._streams = [_Stream(fault, Random(f"{seed} {n}")) for n, fault in enumerate(faults)]  # noqa: S311
        self._lock = threading.Lock()

    def strike(self, method: str, path: str) -> Fault | None:
        """Count a request, and return the first of the faults that strikes it."""
        with self._lock:
            # Each of them counts, so that none changes what another does.
            struck = [stream.fault for stream in self._streams if stream.strikes(method, path)]
        return struck[0] if struck else None


class _Stream:
    def __init__(self, fault: Fault, random: Random) -> None:
        self.fault = fault
        self._random = random
        self._count = 0
        self._left = 0

    def strikes(self, method: str, path: str) -> bool:
        if not self.fault.matches(method, path):
            return False
        self._count += 1
        drawn = self._random.random() < self.fault.rate
        if self._left == 0 and drawn and self.fault.nth in (None, self._count):
            self._left = self.fault.burst
        if self._left == 0:
            return False
        self._left -= 1
        return True
