"""The same program with the official client and with kling_adapters.compat.segmind, each on an account of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias

import httpx
import pytest
import segmind as official
from kling_sandbox import Fault, Faults, Sandbox
from segmind.files import Files

from kling_adapters import KlingError
from kling_adapters.compat import segmind as compatible
from kling_adapters.testing import SimulatedClock
from tests.conformance.conftest import LONG, SCHEMAS, Since
from tests.conformance.test_official_history import GENERATIONS, PATH

Kind: TypeAlias = Literal["official", "compatible"]
KINDS: tuple[Kind, Kind] = ("official", "compatible")
OpenTimed: TypeAlias = Callable[[str], Sandbox]
VARYING = {
    "remaining_credits",
    "file_size",
    "seed",
    "inference_time",
    "queue_time",
    "total_time",
    "model_created",
    "latency_ms",
}


RAW = {
    "title": "Raw",
    "type": "object",
    "properties": {"timeout": {"type": "number"}, "interval": {"type": "number"}, "tag": {"type": "string"}},
    "additionalProperties": False,
    "x-kling": {"slug": "raw", "returns": "video"},
}
"""A model that the client has no spec of."""


class SandboxClock(SimulatedClock):
    """A clock of a client, and the `time` module of the official one, whose sleeps advance a sandbox, too."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self._sandbox = sandbox
        self.monotonic = self.now

    def sleep(self, seconds: float) -> None:
        assert len(self.slept) < 5000
        super().sleep(seconds)
        self._sandbox.advance(seconds)


@dataclass
class World:
    """A client module, and an account of its own at a sandbox.

    Attributes:
        kind: The module.
        api: The module itself.
        sandbox: The sandbox, with the requests of earlier worlds.
        key: The key of the account.
        clock: The clock on which the client sleeps.

    """

    kind: Kind
    api: Any
    sandbox: Sandbox
    key: str
    clock: SandboxClock
    _stack: ExitStack

    def __post_init__(self) -> None:
        self._since = Since(self.sandbox)

    @property
    def requests(self) -> int:
        return self._since.requests

    @property
    def billed(self) -> list[str]:
        return sorted(self._since.billed)

    def connect(self, key: str | None = None, url: str | None = None, **options: Any) -> Any:
        """Return a client of the sandbox. Options of `Kling` reach only the compatible one."""
        shared = {name: options.pop(name) for name in ("timeout",) if name in options}
        address = f"{self.sandbox.base_url}/v1" if url is None else url
        if self.kind == "compatible":
            shared = {"clock": self.clock, "journal": None, **shared, **options}
        client = self.api.SegmindClient(self.key if key is None else key, address, **shared)
        self._stack.callback(client._client.close if self.kind == "official" else client.close)
        return client

    def set_faults(self, *faults: Fault) -> None:
        self.sandbox.faults = Faults(faults)


Program: TypeAlias = Callable[[World], Any]
KEYS = [f"SG_{number:016x}" for number in range(1, 400)]
"""Keys of the accounts of a sandbox."""
_keys = iter(KEYS)


@contextmanager
def open_world(kind: Kind, sandbox: Sandbox, patch: pytest.MonkeyPatch) -> Iterator[World]:
    """Open an account at a sandbox whose time passes only in sleeps of the client."""
    clock, now = SandboxClock(sandbox), time.monotonic()
    patch.setattr("kling_sandbox.clock.time", SimpleNamespace(monotonic=lambda: now))
    # The official client has these addresses built in.
    patch.setattr("segmind.v2.time", clock)
    patch.setattr(Files, "STORAGE_BASE_URL", sandbox.base_url)
    patch.setattr(GENERATIONS, "REQUEST_HISTORY_URL", sandbox.base_url + PATH)
    api = official if kind == "official" else compatible
    with ExitStack() as stack:
        stack.callback(setattr, sandbox, "faults", Faults())
        yield World(kind, api, sandbox, next(_keys), clock, stack)


def observe(program: Program, kind: Kind, sandbox: Sandbox, patch: pytest.MonkeyPatch) -> Any:
    """Run a program, and return what it sees: its value or its error, without ids, ports and times."""
    first = len(sandbox.submits)
    with open_world(kind, sandbox, patch) as world:
        try:
            view = program(world)
        except Exception as error:  # noqa: BLE001  any error is a result here
            view = describe_error(world, error)
        text = json.dumps(view, default=str, sort_keys=True)
        for number, submit in enumerate(sandbox.submits[first:]):
            text = text.replace(submit.request_id or "no id", f"id-{number}")
        return _drop_varying(json.loads(text.replace(sandbox.base_url, "http://sandbox")))


def catch(world: World, call: Callable[..., Any], *arguments: Any, **params: Any) -> Any:
    """Return how the error of a call can be caught; "nothing" if it raises none."""
    try:
        call(*arguments, **params)
    except Exception as error:  # noqa: BLE001  any error is a result here
        return describe_error(world, error)
    return "nothing"


def describe_error(world: World, error: Exception) -> dict[str, Any]:
    """Return the ways in which a program can catch an error, and what it can read of it."""
    assert not isinstance(error, KlingError), "a program of the official client does not know it"
    names = ("SegmindError", "InferenceFailed", "InferenceTimeout")
    caught = [name for name in names if isinstance(error, getattr(world.api, name))]
    caught += ["httpx.TransportError"] if isinstance(error, httpx.TransportError) else []
    builtin = (FileNotFoundError, ValueError, NotImplementedError)
    caught += [kind.__name__ for kind in builtin if isinstance(error, kind)]
    attributes = {
        name: getattr(error, name)
        for name in ("status", "detail", "status_body", "request_id")
        if hasattr(error, name)
    }
    if isinstance(attributes.get("detail"), str):
        # The compatible one adds the gateway's `error_description`, and leaves out the last full stop.
        attributes["detail"] = attributes["detail"].split(". ")[0].rstrip(".")
    return {"caught as": caught, **attributes}


def _drop_varying(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "…" if key in VARYING else _drop_varying(item) for key, item in value.items()}
    return [*map(_drop_varying, value)] if isinstance(value, list) else value


def open_sandbox(timing: str) -> Sandbox:
    """Return a sandbox with an account for each world, and with models that the catalog lacks."""
    return Sandbox(timing=timing, api_keys=KEYS, schemas={**SCHEMAS, "raw": RAW, "long": LONG})
