"""`/v1/models`: the models that jobs can be made for."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kling_adapters import OutputKind
from kling_serve.api.errors import RequestError
from kling_serve.models import Model, Models
from kling_serve.studio import get_studio


async def list_models(request: Request) -> Response:
    """List every model."""
    models = get_studio(request).models
    return JSONResponse({"object": "list", "data": [_describe(models[slug]) for slug in models]})


async def show_model(request: Request) -> Response:
    """Return a model."""
    return JSONResponse(_describe(get_studio(request).models.find(request.path_params["slug"])))


def _describe(model: Model) -> dict[str, Any]:
    return {
        "id": model.slug,
        "object": "model",
        "created": 0,
        "owned_by": model.origin,
        "title": model.title,
        "returns": model.returns,
    }


def find_model(models: Models, slug: Any, returns: OutputKind, path: str) -> Model:
    """Return the model that a request names. Raises UnknownModel, or RequestError if it has another output."""
    if not isinstance(slug, str) or not slug:
        raise RequestError(
            400, "model is missing; expected a slug of /v1/models.", "invalid_parameters", "model"
        )
    model = models.find(slug)
    if model.returns != returns:
        message = (
            f"{slug} returns {model.returns}; {path} is for models that return {returns}. Nothing was sent."
        )
        raise RequestError(400, message, "wrong_model", "model")
    return model


ROUTES = [Route("/v1/models", list_models), Route("/v1/models/{slug}", show_model)]
