"""Submits from a form, with a confirmation of what is expensive."""

from __future__ import annotations

import re
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from kling_adapters import Estimate, KlingError
from kling_serve.pages.form import Draft, describe_draft, estimate, read_draft
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
        if needs_confirmation(studio, draft, price) and form.get("-confirmed") != "yes":
            return HTMLResponse(
                render_part("confirm.html", estimate=price, limit=studio.settings.confirm_above)
            )
        attempt = form.get("-attempt", "")
        submission = await studio.jobs.submit(
            draft.model.make_params(draft.parsed.values),
            connection=draft.connection.name,
            # A form that is sent twice, as by a double click, submits once.
            handle=attempt if _ATTEMPT.fullmatch(attempt) else None,
        )
    except KlingError as error:
        return HTMLResponse(render_part("check_error.html", message=str(error)))
    if submission.error is not None and await studio.jobs.find(submission.handle) is None:
        return HTMLResponse(render_part("check_error.html", message=str(submission.error)))
    return Response(status_code=204, headers={"HX-Redirect": f"/jobs/{quote(submission.handle)}"})


def needs_confirmation(studio: Studio, draft: Draft, price: Estimate | None) -> bool:
    """Return whether a run has to be confirmed: it costs money, and its price is above the limit, or unknown."""
    if draft.connection.is_free:
        return False
    return price is None or price.high is None or price.high > studio.settings.confirm_above


ROUTES = [Route("/models/{slug}/run", run_model, methods=["POST"])]
