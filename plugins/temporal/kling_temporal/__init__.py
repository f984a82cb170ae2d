"""Jobs of kling-adapters on Temporal: `kling batch --engine temporal`, `kling temporal`, and TemporalEngine.

Plugin discovery imports this package, so everything else is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from kling_adapters.hookspecs import Engine, hookimpl

if TYPE_CHECKING:
    import click

    from kling_temporal.connection import connect
    from kling_temporal.engine import TemporalEngine
    from kling_temporal.worker import make_worker

__all__ = ["TemporalEngine", "connect", "kling_cli", "kling_engine", "make_worker"]

_MODULES = {"TemporalEngine": "engine", "connect": "connection", "make_worker": "worker"}


@hookimpl
def kling_cli(app: click.Group) -> None:
    """Add the commands `kling temporal worker` and `status`."""
    from kling_temporal.commands import temporal

    app.add_command(temporal)


@hookimpl
def kling_engine(name: str, address: str | None) -> Engine | None:
    """Provide the engine `temporal`; the other settings are those of the environment.

    Args:
        name: The name of the engine.
        address: Host and port of Temporal; None for that of the environment.

    Returns:
        The engine, or None for another name.

    """
    if name != "temporal":
        return None
    from kling_temporal.engine import TemporalEngine

    return TemporalEngine(address=address)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
