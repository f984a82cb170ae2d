"""Faults: their fields, and the requests that they affect. Only a seed and a count decide."""

import json
import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Any, Final, Self

from kling_sandbox.bodies import to_integers

KINDS: Final = {
    "latency": "handled after `seconds`",
    "html": "502 with an HTML page instead of JSON; not handled",
    "reset-early": "the connection is reset before the body is read; not handled",
    "reset-late": "handled, then the connection is reset without a response",
    "reset": "handled; the connection is reset after `at` bytes of the response, head included",
    "truncate": "handled; the connection ends after `at` bytes of the body, with the full Content-Length",
    "length": "handled; Content-Length is `at`, and the whole body is sent",
    "type": "handled; Content-Type is text/html for any body",
    "garbage": "handled, then 200 with a body that is not JSON",
    "failed": "a submit is accepted, and its job ends FAILED",
    "restart": "a status request finds the job QUEUED again, and it starts again",
    "flap": "a status or result request returns a wrong state once, and never an end",
    "missing": "a history request finds no job",
    "twins": "a page of the history has two rows of each job",
    "foreign": "a page of the history has the jobs of all accounts; a request for one job finds another one",
    "misreport": "the history has FAILED as the state of every job, and no output",
}
"""The effect of each kind of fault, beside the statuses from 400 to 599. A request with such a status is not handled,
except for 504: it is handled first, because that is the dangerous case."""

_HISTORY: Final = "/inference-request/request-history*"
# These faults have their effect in the gateway, on these requests only.
_LIMITS: Final = {
    "failed": ("POST", "/v[12]/*"),
    # Not on result requests: with `polls:N`, a client that sends only those would wait forever.
    "restart": ("GET", "/v2/requests/*/status"),
    "flap": ("GET", "/v[12]/requests/*"),
    "missing": ("GET", _HISTORY),
    "twins": ("GET", _HISTORY),
    "foreign": ("GET", _HISTORY),
    "misreport": ("GET", _HISTORY),
}
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "kind": (str,), "rate": (int, float), "method": (str,), "path": (str,),
    "nth": (int, type(None)), "burst": (int,), "at": (int, type(None)), "seconds": (int, float),
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """A kind of fault, and the requests that it affects.

    Attributes:
        kind: One of `KINDS`, or a status from 400 to 599 as text, such as `"502"`.
        rate: The share of the matching requests, from 0 to 1.
        method: A shell pattern for the method of matching requests.
        path: A shell pattern for the path of matching requests.
        nth: The number of the only affected request among the matching ones, from 1. None affects any.
        burst: The number of consecutive matching requests that are affected each time.
        at: Bytes, for `reset`, `truncate` and `length`. None means half of them.
        seconds: The real time in seconds before the request is handled, for every kind except `reset-early`.

    Raises:
        ValueError: A value is invalid.

    """

    kind: str
    rate: float = 1.0
    method: str = "*"
    path: str = "*"
    nth: int | None = None
    burst: int = 1
    at: int | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS and not re.fullmatch("[45][0-9]{2}", self.kind):
            raise ValueError(
                f"unknown fault {self.kind!r}; expected a status from 400 to 599, or one of {', '.join(KINDS)}"
            )
        if not (0 <= self.rate <= 1 and 0 <= self.seconds < math.inf and self.burst >= 1):
            raise ValueError("rate must be from 0 to 1, seconds at least 0 and finite, burst at least 1")
        if (self.nth is not None and self.nth < 1) or (self.at is not None and self.at < 0):
            raise ValueError("nth must be at least 1, at must be at least 0")

    @classmethod
    def read(cls, value: Any) -> Self:
        """Create a fault from a JSON object.

        Args:
            value: An object with the fields of a fault as members.

        Returns:
            The fault.

        Raises:
            ValueError: The value is not an object, or a member is unknown or invalid.

        """
        if not isinstance(value, dict) or "kind" not in value:
            raise ValueError(f"a fault must be an object with a kind, not {value!r}")
        members = to_integers(value)
        for name, member in members.items():
            if name not in _TYPES or not isinstance(member, _TYPES[name]) or isinstance(member, bool):
                raise ValueError(f"unknown or invalid field of a fault: {name}={member!r}")
        return cls(**members)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Create a fault from an argument of the command line.

        Args:
            text: `KIND` or `KIND:name=value,name=value`.

        Returns:
            The fault.

        Raises:
            ValueError: The text is invalid.

        """
        kind, _, fields = text.partition(":")
        members: dict[str, Any] = {"kind": kind}
        for field in fields.split(",") if fields else ():
            name, _, value = field.partition("=")
            try:
                members[name] = json.loads(value)
            except ValueError:
                members[name] = value
        return cls.read(members)

    def matches(self, method: str, path: str) -> bool:
        """Return whether the fault can affect a request.

        Args:
            method: The method of the request.
            path: The path of the request.

        Returns:
            Whether its patterns match.

        """
        patterns = (self.method, self.path), _LIMITS.get(self.kind, ("*", "*"))
        return all(fnmatchcase(method, verb) and fnmatchcase(path, place) for verb, place in patterns)


class Faults:
    """Faults and their counters. For the same seed, a fault always affects the same of its matching requests.

    Args:
        faults: The faults. The first one that affects a request is used.
        seed: The seed of the random choices.

    Raises:
        TypeError: An item is not a fault.

    """

    def __init__(self, faults: Sequence[Fault] = (), seed: int = 0) -> None:
        for fault in faults:
            if not isinstance(fault, Fault):
                raise TypeError(f'faults must be Fault objects, such as Fault("500"), not {fault!r:.80}')
        self.faults, self.seed = tuple(faults), seed
        self._counters = [_Counter(fault, Random(f"{seed} {n}")) for n, fault in enumerate(faults)]  # noqa: S311
        self._lock = threading.Lock()

    def strike(self, method: str, path: str) -> Fault | None:
        """Count a request.

        Args:
            method: The method of the request.
            path: The path of the request.

        Returns:
            The first fault that affects the request, or None.

        """
        with self._lock:
            # All counters advance, so that a fault does not depend on the others.
            faults = [counter.fault for counter in self._counters if counter.count(method, path)]
        return faults[0] if faults else None


class _Counter:
    """A fault, its random generator, and the number of matching requests."""

    def __init__(self, fault: Fault, random: Random) -> None:
        self.fault = fault
        self._random = random
        self._count = 0
        self._remaining = 0

    def count(self, method: str, path: str) -> bool:
        """Count a request; return whether the fault affects it."""
        if not self.fault.matches(method, path):
            return False
        self._count += 1
        is_chosen = self._random.random() < self.fault.rate
        if self._remaining == 0 and is_chosen and self.fault.nth in (None, self._count):
            self._remaining = self.fault.burst
        if self._remaining == 0:
            return False
        self._remaining -= 1
        return True


def get_fault_kind(scope: Mapping[str, Any]) -> str:
    """Return the kind of the fault that affects a request; empty without a fault."""
    fault: Fault | None = scope["fault"]
    return fault.kind if fault else ""
