"""Interfaces that other programs speak: videos, images and models in the OpenAI shape, and their OpenAPI document."""

from starlette.routing import Route

from kling_serve.api import images, models, openapi, videos

ROUTES: list[Route] = [*videos.ROUTES, *images.ROUTES, *models.ROUTES, *openapi.ROUTES]
