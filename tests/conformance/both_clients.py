"""The same program with the official client and with kling_adapters.compat.segmind, each on a sandbox of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
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
from tests.conformance.test_official_history import GENERATIONS, PATH

Kind: TypeAlias = Literal["official", "compatible"]
VARYING = {"remaining_credits", "file_size", "seed", "inference_time", "queue_time", "total_time"}


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
    """A client module, and a sandbox that it talks to.

    Attributes:
        kind: The module.
        api: The module itself.
        sandbox: The sandbox.
        clock: The clock on which the client sleeps.

    """

    kind: Kind
    api: Any
    sandbox: Sandbox
    clock: SandboxClock
    _stack: ExitStack = field(default_factory=ExitStack)

    def connect(self, key: str | None = None, url: str | None = None, **options: Any) -> Any:
        """Return a client of the sandbox. Options of `Kling` reach only the compatible one."""
        shared = {name: options.pop(name) for name in ("timeout",) if name in options}
        address = f"{self.sandbox.base_url}/v1" if url is None else url
        if self.kind == "compatible":
            shared = {"clock": self.clock, "journal": None, **shared, **options}
        client = self.api.SegmindClient(self.sandbox.api_key if key is None else key, address, **shared)
        self._stack.callback(client._client.close if self.kind == "official" else client.close)
        return client

    def set_faults(self, *faults: Fault) -> None:
        self.sandbox.faults = Faults(faults)

    def close(self) -> None:
        self._stack.close()


Program: TypeAlias = Callable[[World], Any]


@contextmanager
def open_world(kind: Kind, patch: pytest.MonkeyPatch, **options: Any) -> Iterator[World]:
    """Start a sandbox whose time passes only in sleeps of the client."""
    with Sandbox(**options) as sandbox:
        clock = SandboxClock(sandbox)
        now = time.monotonic()
        patch.setattr("kling_sandbox.clock.time", SimpleNamespace(monotonic=lambda: now))
        # The official client has these addresses built in.
        patch.setattr("segmind.v2.time", clock)
        patch.setattr(Files, "STORAGE_BASE_URL", sandbox.base_url)
        patch.setattr(GENERATIONS, "REQUEST_HISTORY_URL", sandbox.base_url + PATH)
        world = World(kind, official if kind == "official" else compatible, sandbox, clock)
        try:
            yield world
        finally:
            world.close()


def observe(program: Program, kind: Kind, patch: pytest.MonkeyPatch, **options: Any) -> Any:
    """Run a program, and return what it sees: its value or its error, without ids, ports and times."""
    with open_world(kind, patch, **options) as world:
        try:
            seen = program(world)
        except Exception as error:  # noqa: BLE001  any error is a result here
            seen = describe_error(world, error)
        text = json.dumps(seen, default=str, sort_keys=True)
        for number, request in enumerate(_find_ids(world.sandbox)):
            text = text.replace(request, f"id-{number}")
        return _drop_varying(json.loads(text.replace(world.sandbox.base_url, "http://sandbox")))


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
    return {"caught as": caught, **attributes}


def _find_ids(sandbox: Sandbox) -> list[str]:
    ids = {part for request in sandbox.requests for part in request.path.split("/") if len(part) == 36}
    return [*sandbox.billed, *sorted(ids - set(sandbox.billed))]


def _drop_varying(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "…" if key in VARYING else _drop_varying(item) for key, item in value.items()}
    return [*map(_drop_varying, value)] if isinstance(value, list) else value
