"""Submits from a form, with a confirmation of what is expensive."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from kling_adapters import Estimate, KlingError
from kling_serve.connections import Connection
from kling_serve.pages.form import describe_draft, estimate, read_draft
from kling_serve.studio import Studio, get_studio
from kling_serve.views import render_part

_ATTEMPT = re.compile(r"[a-f0-9]{24}")


async def run_model(request: Request) -> Response:
    """Submit the form, and lead to the page of the job; respond with its problems or a question instead."""
    studio = get_studio(request)
    try:
        draft, form = await read_draft(request, studio.models.find(request.path_params["slug"]))
        if draft.problems:
            described = await describe_draft(studio, draft, shows_all=True)
            return HTMLResponse(render_part("check.html", **described))
        price = await estimate(studio, draft)
        is_confirmed = form.get("-confirmed") == name_price([price])
        if needs_confirmation(studio, draft.connection, [price]) and not is_confirmed:
            limit, answer = studio.settings.confirm_above, name_price([price])
            return HTMLResponse(render_part("confirm.html", estimate=price, limit=limit, answer=answer))
        attempt = form.get("-attempt", "")
        submission = await studio.jobs.submit(
            draft.model.make_params(draft.parsed.values),
            connection=draft.connection.name,
            # A form that is sent twice, as by a double click, submits once.
            handle=attempt if _ATTEMPT.fullmatch(attempt) else None,
        )
    except KlingError as error:
        return HTMLResponse(render_part("check_error.html", message=str(error)))
    if submission.error is not None and await studio.jobs.find(submission.id) is None:
        return HTMLResponse(render_part("check_error.html", message=str(submission.error)))
    return Response(status_code=204, headers={"HX-Redirect": f"/jobs/{quote(submission.id)}"})


def needs_confirmation(studio: Studio, connection: Connection, prices: Sequence[Estimate | None]) -> bool:
    """Return whether runs have to be confirmed: their price together is above the limit, or unknown."""
    highest = name_price(prices)
    is_expensive = highest == "unknown" or float(highest) > studio.settings.confirm_above
    return is_expensive and not connection.is_free


def name_price(prices: Sequence[Estimate | None]) -> str:
    """Return the highest price of several runs as a confirmation names it, so that it is not one of another price."""
    highs = [None if price is None else price.high for price in prices]
    return "unknown" if None in highs else f"{sum(high for high in highs if high is not None):.6f}"


ROUTES = [Route("/models/{slug}/run", run_model, methods=["POST"])]
