"""The `kling sandbox` command. Imported whenever plugins are looked for, so it imports almost nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kling_adapters.hookspecs import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def kling_cli(app: click.Group) -> None:
    """Add the `sandbox` command."""
    import click

    @app.command()
    @click.option("--port", type=click.IntRange(0, 65535), default=0, help="By default a free one.")
    @click.option(
        "--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for all."
    )
    @click.option(
        "--allow-host",
        "allowed_hosts",
        multiple=True,
        metavar="NAME",
        help="A name that clients on other machines call it by; may be given several times.",
    )
    @click.option(
        "--timing",
        default="latency:0.05",
        show_default=True,
        metavar="at-once|polls:N|latency:FACTOR",
        help="When a job ends: at once, after N status polls, or after FACTOR times its documented latency.",
    )
    @click.option(
        "--faults",
        multiple=True,
        metavar="KIND[:NAME=VALUE,...]",
        help="What goes wrong, such as 502:rate=0.1 or reset-late:nth=3,method=POST; may be given several times.",
    )
    @click.option("--seed", type=int, default=0, show_default=True, help="The same faults again.")
    def sandbox(
        port: int,
        host: str,
        allowed_hosts: tuple[str, ...],
        timing: str,
        faults: tuple[str, ...],
        seed: int,
    ) -> None:
        """Run a local gateway that costs nothing, until interrupted."""
        from kling_sandbox.command import serve

        try:
            serve(host, port, timing, faults, seed, allowed_hosts)
        except (OSError, ValueError) as error:
            raise click.ClickException(str(error)) from None
