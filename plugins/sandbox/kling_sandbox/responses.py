"""Response bodies about jobs."""

from pathlib import Path
from typing import Any

from kling_sandbox.jobs import Job, State
from kling_sandbox.rendering.renderer import CONTENT_TYPES


def make_submitted_body(job: Job, base_url: str) -> dict[str, Any]:
    """Return the body for an accepted submit."""
    poll_url = f"{base_url}/v1/requests/{job.request_id}"
    first = {"request_id": job.request_id, "status": "QUEUED", "poll_url": poll_url}
    return {**first, **_job_urls(job, base_url)}


def make_running_body(job: Job, state: State, base_url: str) -> dict[str, Any]:
    """Return the body for a job before its end."""
    return {"status": state, "request_id": job.request_id, **_job_urls(job, base_url), "metrics": {}}


def make_completed_body(job: Job) -> dict[str, Any]:
    """Return the status of a completed job."""
    metrics = {"inference_time": job.times()["inference_time"]}
    return {"status": "COMPLETED", "request_id": job.request_id, "metrics": metrics}


def make_result_body(job: Job, path: Path, base_url: str) -> dict[str, Any]:
    """Return the result of a completed job."""
    name = job.request_id + path.suffix
    url = f"{base_url}/media/{name}"
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
    return body


def make_failed_body(job: Job, error: str) -> dict[str, Any]:
    """Return the body for a failed job."""
    return {"status": "FAILED", "request_id": job.request_id, "error": error, "metrics": job.times()}


def make_direct_headers(job: Job) -> dict[str, str]:
    """Return the headers beside the file of a synchronous call."""
    return {
        "x-request-id": job.request_id,
        "x-cost": str(job.cost),
        "x-remaining-credits": str(job.remaining_credits),
        "x-generation-time": str(job.times()["inference_time"]),
        "x-seed-value": str(job.seed),
    }


def _job_urls(job: Job, base_url: str) -> dict[str, str]:
    response_url = f"{base_url}/v2/requests/{job.request_id}"
    return {"status_url": f"{response_url}/status", "response_url": response_url}
