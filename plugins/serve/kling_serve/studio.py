"""The parts of the application, which every handler finds at `request.app.state.studio`."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from kling_serve.access import Links
from kling_serve.connections import Connections
from kling_serve.estimates import Estimates
from kling_serve.jobs import JobService
from kling_serve.models import Models
from kling_serve.settings import Settings
from kling_serve.specs import SpecsFolder
from kling_serve.submits import Submits
from kling_serve.uploads import Uploads


@dataclass(frozen=True)
class Studio:
    """The parts of one application.

    Attributes:
        settings: The settings.
        models: The models.
        connections: The gateways.
        jobs: The job service.
        uploads: Files that browsers have sent.
        specs: The folder of specs that is compiled while the application runs; None without one.
        links: One-time codes that sign browsers in.
        submits: Submits by programs.
        estimates: Prices of forms.

    """

    settings: Settings
    models: Models
    connections: Connections
    jobs: JobService
    uploads: Uploads
    specs: SpecsFolder | None
    links: Links
    submits: Submits
    estimates: Estimates = field(default_factory=Estimates)


def get_studio(request: Request) -> Studio:
    """Return the parts of the application of a request."""
    studio: Studio = request.app.state.studio
    return studio
