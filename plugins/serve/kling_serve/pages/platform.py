"""The packages that bring models, and the folder of specs with findings and generated modules."""

from __future__ import annotations

from collections import Counter

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from kling_serve.studio import get_studio
from kling_serve.views import render, render_part


async def show_platform(request: Request) -> Response:
    """Show the origins of the models, and every spec of the folder."""
    studio = get_studio(request)
    packages = Counter(entry.package for entry in studio.models.list_entries())
    dropped = sum(1 for spec in (studio.specs.specs.values() if studio.specs else ()) if spec.model)
    packages = Counter(
        {name: count for name, count in packages.items() if not name.startswith("kling_spec_")}
    )
    return render(
        request,
        "platform.html",
        "platform",
        packages=packages.most_common(),
        dropped=dropped,
        specs=studio.specs,
    )


async def show_specs(request: Request) -> Response:
    """Respond with the specs as they are now; the page asks for them every two seconds."""
    specs = get_studio(request).specs
    if specs is None or request.query_params.get("version") == str(specs.version):
        return Response(status_code=204)  # nothing to replace: what is unfolded stays so
    return HTMLResponse(render_part("specs.html", specs=specs))


ROUTES = [Route("/platform", show_platform), Route("/platform/specs", show_specs)]
