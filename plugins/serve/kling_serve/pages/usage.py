"""The costs of jobs, by day and model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from kling_adapters import ConfigError, KlingError
from kling_serve import chart
from kling_serve.connections import Connection
from kling_serve.job import Job
from kling_serve.studio import get_studio
from kling_serve.views import render, render_part

PERIODS: Final = (7, 30, 90)
_BALANCE_SECONDS: Final = 10.0


async def show_usage(request: Request) -> Response:
    """Show a chart and a table of the costs of one gateway."""
    studio = get_studio(request)
    connection = _find_connection(request)
    chosen = request.query_params.get("days")
    days = next((days for days in PERIODS if chosen == str(days)), 30)
    since = time.time() - days * 86400
    await studio.jobs.watch.refresh()
    jobs = [
        job
        for job in studio.jobs.watch.jobs.values()
        if job.connection is connection and job.entry.created >= since and job.entry.state != "REFUSED"
    ]
    costs = [(job.entry.created, job.entry.model, job.entry.cost or 0.0) for job in jobs]
    return render(
        request,
        "usage.html",
        "usage",
        chart=chart.make_chart(costs, days, datetime.now(UTC).date()),
        size=chart,
        rows=_sum_by_model(jobs),
        total=sum(cost for _, _, cost in costs),
        days=days,
        periods=PERIODS,
        connection=connection,
        connections=list(studio.connections),
    )


def _sum_by_model(jobs: Sequence[Job]) -> list[tuple[str, int, int, int, float]]:
    """Return for each model the numbers of jobs, of failed ones and of unknown cost, and the cost in credits."""
    rows: list[tuple[str, int, int, int, float]] = []
    for model in sorted({job.entry.model for job in jobs}):
        entries = [job.entry for job in jobs if job.entry.model == model]
        failed = sum(entry.state == "FAILED" for entry in entries)
        unknown = sum(
            entry.cost is None and entry.state in ("COMPLETED", "UNCERTAIN", "EXPIRED") for entry in entries
        )
        rows.append((model, len(entries), failed, unknown, sum(entry.cost or 0.0 for entry in entries)))
    return sorted(rows, key=lambda row: (-row[4], row[0]))


async def show_balance(request: Request) -> Response:
    """Respond with the credits of an account, which the page asks for apart: the gateway may not answer."""
    connection = _find_connection(request)
    try:
        async with asyncio.timeout(_BALANCE_SECONDS):
            credits = None if connection.is_free else (await connection.client.credits()).credits  # noqa: A001
    except (KlingError, TimeoutError):
        credits = None  # noqa: A001
    return HTMLResponse(render_part("balance.html", credits=credits))


def _find_connection(request: Request) -> Connection:
    """Return the chosen connection; the default for an unknown one."""
    connections = get_studio(request).connections
    try:
        return connections.find(request.query_params.get("gateway") or None)
    except ConfigError:
        return connections.find(None)


ROUTES = [Route("/usage", show_usage), Route("/usage/balance", show_balance)]
