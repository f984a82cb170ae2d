"""The in-process form: a gateway in a thread, for as long as a `with` block lasts."""

import os
import re
import socket
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from kling_sandbox import control, wire
from kling_sandbox.access import CONTROL_PREFIX, HostCheck
from kling_sandbox.accounts import API_KEY, accounts, fingerprint
from kling_sandbox.faults import Fault, Faults
from kling_sandbox.gateway import Gateway, origin
from kling_sandbox.jobs import Clock, Timing
from kling_sandbox.media import Renderer
from kling_sandbox.openapi import document
from kling_sandbox.record import Received, Record
from kling_sandbox.validation import Schema

_SUBMIT: Final = re.compile("/v[12]/[^/]+$")


class Sandbox:
    """A gateway on this machine, with jobs, credits, a clock and a record of its own; entered once."""

    api_key: str
    """A key that works, the first if there are several."""

    base_url: str
    """The address of the gateway, without a version, for clients on this machine; set by entering."""

    def __init__(
        self,
        *,
        timing: str = "at-once",
        schemas: Mapping[str, Schema] | None = None,
        api_keys: Sequence[str] = (API_KEY,),
        credits: float = 1000.0,  # noqa: A002  what the gateway calls it
        rate_limit: int | None = None,
        faults: Sequence[Fault] = (),
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        allowed_hosts: Collection[str] = (),
    ) -> None:
        """Prepare; nothing listens before the `with` block.

        `timing`: `at-once`, `polls:N` or `latency:FACTOR`. `schemas`: JSON Schemas by slug, by default those
        of the whole catalogue. `api_keys`: those that work, each of an account of its own. `credits`: what each begins
        with. `rate_limit`: how many submits a minute each may send. `faults`: what goes wrong, the first that strikes
        a request; with `seed` the same each time. `host`: the address to listen at; `0.0.0.0` is every address of this
        machine. `port`: 0 takes a free one. `allowed_hosts`: names that clients may call it by, beside addresses, `localhost`,
        `host`, and, when other machines can reach it, names without a dot and those that end in `.internal`.
        Raises ValueError for a bad timing.
        """
        self._timing = Timing.parse(timing)
        self._schemas = _catalogue() if schemas is None else schemas
        self._host, self._port = host, port
        self._clock = Clock()
        self.api_key = api_keys[0]
        self._accounts = accounts(api_keys, balance=credits, submits_per_minute=rate_limit)
        self._host_check = HostCheck(host, allowed_hosts)
        self._record = Record(Faults(faults, seed), self._accounts)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start to listen. Raises OSError if that is not possible, ValueError for an unusable schema."""
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kling-sandbox-"))
            executor = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="kling-sandbox-render")
            stack.callback(executor.shutdown, cancel_futures=True)
            renderer = Renderer(Path(folder))
            self._gateway = gateway = Gateway(
                self._schemas, self._accounts, self._timing, self._clock, renderer, executor
            )
            listener = stack.enter_context(_listen(self._host, self._port))
            config = uvicorn.Config(
                self._host_check.around(_split(control.app(self), self._record.around(gateway.app()))),
                http=wire.Protocol,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=2,
            )
            server = _Server(config)
            thread = threading.Thread(
                target=server.run, args=([listener],), name="kling-sandbox", daemon=True
            )
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.stop)
            server.listening.wait()
            self.base_url = _local_url(*listener.getsockname()[:2])
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and remove every file."""
        self._stack.close()

    @property
    def requests(self) -> tuple[Received, ...]:
        """Every request so far and what became of it, in order of arrival; of more than 80,000 the last ones."""
        return self._record.received

    @property
    def submits(self) -> tuple[Received, ...]:
        """The requests that would start a job, of both versions; `request_id` tells of each whether it did."""
        return tuple(entry for entry in self.requests if entry.method == "POST" and _SUBMIT.match(entry.path))

    @property
    def billed(self) -> Mapping[str, float]:
        """The credits that each job cost, by request id; one that FAILED is not among them."""
        return self._gateway.billed

    @property
    def faults(self) -> Faults:
        """What goes wrong from now on: assign `Faults([...], seed)`, or `Faults()` for nothing."""
        return self._record.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._record.faults = faults

    def has_received_key(self, key: str, path: str = "*") -> bool:
        """Tell whether `key` ever came with a request to a path like `path`, as in `/media/*`."""
        return self._record.has_key(key, path)

    @property
    def credits(self) -> float:
        """What the account of `api_key` has left."""
        return self._accounts[fingerprint(self.api_key)].credits

    @property
    def uploads(self) -> int:
        """How many files were uploaded; the same one twice counts twice."""
        return self._gateway.uploads.count

    @property
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI 3.1 document of this sandbox, as it serves it at `/_sandbox/openapi.json`."""
        return document(self._schemas, self.base_url)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on the sandbox's clock: jobs end, records expire, the rate limit resets.

        Raises ValueError if they are negative, or more than a thousand million.
        """
        self._clock.advance(seconds)


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    def stop(self) -> None:
        self.should_exit = True


def _split(control: ASGIApp, gateway: ASGIApp) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (control if scope["path"].startswith(CONTROL_PREFIX) else gateway)(scope, receive, send)

    return app


def _local_url(host: str, port: int) -> str:
    """Return a URL that clients on this machine can use for a server that listens there."""
    return origin({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)  # noqa: S104


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket that says it is TCP: else asyncio leaves on the delay of 40 ms an answer."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def _catalogue() -> Mapping[str, Schema]:
    from kling_adapters import load_catalog

    return {slug: entry.json_schema() for slug, entry in load_catalog().items()}
