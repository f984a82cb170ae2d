"""The list of models, and links for further browsers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kling_serve.forms.fields import Schema
from kling_serve.models import Model
from kling_serve.studio import get_studio
from kling_serve.views import render


async def list_models(request: Request) -> Response:
    """Show every model as a card."""
    models = list(get_studio(request).models.values())
    inputs = {model.slug: list_inputs(model) for model in models}
    return render(request, "models.html", "models", models=models, inputs=inputs)


def list_inputs(model: Model) -> list[str]:
    """Return the kinds of media that a model takes, also inside its elements, in the order of its parameters."""
    kinds: dict[str, None] = {}

    def collect(schema: Schema) -> None:
        if "media" in schema.get("x-kling", {}):
            kinds[schema["x-kling"]["media"]] = None
        parts = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
        for part in parts:
            collect(part)

    collect(model.schema)
    return list(kinds)


async def make_link(request: Request) -> Response:
    """Show a link that signs one more browser in."""
    base = f"{request.url.scheme}://{request.headers['host']}"
    return render(
        request, "link.html", "link", link=f"{base}/enter?code={get_studio(request).links.create()}"
    )


ROUTES = [Route("/", list_models), Route("/links", make_link, methods=["POST"])]
