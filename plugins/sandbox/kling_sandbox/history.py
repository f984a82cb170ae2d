"""The request history: a page of the requests of an account, or one request of any age."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kling_sandbox.accounts import Account
from kling_sandbox.addresses import find_base_url
from kling_sandbox.bounded import BoundedStore
from kling_sandbox.clock import Clock
from kling_sandbox.errors import GatewayError
from kling_sandbox.faults import get_fault_kind
from kling_sandbox.history_query import read_query
from kling_sandbox.jobs import Job

PATH: Final = "/inference-request/request-history"


class History:
    """Handlers of the request history; used on the event loop."""

    def __init__(
        self,
        jobs: BoundedStore[str, Job],
        clock: Clock,
        describe_params: Callable[[Job], Mapping[str, Any]],
    ) -> None:
        """`describe_params` returns the parameters of a job for its row."""
        self._jobs = jobs
        self._clock = clock
        self._describe_params = describe_params

    async def list_page(self, request: Request, account: Account) -> Response:
        """Respond with a page of the requests of an account."""
        query = read_query(request.query_params)
        now = self._clock.now()
        jobs = query.sort(
            job for job in self._list_jobs(request, account) if query.matches(job, _find_state(job, now))
        )
        if get_fault_kind(request.scope) == "twins":
            jobs = [job for job in jobs for _ in range(2)]
        rows = [self._describe(job, request) for job in query.select_page(jobs)]
        return JSONResponse({"generations": rows, "pagination": query.describe_pages(len(jobs))})

    async def find_row(self, request: Request, account: Account) -> Response:
        """Respond with a request of any age of the calling account."""
        request_id = request.path_params["request_id"]
        jobs = self._list_jobs(request, account)
        job = next((job for job in jobs if job.request_id == request_id), None)
        if get_fault_kind(request.scope) == "foreign":
            job = next((job for job in reversed(jobs) if job.request_id != request_id), None)
        if job is None:
            raise GatewayError(404, "Request not found")
        return JSONResponse(self._describe(job, request))

    def _list_jobs(self, request: Request, account: Account) -> list[Job]:
        """Return the listed jobs of an account, the oldest first; with a fault, none, or those of all accounts."""
        kind = get_fault_kind(request.scope)
        if kind == "missing":
            return []
        now = self._clock.now()
        return [
            job
            for job in self._jobs.values()
            if job.is_in_history(now) and (job.account is account or kind == "foreign")
        ]

    def _describe(self, job: Job, request: Request) -> dict[str, Any]:
        row: dict[str, Any] = {
            "request_id": job.request_id,
            "model_name": job.slug,
            "model_status": _find_state(job, self._clock.now()),
            "credits_deduction": None,
            "request_body": self._describe_params(job),
            "generation_url": None,
            "latency_ms": None,
            "model_created": _format_time(job.created),
        }
        if get_fault_kind(request.scope) == "misreport":
            return row | {"model_status": "FAILED", "credits_deduction": 0.0, "error": "The worker failed"}
        if row["model_status"] == "PENDING":
            return row
        row["latency_ms"] = round(1000 * job.times()["total_time"])
        if job.error is not None:
            return row | {"credits_deduction": 0.0, "error": job.error}
        # The file is rendered when it is fetched: a page has a hundred rows, and must not wait for them.
        url = f"{find_base_url(request)}/media/{job.request_id}{job.plan.suffix}"
        return row | {"credits_deduction": job.cost, "generation_url": url}


def _find_state(job: Job, now: float) -> str:
    if job.running_state(now) is not None:
        return "PENDING"
    return "COMPLETED" if job.error is None else "FAILED"


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
