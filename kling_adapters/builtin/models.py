"""Models of the built-in catalog."""

from __future__ import annotations

from collections.abc import Callable

from kling_adapters.hookspecs import hookimpl
from kling_adapters.models import CATALOG
from kling_adapters.schema.catalog import CatalogEntry


@hookimpl
def kling_register_adapters(register: Callable[[CatalogEntry], None]) -> None:
    """Register all generated models."""
    for entry in CATALOG:
        register(entry)
