"""The pages of the studio, by route."""

from starlette.routing import Route

from kling_serve.pages import compare, events, files, form, job, jobs, models, platform, runs, usage

ROUTES: list[Route] = [
    *models.ROUTES,
    *form.ROUTES,
    *runs.ROUTES,
    *files.ROUTES,
    *jobs.ROUTES,
    *job.ROUTES,
    *events.ROUTES,
    *compare.ROUTES,
    *usage.ROUTES,
    *platform.ROUTES,
]
