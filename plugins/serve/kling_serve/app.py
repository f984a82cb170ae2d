"""The application: its parts, its routes, and its start and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from kling_adapters import KlingError
from kling_serve import pages
from kling_serve.access import Access, Links
from kling_serve.api import openapi, routes
from kling_serve.api.errors import HANDLERS
from kling_serve.connections import Connections
from kling_serve.jobs import JobService
from kling_serve.mcp_endpoint import McpEndpoint
from kling_serve.models import Models, Schemas
from kling_serve.settings import Settings, read_secret
from kling_serve.specs import SpecsFolder
from kling_serve.studio import Studio
from kling_serve.submits import Submits
from kling_serve.uploads import Uploads

STATIC: Final = Path(__file__).parent / "static"


def make_studio(settings: Settings) -> Studio:
    """Return the parts of an application. Raises OSError if the folder of the settings cannot be used."""
    # Only this user may read the pictures and videos in it.
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.outputs.mkdir(exist_ok=True)
    settings.uploads.mkdir(exist_ok=True)
    models = Models()
    connections = Connections(settings, Schemas(models))
    jobs = JobService(connections, settings.outputs)
    return Studio(
        settings,
        models,
        connections,
        jobs,
        Uploads(settings),
        None if settings.specs is None else SpecsFolder(settings.specs, models),
        Links(),
        Submits(models, connections, jobs, {token.name: token.limits for token in settings.tokens}),
    )


def make_app(settings: Settings) -> Starlette:
    """Return the application. Its jobs run while its lifespan does.

    `app.state.studio` has its parts, `app.state.token` the token of programs, and `app.state.failure` the error that
    ended its lifespan.

    Raises OSError if the folder of the settings cannot be used.
    """
    studio = make_studio(settings)
    token = read_secret(settings.folder, "token")
    access = Middleware(
        Access,
        tokens={token: "studio"} | {program.secret: program.name for program in settings.tokens},
        session=read_secret(settings.folder, "session"),
        links=studio.links,
        allowed_hosts=[name.lower() for name in settings.allowed_hosts],
    )

    @asynccontextmanager
    async def run(_: Starlette) -> AsyncGenerator[None]:
        try:
            async with run_studio(studio):
                yield
        except KlingError as error:
            app.state.failure = error
            raise

    mounts = (Route("/mcp", McpEndpoint(studio)), Mount("/static", StaticFiles(directory=STATIC)))
    addresses = [*pages.ROUTES, *routes.ROUTES, *openapi.ROUTES, *mounts]
    app = Starlette(routes=addresses, middleware=[access], lifespan=run, exception_handlers=HANDLERS)
    app.state.studio, app.state.token, app.state.failure = studio, token, None
    return app


@asynccontextmanager
async def run_studio(studio: Studio) -> AsyncGenerator[None]:
    """Open the gateways and resume the jobs; close them at the end."""
    try:
        await studio.connections.open()
        await studio.jobs.open()
        async with asyncio.TaskGroup() as tasks:
            watching = None if studio.specs is None else tasks.create_task(studio.specs.watch())
            yield
            if watching is not None:
                watching.cancel()
    finally:
        await studio.jobs.close()
        await studio.connections.close()
