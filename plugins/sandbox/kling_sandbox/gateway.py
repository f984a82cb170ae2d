"""The protocol: one Starlette application that answers as the gateway does."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from kling_sandbox import bodies
from kling_sandbox.access import is_loopback
from kling_sandbox.accounts import Account, fingerprint
from kling_sandbox.answers import GatewayError, answer_gateway_error, answer_get_only, answer_http_error
from kling_sandbox.bounded import BoundedStore
from kling_sandbox.faults import Fault
from kling_sandbox.fetch import fetch
from kling_sandbox.files import Files
from kling_sandbox.jobs import Clock, Job, Rendered, Sender, Timing
from kling_sandbox.media import CONTENT_TYPES, Renderer
from kling_sandbox.plan import plan
from kling_sandbox.validation import Refused, Schema, Validator

BLOCKED_TEXT: Final = "sandbox-block"
"""A job with this anywhere in its parameters ends FAILED, as a content block does."""

_BLOCKED: Final = "The content was blocked by the safety filter."
_WORKER_FAILED: Final = "The worker failed."
_TICK: Final = 0.01
_RENDERED_KINDS: Final = frozenset({"video", "image"})
_JOBS_CAPACITY: Final = 256 * 1024**2
_JOB_OVERHEAD: Final = 4096
_BYTES_PER_CHARACTER: Final = 8
"""The most memory that a character of a body may take in a job, which keeps its texts twice."""


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
    ) -> None:
        """Raise ValueError for a schema that cannot be used. `accounts` is by fingerprint of the key."""
        self._schemas = schemas
        self._validators = {slug: Validator(schema) for slug, schema in schemas.items()}
        self._accounts = accounts
        self._timing = timing
        self._clock = clock
        self._renderer = renderer
        self._executor = executor
        self._jobs = BoundedStore[str, Job](_JOBS_CAPACITY)
        self._files = Files(self._jobs, clock)
        self.uploads = self._files.uploads

    @property
    def billed(self) -> dict[str, float]:
        """What each job cost, by request id; one that failed is not among them."""
        return {job.request_id: job.cost for job in self._jobs.values() if job.cost}

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route("/v2/requests/{request_id}/status", self._keyed(self._status)),
                Route("/v2/requests/{request_id}", self._keyed(self._result)),
                # The address that a submit gives as poll_url.
                Route("/v1/requests/{request_id}", self._keyed(self._result)),
                Route("/v1/get-user-credits", self._keyed(self._credits)),
                # Not a model, though it looks like one.
                Route("/v1/get-user-credits", answer_get_only, methods=["POST"]),
                Route("/v1/{slug}", self._keyed(self._run), methods=["POST"]),
                Route("/v2/{slug}", self._keyed(self._submit), methods=["POST"]),
                Route("/upload-asset", self._keyed(self._upload), methods=["POST"]),
                *self._files.routes,
            ],
            exception_handlers={GatewayError: answer_gateway_error, HTTPException: answer_http_error},
        )

    def _keyed(
        self, handler: Callable[[Request, Account], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def checked(request: Request) -> Response:
            account = self._accounts.get(fingerprint(request.headers.get("x-api-key", "")))
            if account is None:
                message = "Missing or invalid API key"
                raise GatewayError(
                    401, message, error_description="Send a valid key as x-api-key.", status_code=401
                )
            if not account.permitted:
                raise GatewayError(403, "This account is not permitted to do that")
            return await handler(request, account)

        return checked

    async def _accepted(self, request: Request, account: Account) -> Job:
        """Start the job that a request asks for."""
        now = self._clock.now()
        if wait := account.seconds_to_wait(now):
            reset = datetime.now(UTC) + timedelta(seconds=wait)
            header = {"x-rate-limit-reset-at-utc": reset.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
            raise GatewayError(429, "Rate limit exceeded", header)
        slug = request.path_params["slug"]
        schema = self._schemas.get(slug)
        if schema is None:
            raise GatewayError(404, f"Model {slug} not found")
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise GatewayError(406, "Content-Type must be application/json")
        content = await request.body()
        try:
            params = self._validators[slug].check(_json_object(content))
        except Refused as refused:
            raise GatewayError(400, str(refused)) from None
        job_plan = plan(schema, params)
        failure = _WORKER_FAILED if _fault(request) == "failed" else _failure(params, job_plan.returns)
        if job_plan.price > account.credits:
            raise GatewayError(406, f"Insufficient credits: this request costs {job_plan.price}")
        cost = 0.0 if failure else job_plan.price
        job = Job(
            slug=slug,
            account=account,
            sender=Sender(_netloc(request), is_loopback(request.client.host if request.client else "")),
            requested_seed=params.get("seed"),
            prompt=params.get("prompt"),
            plan=job_plan,
            cost=cost,
            remaining_credits=account.charge(cost),
            submitted=now,
            polls_needed=self._timing.amount,
            end=self._timing.end(now, schema["x-kling"].get("latency_seconds")),
            failure=failure,
        )
        self._jobs.add(job.request_id, job, _JOB_OVERHEAD + _BYTES_PER_CHARACTER * len(content))
        request.scope["received"].request_id = job.request_id
        return job

    async def _submit(self, request: Request, account: Account) -> Response:
        job = await self._accepted(request, account)
        poll_url = f"{_own(request)}/v1/requests/{job.request_id}"
        first = {"request_id": job.request_id, "status": "QUEUED", "poll_url": poll_url}
        return JSONResponse({**first, **_urls(job, request)})

    async def _run(self, request: Request, account: Account) -> Response:
        """Answer a synchronous call with the file itself. Its job has no record: there is nothing to come back to."""
        job = await self._accepted(request, account)
        job.has_record = False
        self._start(job)
        if job.end is None:
            job.end = self._clock.now()
        while job.running(self._clock.now()):  # noqa: ASYNC110
            await asyncio.sleep(_TICK)  # the clock may be moved at any moment
        if failed := await self._failed(job, account):
            return failed
        path = (await self._rendered(job)).path
        assert path is not None
        headers = {
            "x-request-id": job.request_id,
            "x-cost": str(job.cost),
            "x-remaining-credits": str(job.remaining_credits),
            "x-generation-time": str(job.times()["inference_time"]),
            "x-seed-value": str(job.seed),
        }
        return FileResponse(path, media_type=CONTENT_TYPES[path.suffix], headers=headers)

    async def _status(self, request: Request, account: Account) -> Response:
        job = self._job(request, account)
        job.poll(self._clock.now())
        if (running := self._running(job, request)) is not None:
            return running
        if failed := await self._failed(job, account):
            return failed
        metrics = {"inference_time": job.times()["inference_time"]}
        return JSONResponse({"status": "COMPLETED", "request_id": job.request_id, "metrics": metrics})

    async def _result(self, request: Request, account: Account) -> Response:
        job = self._job(request, account)
        if (running := self._running(job, request)) is not None:
            return running
        if failed := await self._failed(job, account):
            return failed
        path = (await self._rendered(job)).path
        assert path is not None
        name = job.request_id + path.suffix
        url = f"{_own(request)}/media/{name}"
        file = {
            "url": url,
            "content_type": CONTENT_TYPES[path.suffix],
            "file_name": name,
            "file_size": path.stat().st_size,
        }
        body: dict[str, Any] = {"status": "COMPLETED", "request_id": job.request_id, "output": url}
        body |= {"video": file} if job.plan.returns == "video" else {"images": [file]}
        body["seed"] = job.seed
        if job.prompt is not None:
            body["prompt"] = job.prompt
        body["metrics"] = {"cost": job.cost, "remaining_credits": job.remaining_credits, **job.times()}
        return JSONResponse(body)

    async def _credits(self, request: Request, account: Account) -> Response:
        return JSONResponse({"credits": account.credits, "free-credits": 0.0})

    async def _upload(self, request: Request, account: Account) -> Response:
        body = _json_object(await request.body())
        try:
            names = await run_in_threadpool(self.uploads.take, body.get("data_urls"))
        except ValueError as error:
            raise GatewayError(400, str(error)) from None
        urls = [f"{_own(request)}/assets/{name}" for name in names]
        return JSONResponse({"file_urls": urls, "message": "Files uploaded"})

    def _job(self, request: Request, account: Account) -> Job:
        job = self._jobs.get(request.path_params["request_id"])
        # Whether the gateway shows a job to another account is not documented: here it does not.
        now = self._clock.now()
        if job is None or not job.has_record or job.account is not account or job.expired(now):
            raise GatewayError(404, "Request not found or expired")
        if _fault(request) == "restart":
            latency = self._schemas[job.slug]["x-kling"].get("latency_seconds")
            job.polls, job.end = 0, self._timing.end(now, latency)
        return job

    def _running(self, job: Job, request: Request) -> Response | None:
        """Answer for a job that has not ended, else None. The first question starts the rendering."""
        self._start(job)
        state = job.running(self._clock.now())
        if _fault(request) == "restart":
            state = "QUEUED"
        if _fault(request) == "flap":
            state = "QUEUED" if state == "PROCESSING" else "PROCESSING"
        if state is None:
            return None
        urls = _urls(job, request)
        return JSONResponse({"status": state, "request_id": job.request_id, **urls, "metrics": {}})

    def _start(self, job: Job) -> None:
        if job.failure is None and (job.rendered is None or job.has_lost_file()):
            loop = asyncio.get_running_loop()
            job.rendered = loop.run_in_executor(self._executor, self._render, job)

    async def _failed(self, job: Job, account: Account) -> Response | None:
        error = (await self._rendered(job)).error
        if error is None:
            return None
        if job.cost:
            account.charge(-job.cost)
            job.cost = 0.0
        body = {"status": "FAILED", "request_id": job.request_id, "error": error, "metrics": job.times()}
        return JSONResponse(body, 422)

    async def _rendered(self, job: Job) -> Rendered:
        """Wait for the file of a job that is due."""
        if job.rendered is None:
            return Rendered(error=job.failure)
        return await asyncio.shield(job.rendered)

    def _render(self, job: Job) -> Rendered:
        try:
            return Rendered(path=self._renderer.render(job.plan, lambda url: self._picture(url, job.sender)))
        except Exception as error:  # noqa: BLE001  a broken worker ends its job, not the gateway
            return Rendered(error=f"The worker failed: {error!r}")

    def _picture(self, url: str, sender: Sender) -> bytes | None:
        """Return the picture that a job starts from: a file of this sandbox, or one of another server here."""
        if sender.means_sandbox(url):
            return self._files.read(url)
        # Whoever is on another machine means that machine by a loopback address.
        return fetch(url) if sender.is_on_this_machine else None


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        document = bodies.read(body)
    except ValueError as error:
        raise GatewayError(400, f"The body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise GatewayError(400, "The body must be a JSON object of parameters")
    return document


def _failure(params: Any, returns: str) -> str | None:
    """Return why a job with these parameters cannot succeed, or None."""
    if BLOCKED_TEXT in json.dumps(params):
        return _BLOCKED
    return None if returns in _RENDERED_KINDS else f"The sandbox does not render {returns}."


def _fault(request: Request) -> str:
    fault: Fault | None = request.scope["fault"]
    return fault.kind if fault else ""


def origin(host: str, port: int) -> str:
    """Return the address of a server as the beginning of its URLs."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _netloc(request: Request) -> str:
    """Return host and port as the client calls them, which may be on another machine or behind a mapped port."""
    own: str = request.headers.get("host") or origin(*request.scope["server"]).removeprefix("http://")
    return own


def _own(request: Request) -> str:
    """Return the address that the client reaches the sandbox by."""
    return f"http://{_netloc(request)}"


def _urls(job: Job, request: Request) -> dict[str, str]:
    response_url = f"{_own(request)}/v2/requests/{job.request_id}"
    return {"status_url": f"{response_url}/status", "response_url": response_url}
