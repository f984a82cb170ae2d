"""The plugin. Plugin discovery imports this module, so it imports almost nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kling_adapters.hookspecs import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def kling_cli(app: click.Group) -> None:
    """Add the commands `kling serve`, `kling studio` and `kling mcp`."""
    from kling_serve.cli import serve, studio
    from kling_serve.mcp_cli import mcp

    app.add_command(serve)
    app.add_command(studio)
    app.add_command(mcp)
