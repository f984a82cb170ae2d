"""Imports of everything that calls need, ahead of the first call."""

from __future__ import annotations

from importlib import import_module

from kling_adapters.plugins.manager import load_catalog

_MODULES = (
    "_http.transport",
    "client.async_client",
    "client.client",
    "client.requests",
    "driver.tasks",
    "driver.threads",
    "plugins.worker",
)


def preload(*models: str) -> None:
    """Import now what the first calls would import: pydantic, the HTTP library, plugins and models.

    A program starts faster without it. Call it in a server, before the first request or in the parent of worker
    processes, so that no call of a client waits for imports in an event loop. It makes no client and sends nothing.

    Args:
        models: Slugs of the models to import, such as "kling-2"; by default, all models of the catalog.

    Raises:
        UnknownModel: No adapter has this slug.
        ConfigError: The environment names a plugin that is not installed.

    """
    for name in _MODULES:
        import_module(f"kling_adapters.{name}")
    catalog = load_catalog()
    for slug in models or catalog:
        catalog.find(slug).load()
