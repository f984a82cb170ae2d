"""The gateway protocol, as a Starlette application."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from kling_sandbox import history, model_list, responses
from kling_sandbox.accounts import Account, fingerprint
from kling_sandbox.addresses import find_base_url
from kling_sandbox.bounded import BoundedStore
from kling_sandbox.clock import Clock, Timing
from kling_sandbox.errors import (
    GatewayError,
    refuse_method,
    respond_to_gateway_error,
    respond_to_http_error,
)
from kling_sandbox.faults import get_fault_kind
from kling_sandbox.files import Files
from kling_sandbox.history import History
from kling_sandbox.history_delays import HistoryDelays
from kling_sandbox.jobs import Job
from kling_sandbox.model_list import make_model_list
from kling_sandbox.rendering.renderer import CONTENT_TYPES, Renderer
from kling_sandbox.submits import Submits, read_object
from kling_sandbox.validation import Schema
from kling_sandbox.workers import Workers

_TICK: Final = 0.01
_JOBS_CAPACITY: Final = 256 * 1024**2


class Gateway:
    """The state of the gateway and its handlers; used on one event loop."""

    def __init__(
        self,
        schemas: Mapping[str, Schema],
        accounts: Mapping[str, Account],
        timing: Timing,
        clock: Clock,
        renderer: Renderer,
        executor: Executor,
        history_delays: HistoryDelays,
        *,
        history_defaults: bool,
    ) -> None:
        """Raise ValueError for an unusable schema. `accounts` is by fingerprint of the key."""
        self._accounts = accounts
        self._clock = clock
        self._jobs = BoundedStore[str, Job](_JOBS_CAPACITY)
        self._submits = Submits(schemas, timing, clock, self._jobs, history_delays)
        self._models = make_model_list(schemas)
        self._files = Files(self._jobs, clock)
        self._workers = Workers(renderer, executor, self._files.read)
        describe_params = partial(self._submits.describe_params, adds_defaults=history_defaults)
        self._history = History(self._jobs, clock, describe_params)
        self.uploads = self._files.uploads

    @property
    def billed(self) -> dict[str, float]:
        """The cost of each job by request id, without failed jobs."""
        return {job.request_id: job.cost for job in self._jobs.values() if job.cost}

    def delay_history(self, delay: float | Sequence[float], request_id: str | None) -> None:
        """Set the delay of a job, or those of all jobs. Raises LookupError for an unknown job."""
        delays = HistoryDelays(delay)
        jobs = self._jobs.values()
        if request_id is None:
            self._submits.history_delays = delays
        else:
            jobs = tuple(job for job in jobs if job.request_id == request_id)
            if not jobs:
                raise LookupError(f"there is no job {request_id!r}")
        for job in jobs:
            job.history_delay = delays.next()

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route("/v2/requests/{request_id}/status", self._with_key(self._status)),
                Route("/v2/requests/{request_id}", self._with_key(self._result)),
                # The poll_url of a submit.
                Route("/v1/requests/{request_id}", self._with_key(self._result)),
                Route("/v1/get-user-credits", self._with_key(self._credits)),
                # Not a model, although the path looks like one.
                Route("/v1/get-user-credits", refuse_method, methods=["POST"]),
                Route("/v1/{slug}", self._with_key(self._run), methods=["POST"]),
                Route("/v2/{slug}", self._with_key(self._submit), methods=["POST"]),
                Route("/upload-asset", self._with_key(self._upload), methods=["POST"]),
                Route(history.PATH, self._with_key(self._history.list_page)),
                Route(f"{history.PATH}/{{request_id}}", self._with_key(self._history.find_row)),
                Route(model_list.PATH, self._list_models),
                *self._files.make_routes(self._workers),
            ],
            exception_handlers={
                GatewayError: respond_to_gateway_error,
                HTTPException: respond_to_http_error,
            },
        )

    def _with_key(
        self, handler: Callable[[Request, Account], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def check_key(request: Request) -> Response:
            account = self._accounts.get(fingerprint(request.headers.get("x-api-key", "")))
            if account is None:
                message = "Missing or invalid API key"
                raise GatewayError(
                    401, message, error_description="Send a valid key as x-api-key.", status_code=401
                )
            if not account.permitted:
                raise GatewayError(403, "This account is not permitted to do that")
            return await handler(request, account)

        return check_key

    async def _submit(self, request: Request, account: Account) -> Response:
        job = await self._submits.accept(request, account)
        return JSONResponse(responses.make_submitted_body(job, find_base_url(request)))

    async def _run(self, request: Request, account: Account) -> Response:
        """Respond to a synchronous call with the file. Its job has no record: a lost response cannot be fetched."""
        job = await self._submits.accept(request, account)
        job.has_record = False
        self._workers.start(job)
        if job.end is None:
            job.end = self._clock.now()
        while job.running_state(self._clock.now()):  # noqa: ASYNC110
            await asyncio.sleep(_TICK)  # the clock can be advanced at any moment
        output = await self._await_output(job)
        if isinstance(output, Response):
            return output
        media_type = CONTENT_TYPES[output.suffix]
        return FileResponse(output, media_type=media_type, headers=responses.make_direct_headers(job))

    async def _status(self, request: Request, account: Account) -> Response:
        job = self._find_job(request, account)
        job.poll(self._clock.now())
        if running := self._respond_if_running(job, request):
            return running
        output = await self._await_output(job)
        return output if isinstance(output, Response) else JSONResponse(responses.make_completed_body(job))

    async def _result(self, request: Request, account: Account) -> Response:
        job = self._find_job(request, account)
        if running := self._respond_if_running(job, request):
            return running
        output = await self._await_output(job)
        if isinstance(output, Response):
            return output
        return JSONResponse(responses.make_result_body(job, output, find_base_url(request)))

    async def _credits(self, request: Request, account: Account) -> Response:
        return JSONResponse({"credits": account.credits, "free-credits": 0.0})

    async def _list_models(self, _: Request) -> Response:
        return JSONResponse(self._models)

    async def _upload(self, request: Request, account: Account) -> Response:
        body = read_object(await request.body())
        try:
            names = await run_in_threadpool(self.uploads.add, body.get("data_urls"))
        except ValueError as error:
            raise GatewayError(400, str(error)) from None
        urls = [f"{find_base_url(request)}/assets/{name}" for name in names]
        return JSONResponse({"file_urls": urls, "message": "Files uploaded"})

    def _find_job(self, request: Request, account: Account) -> Job:
        job = self._jobs.get(request.path_params["request_id"])
        # The documentation does not say whether the gateway shows a job to another account. Here it does not.
        is_visible = job is not None and job.has_record and job.account is account
        if job is None or not is_visible or job.has_expired(self._clock.now()):
            raise GatewayError(404, "Request not found or expired")
        if get_fault_kind(request.scope) == "restart":
            self._submits.restart(job)
        return job

    def _respond_if_running(self, job: Job, request: Request) -> Response | None:
        """Respond for a job before its end; the first request starts its rendering."""
        self._workers.start(job)
        state = job.running_state(self._clock.now())
        match get_fault_kind(request.scope):
            case "restart":
                state = "QUEUED"
            case "flap":
                state = "QUEUED" if state == "PROCESSING" else "PROCESSING"
            case _:
                pass
        if state is None:
            return None
        return JSONResponse(responses.make_running_body(job, state, find_base_url(request)))

    async def _await_output(self, job: Job) -> Path | Response:
        """Return the file of a job after its end, or the response about its failure."""
        output = await self._workers.output(job)
        if output.path is not None:
            return output.path
        return JSONResponse(responses.make_failed_body(job, output.error or ""), 422)
