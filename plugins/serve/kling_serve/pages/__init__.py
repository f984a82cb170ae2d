"""The pages of the studio, by route."""

from starlette.routing import Route

from kling_serve.pages import models

ROUTES: list[Route] = [*models.ROUTES]
