"""The table of jobs, and what is done to all of them."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kling_serve.filters import Filter, count_groups
from kling_serve.studio import get_studio
from kling_serve.views import render


async def list_jobs(request: Request) -> Response:
    """Show the jobs of all journals, the newest first."""
    studio = get_studio(request)
    await studio.jobs.watch.refresh()
    jobs = list(reversed(studio.jobs.watch.jobs.values()))
    chosen = Filter.read(request.query_params)
    return render(
        request,
        "jobs.html",
        "jobs",
        jobs=[job for job in jobs if chosen.accepts(job)],
        filter=chosen,
        counts=count_groups(jobs),
        total=len(jobs),
        models=sorted({job.entry.model for job in jobs}),
        connections=list(studio.connections),
        cursor=studio.jobs.watch.cursor,
        now=time.time(),
    )


async def resume(request: Request) -> Response:
    """Drive every unfinished job."""
    await get_studio(request).jobs.resume()
    return RedirectResponse("/jobs", 303)


async def reconcile(request: Request) -> Response:
    """Look for the jobs of uncertain submits."""
    await get_studio(request).jobs.reconcile()
    return RedirectResponse("/jobs?state=uncertain", 303)


ROUTES = [
    Route("/jobs", list_jobs),
    Route("/jobs/resume", resume, methods=["POST"]),
    Route("/jobs/reconcile", reconcile, methods=["POST"]),
]
