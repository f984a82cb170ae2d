"""The page of a model: its form, and the check of what is in it, as one types."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from kling_adapters import Estimate, KlingError, Problem, UnknownModel
from kling_serve.code import write_code
from kling_serve.connections import Connection
from kling_serve.forms.body import read_form
from kling_serve.forms.fields import make_fields, make_id
from kling_serve.forms.parse import Parsed, parse_form
from kling_serve.models import Model
from kling_serve.studio import Studio, get_studio
from kling_serve.views import render, render_part

EVERY = "*"
"""Stands for the name of every control, after a run was tried."""
MISSING = "required, but missing"
"""Message of the adapter about a parameter that has no value; not shown before its control was used."""


@dataclass(frozen=True)
class Draft:
    """A form as it is in the browser.

    Attributes:
        model: The model.
        connection: The chosen gateway.
        parsed: The parameters.
        problems: The problems of the parameters; empty if they are valid.

    """

    model: Model
    connection: Connection
    parsed: Parsed
    problems: list[Problem]


async def show_form(request: Request) -> Response:
    """Show the form of a model, empty, with an example, or with the parameters of an earlier job."""
    studio = get_studio(request)
    try:
        model = studio.models.find(request.path_params["slug"])
    except UnknownModel as error:
        return render(request, "error.html", "models", 404, title="Unknown model", message=str(error))
    values = await _find_values(studio, model, request.query_params)
    connection = studio.connections.find(None)
    draft = Draft(model, connection, Parsed(dict(values)), model.find_problems(values))
    return render(
        request,
        "form.html",
        "models",
        attempt=secrets.token_hex(12),
        fields=make_fields(model.schema, values),
        connections=list(studio.connections),
        example_count=len(model.schema.get("examples", ())),
        **(await describe_draft(studio, draft)),
    )


async def _find_values(studio: Studio, model: Model, query: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the parameters that a form starts with."""
    if (job_id := query.get("from")) and (job := await studio.jobs.find(job_id)):
        return {name: value for name, value in job.entry.params.items() if name in model.schema["properties"]}
    examples = model.schema.get("examples", ())
    number = query.get("example", "")
    if number.isascii() and number.isdigit() and len(number) < 4 and int(number) < len(examples):
        example: Mapping[str, Any] = examples[int(number)]
        return example
    return {}


async def read_draft(request: Request, model: Model) -> tuple[Draft, dict[str, str]]:
    """Return the form that a browser has sent. Raises ConfigError for an unknown gateway."""
    studio = get_studio(request)
    pairs = await read_form(request)
    parsed, form = parse_form(model.schema, pairs, studio.uploads.find), dict(pairs)
    connection = studio.connections.find(form.get("-gateway"))
    return Draft(model, connection, parsed, model.find_problems(parsed.values)), form


async def check_form(request: Request) -> Response:
    """Respond with the messages at the fields, the estimate, and the call as code."""
    studio = get_studio(request)
    try:
        draft, _ = await read_draft(request, studio.models.find(request.path_params["slug"]))
    except KlingError as error:
        return HTMLResponse(render_part("check_error.html", message=str(error)))
    return HTMLResponse(render_part("check.html", **(await describe_draft(studio, draft))))


async def describe_draft(studio: Studio, draft: Draft, *, shows_all: bool = False) -> dict[str, Any]:
    """Return what a page shows about a form.

    Args:
        studio: The parts of the application.
        draft: The form.
        shows_all: Show missing parameters, too, whose controls have not been used.

    """
    messages = place_problems(draft, shows_all=shows_all)
    return {
        "model": draft.model,
        "messages": messages,
        "missing": [problem.path for problem in draft.problems if problem.message == MISSING],
        "problem_count": len(draft.problems),
        "estimate": None if draft.problems else await estimate(studio, draft),
        "connection": draft.connection,
        "code": write_code(draft.model, draft.parsed.values, draft.connection),
    }


async def estimate(studio: Studio, draft: Draft) -> Estimate | None:
    """Return the price of a valid form; None if it cannot be estimated."""
    version = studio.jobs.watch.version
    return await studio.estimates.find(draft.connection, draft.model, draft.parsed.values, version)


def place_problems(draft: Draft, *, shows_all: bool) -> dict[str, list[str]]:
    """Return the messages by the id of the field that shows them; "" is the whole form.

    Every field of the form is a key, so that the message of a problem that was solved disappears.
    """
    parsed = draft.parsed
    names = (*parsed.names.values(), *draft.model.schema["properties"], "")
    messages: dict[str, list[str]] = {make_id(name): [] for name in names}
    for problem in draft.problems:
        name = _find_field(problem.path, parsed)
        if problem.message == MISSING and not (shows_all or parsed.touched & {name, EVERY}):
            continue
        text = str(problem).removeprefix(f"{problem.path}: ")
        shown = f"{text[:1].upper()}{text[1:]}." if name else f"{problem.path}: {text}."
        messages.setdefault(make_id(name), []).append(shown)
    return messages


def _find_field(path: str, parsed: Parsed) -> str:
    """Return the name of the control that a problem belongs to; that of the parameter around it, if it has none."""
    while path and path not in parsed.names:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return parsed.names.get(path, "")


ROUTES = [
    Route("/models/{slug}", show_form),
    Route("/models/{slug}/check", check_form, methods=["POST"]),
]
