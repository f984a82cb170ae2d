"""The plugin. Plugin discovery imports this module, so it imports almost nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kling_adapters.hookspecs import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def kling_cli(app: click.Group) -> None:
    """Add the commands `kling serve` and `kling studio`."""
    from kling_serve.cli import serve, studio

    app.add_command(serve)
    app.add_command(studio)
