"""The application: its parts, its routes, and its start and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from kling_serve import pages
from kling_serve.access import Access, Links
from kling_serve.connections import Connections
from kling_serve.jobs import JobService
from kling_serve.models import Models, Schemas
from kling_serve.settings import Settings, read_secret
from kling_serve.specs import SpecsFolder
from kling_serve.studio import Studio
from kling_serve.uploads import Uploads

STATIC: Final = Path(__file__).parent / "static"


def make_app(settings: Settings) -> Starlette:
    """Return the application. Its jobs run while its lifespan does.

    `app.state.studio` has its parts, and `app.state.token` the token of programs.

    Raises OSError if the folder of the settings cannot be used.
    """
    # Only this user may read the pictures and videos in it.
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.outputs.mkdir(exist_ok=True)
    settings.uploads.mkdir(exist_ok=True)
    models, links = Models(), Links()
    connections = Connections(settings, Schemas(models))
    studio = Studio(
        settings,
        models,
        connections,
        JobService(connections, settings.outputs),
        Uploads(settings),
        None if settings.specs is None else SpecsFolder(settings.specs, models),
        links,
    )
    token = read_secret(settings.folder, "token")
    access = Middleware(
        Access,
        tokens={token: "studio"},
        session=read_secret(settings.folder, "session"),
        links=links,
        allowed_hosts=settings.allowed_hosts,
    )
    app = Starlette(
        routes=[*pages.ROUTES, Mount("/static", StaticFiles(directory=STATIC))],
        middleware=[access],
        lifespan=_run,
    )
    app.state.studio, app.state.token = studio, token
    return app


@asynccontextmanager
async def _run(app: Starlette) -> AsyncGenerator[None]:
    """Open the gateways and resume the jobs; close them at the end."""
    studio: Studio = app.state.studio
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
