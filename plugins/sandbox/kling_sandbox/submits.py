"""Acceptance of submits: checks in the order of the gateway, the price, and the new job."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.requests import Request

from kling_sandbox import bodies
from kling_sandbox.accounts import Account
from kling_sandbox.addresses import Sender
from kling_sandbox.bounded import BoundedStore
from kling_sandbox.clock import Clock, Timing
from kling_sandbox.errors import GatewayError
from kling_sandbox.faults import get_fault_kind
from kling_sandbox.history_delays import HistoryDelays
from kling_sandbox.jobs import Job
from kling_sandbox.rendering.plan import make_plan
from kling_sandbox.validation import InvalidParams, Schema, Validator

BLOCKED_TEXT: Final = "sandbox-block"
"""A job whose parameters contain this text ends FAILED, as after a content block."""

_BLOCKED: Final = "The content was blocked by the safety filter."
_WORKER_FAILED: Final = "The worker failed."
_RENDERED_KINDS: Final = frozenset({"video", "image"})
_JOB_OVERHEAD: Final = 4096
_BYTES_PER_CHARACTER: Final = 9
"""The largest memory of a character of a body in a job, which stores its texts twice, and the body."""


class Submits:
    """Accepts submits and adds their jobs to a store."""

    def __init__(
        self,
        schemas: Mapping[str, Schema],
        timing: Timing,
        clock: Clock,
        jobs: BoundedStore[str, Job],
        history_delays: HistoryDelays,
    ) -> None:
        """Raise ValueError for an unusable schema. The mapping may get models while the gateway runs."""
        self._schemas = schemas
        self._validators = {slug: Validator(schema) for slug, schema in schemas.items()}
        self._timing = timing
        self._clock = clock
        self._jobs = jobs
        self.history_delays = history_delays

    async def accept(self, request: Request, account: Account) -> Job:
        """Return the new job of a submit. Raises GatewayError for a refused submit."""
        now = self._clock.now()
        _check_rate_limit(account, now)
        slug = request.path_params["slug"]
        validator = self._find_validator(slug)
        if validator is None:
            raise GatewayError(404, f"Model {slug} not found")
        if retired := validator.schema["x-kling"].get("retired"):
            advice = f"; use {retired['use']}" if "use" in retired else ""
            raise GatewayError(410, f"Model {slug} was retired on {retired['since']}{advice}")
        if bodies.read_content_type(request.headers) != "application/json":
            raise GatewayError(406, "Content-Type must be application/json")
        content = await request.body()
        params = _read_params(content, validator)
        job = self._create_job(request, account, validator.schema, params, content, now)
        self._jobs.add(job.request_id, job, _JOB_OVERHEAD + _BYTES_PER_CHARACTER * len(content))
        request.scope["received"].request_id = job.request_id
        return job

    def _find_validator(self, slug: str) -> Validator | None:
        """Return the validator of the present schema of a model; None for an unknown model."""
        schema, validator = self._schemas.get(slug), self._validators.get(slug)
        if schema is not None and (validator is None or validator.schema is not schema):
            validator = self._validators[slug] = Validator(schema)
        return validator

    def _create_job(
        self,
        request: Request,
        account: Account,
        schema: Schema,
        params: dict[str, Any],
        content: bytes,
        now: float,
    ) -> Job:
        plan = make_plan(schema, params)
        if plan.price > account.credits:
            raise GatewayError(406, f"Insufficient credits: this request costs {plan.price}")
        has_fault = get_fault_kind(request.scope) == "failed"
        failure = _WORKER_FAILED if has_fault else _find_failure(params, plan.returns)
        cost = 0.0 if failure else plan.price
        return Job(
            slug=request.path_params["slug"],
            account=account,
            sender=Sender.of(request),
            requested_seed=params.get("seed"),
            prompt=params.get("prompt"),
            plan=plan,
            cost=cost,
            remaining_credits=account.charge(cost),
            submitted=now,
            polls_needed=self._timing.amount,
            end=self._find_end(schema, now),
            failure=failure,
            body=content,
            history_delay=self.history_delays.next(),
        )

    def describe_params(self, job: Job, *, adds_defaults: bool) -> dict[str, Any]:
        """Return the parameters of a job as they were sent, or with the defaults of the model."""
        params = read_object(job.body)
        return self._validators[job.slug].check(params) if adds_defaults else params

    def restart(self, job: Job) -> None:
        """Start a job again, as after a restart of its worker."""
        job.polls, job.end = 0, self._find_end(self._validators[job.slug].schema, self._clock.now())

    def _find_end(self, schema: Schema, now: float) -> float | None:
        return self._timing.end(now, schema["x-kling"].get("latency_seconds"))


def _check_rate_limit(account: Account, now: float) -> None:
    if wait := account.seconds_to_wait(now):
        reset = datetime.now(UTC) + timedelta(seconds=wait)
        header = {"x-rate-limit-reset-at-utc": reset.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        raise GatewayError(429, "Rate limit exceeded", header)


def _read_params(content: bytes, validator: Validator) -> dict[str, Any]:
    try:
        return validator.check(read_object(content))
    except InvalidParams as error:
        raise GatewayError(400, str(error)) from None


def read_object(content: bytes) -> dict[str, Any]:
    """Return the JSON object of a body. Raises GatewayError 400."""
    try:
        document = bodies.parse_json(content)
    except ValueError as error:
        raise GatewayError(400, f"The body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise GatewayError(400, "The body must be a JSON object of parameters")
    return document


def _find_failure(params: Any, returns: str) -> str | None:
    """Return the reason for which a job with these parameters fails, or None."""
    if BLOCKED_TEXT in json.dumps(params):
        return _BLOCKED
    return None if returns in _RENDERED_KINDS else f"The sandbox does not render {returns}."
