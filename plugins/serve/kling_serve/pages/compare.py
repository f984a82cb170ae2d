"""One prompt on several models, side by side."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kling_adapters import KlingError
from kling_serve.forms.body import read_form
from kling_serve.forms.parse import UPLOAD, Parsed
from kling_serve.models import Model
from kling_serve.pages.form import Draft, estimate
from kling_serve.pages.job import describe_job
from kling_serve.pages.runs import name_price, needs_confirmation
from kling_serve.studio import Studio, get_studio
from kling_serve.views import render

MAX_MODELS: Final = 8


async def show_comparison(request: Request) -> Response:
    """Show the form, and the jobs of a comparison."""
    studio = get_studio(request)
    ids = [job_id for job_id in request.query_params.get("ids", "").split(",")[:MAX_MODELS] if job_id]
    jobs = [job for job_id in ids if (job := await studio.jobs.find(job_id))]
    return _render(request, studio, jobs=[describe_job(studio, job) for job in jobs], ids=ids)


def _render(request: Request, studio: Studio, **values: Any) -> Response:
    models = [model for model in studio.models.values() if can_compare(model)]
    shown: dict[str, Any] = {
        "jobs": [],
        "ids": [],
        "prompt": "",
        "image": "",
        "chosen": (),
        "problems": [],
        "price": None,
    }
    jobs = values.get("jobs", [])
    if jobs:
        first = jobs[0]["job"].entry.params
        shown |= {"prompt": first.get("prompt", ""), "chosen": tuple(job["job"].entry.model for job in jobs)}
    return render(
        request,
        "compare.html",
        "compare",
        models=models,
        needs_image={model.slug: find_image(model) is not None for model in models},
        connections=list(studio.connections),
        cursor=studio.jobs.watch.cursor,
        limit=MAX_MODELS,
        **(shown | values),
    )


def can_compare(model: Model) -> bool:
    """Return whether a prompt, and an image if the model needs one, is all that a model requires."""
    required = set(model.schema.get("required", ()))
    return (
        not model.is_retired
        and "prompt" in model.schema["properties"]
        and required <= {"prompt", find_image(model)}
    )


def find_image(model: Model) -> str | None:
    """Return the required parameter for an image; None for a model that needs none."""
    required = model.schema.get("required", ())
    return next((name for name in model.image_parameters if name in required), None)


async def run_comparison(request: Request) -> Response:
    """Submit one job for each model, after all of them were checked."""
    studio = get_studio(request)
    pairs = await read_form(request)
    form = dict(pairs)
    prompt, image = form.get("prompt", ""), form.get("image", "")
    chosen = list(dict.fromkeys(value for name, value in pairs if name == "models"))
    shown = {"prompt": prompt, "image": image, "chosen": chosen}
    try:
        connection = studio.connections.find(form.get("-gateway"))
        models = [studio.models.find(slug) for slug in chosen[:MAX_MODELS]]
    except KlingError as error:
        return _render(request, studio, problems=[str(error)], **shown)
    drafts = [_make_draft(studio, model, connection.name, prompt, image) for model in models]
    problems = [f"{draft.model.title}: {problem}" for draft in drafts for problem in draft.problems]
    if not drafts:
        problems = ["Choose at least one model."]
    if problems:
        return _render(request, studio, problems=problems, **shown)
    prices = [await estimate(studio, draft) for draft in drafts]
    answer = name_price(prices)
    if needs_confirmation(studio, connection, prices) and form.get("-confirmed") != answer:
        return _render(request, studio, price=prices, answer=answer, **shown)
    return await _submit(request, studio, drafts, shown)


def _make_draft(studio: Studio, model: Model, connection: str, prompt: str, image: str) -> Draft:
    values: dict[str, Any] = {"prompt": prompt} if prompt else {}
    name = find_image(model)
    if name is not None and image:
        media = studio.uploads.find(image.removeprefix(UPLOAD)) or image
        values[name] = [media] if "items" in model.schema["properties"][name] else media
    return Draft(model, studio.connections.find(connection), Parsed(values), model.find_problems(values))


async def _submit(request: Request, studio: Studio, drafts: list[Draft], shown: dict[str, Any]) -> Response:
    handles: list[str] = []
    for draft in drafts:
        params = draft.model.make_params(draft.parsed.values)
        submission = await studio.jobs.submit(params, connection=draft.connection.name)
        if submission.error is not None and await studio.jobs.find(submission.id) is None:
            problems = [f"{draft.model.title}: {submission.error}"]
            return _render(request, studio, problems=problems, **shown)
        handles.append(submission.id)
    return RedirectResponse(f"/compare?{urlencode({'ids': ','.join(handles)}, safe=',')}", 303)


ROUTES = [
    Route("/compare", show_comparison),
    Route("/compare", run_comparison, methods=["POST"]),
]
