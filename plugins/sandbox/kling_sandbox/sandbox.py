"""The sandbox: a gateway in a thread of this process."""

import os
import re
import tempfile
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from starlette.types import ASGIApp, Receive, Scope, Send

from kling_sandbox.access import CONTROL_PREFIX, HostCheck
from kling_sandbox.accounts import API_KEY, fingerprint, make_accounts
from kling_sandbox.clock import Clock, Timing
from kling_sandbox.control import Control
from kling_sandbox.faults import Fault, Faults
from kling_sandbox.gateway import Gateway
from kling_sandbox.history_delays import HistoryDelays
from kling_sandbox.intake import Intake
from kling_sandbox.openapi.document import make_document
from kling_sandbox.record import ReceivedRequest, Record
from kling_sandbox.rendering.renderer import Renderer
from kling_sandbox.server import run_server
from kling_sandbox.validation import Schema

_SUBMIT: Final = re.compile("/v[12]/[^/]+$")


class Sandbox:
    """A gateway on this machine, for a single `with` block, with its own jobs, credits, clock and record.

    Args:
        timing: The end of jobs: `at-once`, `polls:N` or `latency:FACTOR`.
        schemas: JSON Schemas of models by slug. None means the whole catalog.
        api_keys: The valid keys, each with its own account.
        credits: The initial balance of each account, in credits.
        rate_limit: The number of submits per minute of each account. None means no limit.
        faults: The faults. The first one that affects a request is used.
        seed: The seed of the faults.
        history_delay: Seconds of the sandbox's clock from the submit of a job until it is in the request history, or
            a series of delays for the jobs in turn.
        history_defaults: Whether the history adds the defaults of its model to the parameters of a job.
        host: The address to listen at; `0.0.0.0` for all addresses of this machine.
        port: The port; 0 for a free one.
        allowed_hosts: Names for the sandbox that clients may use, in addition to IP addresses, `localhost` and `host`.
            If other machines can connect, names without a dot and names that end in `.internal` are allowed too.

    Attributes:
        api_key: A valid key, the first of several.
        base_url: The base URL for clients on this machine, without a version. It is set when the block is entered.

    Raises:
        ValueError: The timing or the delay of the history is invalid.

    """

    api_key: str
    base_url: str

    def __init__(
        self,
        *,
        timing: str = "at-once",
        schemas: Mapping[str, Schema] | None = None,
        api_keys: Sequence[str] = (API_KEY,),
        credits: float = 1000.0,  # noqa: A002  the name of the gateway
        rate_limit: int | None = None,
        faults: Sequence[Fault] = (),
        seed: int = 0,
        history_delay: float | Sequence[float] = 0.0,
        history_defaults: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        allowed_hosts: Collection[str] = (),
    ) -> None:
        self._timing = Timing.parse(timing)
        self._schemas = _load_schemas() if schemas is None else schemas
        self._history_delays, self._history_defaults = HistoryDelays(history_delay), history_defaults
        self._host, self._port = host, port
        self._clock = Clock()
        self.api_key = api_keys[0]
        self._accounts = make_accounts(api_keys, balance=credits, submits_per_minute=rate_limit)
        self._host_check = HostCheck(host, allowed_hosts)
        self._record = Record()
        self._intake = Intake(self._record, Faults(faults, seed), self._accounts)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the gateway.

        Returns:
            The sandbox.

        Raises:
            OSError: The sandbox cannot listen at its address.
            ValueError: A schema is unusable.

        """
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kling-sandbox-"))
            executor = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="kling-sandbox-render")
            stack.callback(executor.shutdown, cancel_futures=True)
            renderer = Renderer(Path(folder))
            self._gateway = Gateway(
                self._schemas,
                self._accounts,
                self._timing,
                self._clock,
                renderer,
                executor,
                self._history_delays,
                history_defaults=self._history_defaults,
            )
            gateway = self._intake.protect(self._gateway.app())
            app = self._host_check.protect(_route(Control(self).app(), gateway))
            self.base_url = stack.enter_context(run_server(app, self._host, self._port))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the gateway and remove its files."""
        self._stack.close()

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """The received requests, in order of arrival; the last 80,000 or so."""
        return self._record.entries

    @property
    def submits(self) -> tuple[ReceivedRequest, ...]:
        """The submits of both versions; `request_id` is None for a submit that started no job."""
        return tuple(entry for entry in self.requests if entry.method == "POST" and _SUBMIT.match(entry.path))

    @property
    def billed(self) -> Mapping[str, float]:
        """The cost of each job in credits, by request id, without failed jobs."""
        return self._gateway.billed

    @property
    def faults(self) -> Faults:
        """The current faults. Assign a list of faults or `Faults([...], seed)` to replace them, `()` to remove them."""
        return self._intake.faults

    @faults.setter
    def faults(self, faults: Faults | Sequence[Fault]) -> None:
        self._intake.faults = faults if isinstance(faults, Faults) else Faults(faults)

    def has_received_key(self, key: str, path: str = "*") -> bool:
        """Return whether a request contained a key.

        Args:
            key: The key.
            path: A shell pattern for the path of the request, such as `/media/*`.

        Returns:
            Whether a header or the query of such a request contained the key.

        """
        return self._record.has_key(key, path)

    def delay_history(self, delay: float | Sequence[float], request_id: str | None = None) -> None:
        """Set the delay after which jobs are in the request history, also of earlier jobs.

        Args:
            delay: Seconds from the submit on the sandbox's clock, or a series of them for the jobs in turn.
            request_id: The job; None for all jobs, later ones included.

        Raises:
            ValueError: The delay is invalid.
            LookupError: The job is unknown.

        """
        self._gateway.delay_history(delay, request_id)

    @property
    def credits(self) -> float:
        """The balance of the account of `api_key`, in credits."""
        return self._accounts[fingerprint(self.api_key)].credits

    @property
    def uploads(self) -> int:
        """The number of uploaded files; the same file twice counts twice."""
        return self._gateway.uploads.count

    @property
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI 3.1 document of the sandbox, as at `/_sandbox/openapi.json`."""
        return make_document(self._schemas, self.base_url)

    def advance(self, seconds: float) -> None:
        """Advance the clock of the sandbox: jobs end, records expire, the rate limit resets.

        Args:
            seconds: The seconds, from 0 to 1,000,000,000.

        Raises:
            ValueError: The seconds are out of range.

        """
        self._clock.advance(seconds)


def _route(control: ASGIApp, gateway: ASGIApp) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (control if scope["path"].startswith(CONTROL_PREFIX) else gateway)(scope, receive, send)

    return app


def _load_schemas() -> Mapping[str, Schema]:
    from kling_adapters import load_catalog

    return {slug: entry.json_schema() for slug, entry in load_catalog().items()}
