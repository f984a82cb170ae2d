"""Imports that calls need, ahead of the first call."""

from __future__ import annotations

from importlib import import_module

from kling_adapters.client.arguments import check_slug
from kling_adapters.plugins.manager import load_catalog

_MODULES = (
    "_http.transport",
    "client.async_client",
    "client.client",
    "client.requests",
    # Python 3.15 imports these late.
    "driver.tasks",
    "driver.threads",
    "protocol.batch",
    "protocol.run",
    "plugins.worker",
)


def preload(*models: str) -> None:
    """Import now what the first calls would import: pydantic, the HTTP library, the plugins and the models.

    Call it when a server starts, so that no call waits for imports in an event loop, and before worker processes
    are forked, so that they share the modules. It makes no client, and nothing is sent.

    Args:
        models: Slugs of the models to import, such as "kling-2"; by default, all models of the catalog.

    Raises:
        UnknownModel: No adapter has one of the slugs.
        ConfigError: The environment names a plugin that is not installed.

    """
    for slug in models:
        check_slug("models", slug)
    for name in _MODULES:
        import_module(f"kling_adapters.{name}")
    _load_backends()
    catalog = load_catalog()
    for slug in models or catalog:
        catalog.find(slug).load()


def _load_backends() -> None:
    """Make a client and an event loop, for which httpx and anyio import other modules."""
    from anyio.from_thread import start_blocking_portal

    from kling_adapters._http.library import httpx

    httpx.Client(trust_env=False).close()
    with start_blocking_portal():
        pass
