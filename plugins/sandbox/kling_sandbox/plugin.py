"""The plugin. Plugin discovery imports this module, so it imports almost nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kling_adapters.hookspecs import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def kling_cli(app: click.Group) -> None:
    """Add the command `kling sandbox`."""
    from kling_sandbox.command import sandbox

    app.add_command(sandbox)
