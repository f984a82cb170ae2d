"""The response of `run_sync`, of the type that the official client returns."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

import httpx

from kling_adapters.client.result import Result

_METRIC_HEADERS: Final = {
    "cost": "x-cost",
    "remaining_credits": "x-remaining-credits",
    "inference_time": "x-generation-time",
}


def make_response(url: str, result: Result) -> httpx.Response:
    """Return the first file of a result as a response; the body of a result without files, as JSON.

    Args:
        url: The URL that the official client would have asked.
        result: The result.

    Raises:
        StorageError: The file could not be fetched.

    """
    request = httpx.Request("POST", url)
    if not result.artifacts:
        return httpx.Response(200, json=dict(result.body), headers=_describe_cost(result), request=request)
    artifact, content = result.artifacts[0], result.read()
    # The body of a direct run holds the headers of its answer.
    headers = dict(result.body) if artifact.content is not None else _describe_cost(result)
    if artifact.content_type is not None:
        headers["content-type"] = artifact.content_type
    # They come from the gateway, and httpx refuses a str with other characters than ASCII.
    encoded = [(name.encode(), str(value).encode("utf-8", "replace")) for name, value in headers.items()]
    return httpx.Response(200, content=content, headers=encoded, request=request)


def _describe_cost(result: Result) -> dict[str, str]:
    metrics = asdict(result.metrics)
    costs = {
        header: str(metrics[name]) for name, header in _METRIC_HEADERS.items() if metrics[name] is not None
    }
    return {"x-request-id": result.request_id, **costs}
