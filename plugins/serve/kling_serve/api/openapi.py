"""The OpenAPI document."""

from starlette.routing import Route

ROUTES: list[Route] = []
