"""Jobs of kling-adapters on Temporal: `kling batch --engine temporal`, `kling temporal`, and TemporalEngine.

Plugin discovery imports this package, so everything else is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from kling_adapters.hookspecs import hookimpl

if TYPE_CHECKING:
    import click

    from kling_temporal.connection import connect
    from kling_temporal.engine import TemporalEngine
    from kling_temporal.worker import make_worker

__all__ = ["TemporalEngine", "connect", "kling_cli", "make_worker"]

_MODULES = {"TemporalEngine": "engine", "connect": "connection", "make_worker": "worker"}


@hookimpl
def kling_cli(app: click.Group) -> None:
    """Add the commands `kling temporal worker`, `rate` and `status`."""
    from kling_temporal.commands import temporal

    app.add_command(temporal)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
