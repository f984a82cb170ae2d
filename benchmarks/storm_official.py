"""The official client in the storm: four ways to call it, as the report shows them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx
from kling_sandbox import Sandbox
from segmind import SegmindClient
from segmind.generations import Generations
from segmind.v2 import AsyncJob

from tests.promises import storm
from tests.promises.storm import CONCURRENCY, SPEED

T = TypeVar("T")
Ends = dict[int, Path | Exception]
"""By the number of the job: its file, or the error that the caller got."""
Run = Callable[[Sandbox, int, Path], Ends]


def _submit(client: SegmindClient, slug: str, params: dict[str, Any]) -> AsyncJob:
    return client.submit_async(slug, **params)


def _wait(job: AsyncJob) -> str:
    output: str = job.wait(timeout=900 / SPEED, interval=1 / SPEED)["output"]
    return output


def _download(url: str, path: Path) -> None:
    response = httpx.get(url)
    response.raise_for_status()
    path.write_bytes(response.content)


def _as_documented(client: SegmindClient, slug: str, params: dict[str, Any], path: Path) -> None:
    _download(_wait(_submit(client, slug, params)), path)


def _job_again(client: SegmindClient, slug: str, params: dict[str, Any], path: Path) -> None:
    _again(_as_documented, client, slug, params, path)


def _step_again(client: SegmindClient, slug: str, params: dict[str, Any], path: Path) -> None:
    job = _again(_submit, client, slug, params)
    _again(_download, _again(_wait, job), path)


def _look_again(client: SegmindClient, slug: str, params: dict[str, Any], path: Path) -> None:
    job = _again(_submit_or_find, client, slug, params)
    _again(_download, _again(_wait, job), path)


def _submit_or_find(client: SegmindClient, slug: str, params: dict[str, Any]) -> AsyncJob:
    try:
        return _submit(client, slug, params)
    except Exception:
        for delay in (0, 2, 5, 15, 30, 60):
            time.sleep(delay / SPEED)
            if (job := _find(client, slug, params)) is not None:
                return job
        raise


def _find(client: SegmindClient, slug: str, params: dict[str, Any]) -> AsyncJob | None:
    for page in range(1, 20):
        answer = client.generations.history(page=page, per_page=100, model_name=slug)
        for row in answer["generations"]:
            if row["request_body"] == params:
                url = f"{client.base_url.removesuffix('/v1')}/v2/requests/{row['request_id']}"
                return AsyncJob(row["request_id"], f"{url}/status", url, row, client)
        if not answer["pagination"]["has_next"]:
            break
    return None


def _again(step: Callable[..., T], *arguments: Any) -> T:
    for attempt in range(4):
        try:
            return step(*arguments)
        except Exception:  # noqa: BLE001
            time.sleep(2**attempt / SPEED)
    return step(*arguments)


def official(process: Callable[[SegmindClient, str, dict[str, Any], Path], None]) -> Run:
    """Return a function that runs all jobs with the official client: in threads, each job by a call of `process`."""

    def run(sandbox: Sandbox, count: int, folder: Path) -> Ends:
        client = SegmindClient(api_key=sandbox.api_key, base_url=f"{sandbox.base_url}/v1")
        # Its address is built in, in a module whose name the package uses for something else.
        module: Any = sys.modules[Generations.__module__]
        module.REQUEST_HISTORY_URL = f"{sandbox.base_url}/inference-request/request-history"
        folder.mkdir()

        def end(number: int, params: dict[str, Any]) -> Path | Exception:
            path = folder / f"{number}.mp4"
            try:
                process(client, params.pop("model"), params, path)
            except Exception as error:  # noqa: BLE001  what its caller would get
                return error
            return path

        with ThreadPoolExecutor(CONCURRENCY) as pool:
            return dict(enumerate(pool.map(end, range(count), storm.requests(count))))

    return run


WAYS: dict[str, Run] = {
    "`segmind`": official(_as_documented),
    "`segmind`, job again": official(_job_again),
    "`segmind`, step again": official(_step_again),
    "`segmind`, look, step again": official(_look_again),
}
STEPS = (
    _submit,
    _wait,
    _download,
    _as_documented,
    _job_again,
    _step_again,
    _look_again,
    _submit_or_find,
    _find,
    _again,
)
"""The functions of the report."""
