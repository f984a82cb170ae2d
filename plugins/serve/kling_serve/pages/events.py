"""Server-sent events: parts of a page whose jobs have changed, each replaced by its id in the browser."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from kling_serve.filters import Filter, count_groups
from kling_serve.job import Job
from kling_serve.pages.job import describe_job
from kling_serve.studio import Studio, get_studio
from kling_serve.views import render_part

_HEARTBEAT: Final = 15.0
"""Seconds after which an idle stream sends a comment, so that both ends notice a broken connection."""
_MOST_IDS: Final = 50


async def stream(request: Request) -> Response:
    """Send every change of the jobs of a page after that page was made, or after the last event that arrived."""
    studio = get_studio(request)
    query = request.query_params
    views: dict[str, Callable[[list[Job]], str]] = {
        "rows": lambda jobs: _render_rows(studio, jobs, Filter.read(query)),
        "cards": lambda jobs: _render_each(studio, jobs, "card.html"),
        "job": lambda jobs: _render_each(studio, jobs, "job_state.html"),
    }
    view = query.get("view", "")
    if view not in views:
        return PlainTextResponse("There is no such view.", 404)
    ids = frozenset(query.get("ids", "").split(",")[:_MOST_IDS]) if view != "rows" else None
    since = studio.jobs.watch.read_cursor(request.headers.get("last-event-id") or query.get("since", ""))
    return StreamingResponse(
        _follow(studio, since, ids, views[view]),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _render_rows(studio: Studio, jobs: list[Job], shown: Filter) -> str:
    everything = studio.jobs.watch.jobs
    counts = {"all": len(everything), **count_groups(everything.values())}
    return render_part("rows_event.html", jobs=jobs, filter=shown, counts=counts, now=time.time())


def _render_each(studio: Studio, jobs: list[Job], template: str) -> str:
    return "".join(render_part(template, **describe_job(studio, job)) for job in jobs)


async def _follow(
    studio: Studio, since: int, ids: frozenset[str] | None, show: Callable[[list[Job]], str]
) -> AsyncIterator[str]:
    """Yield the events of one page."""
    watch = studio.jobs.watch
    yield "retry: 1000\n\n"
    while True:
        version = watch.version
        jobs = [job for job in watch.list_changed(since) if ids is None or job.id in ids]
        since = version
        if jobs:
            lines = "\n".join(f"data: {line}" for line in show(jobs).splitlines() if line.strip())
            yield f"id: {watch.cursor}\nevent: jobs\n{lines}\n\n"
        if not await watch.wait(since, _HEARTBEAT):
            yield ": idle\n\n"


ROUTES = [Route("/events", stream)]
