"""The list of models."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kling_serve.studio import get_studio


async def list_models(request: Request) -> Response:
    """Show every model."""
    return JSONResponse([entry.slug for entry in get_studio(request).models.list_entries()])


ROUTES = [Route("/", list_models)]
