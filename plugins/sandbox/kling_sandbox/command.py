"""`kling sandbox`: its options. The help text needs no server, so this module imports none."""

from __future__ import annotations

import click


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; by default a free one.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for all addresses."
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Name that clients on other machines use for it. Repeatable.",
)
@click.option(
    "--timing",
    default="latency:0.05",
    show_default=True,
    metavar="at-once|polls:N|latency:FACTOR",
    help="End of jobs: at once, after N status polls, or after FACTOR times the documented latency.",
)
@click.option(
    "--faults",
    multiple=True,
    metavar="KIND[:NAME=VALUE,...]",
    help="Fault to simulate, such as 502:rate=0.1 or reset-late:nth=3,method=POST. Repeatable.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed; the same seed repeats the same faults."
)
def sandbox(
    port: int, host: str, allowed_hosts: tuple[str, ...], timing: str, faults: tuple[str, ...], seed: int
) -> None:
    """Run a free local gateway until interrupted."""
    from kling_sandbox.serve import serve

    try:
        serve(host, port, timing, faults, seed, allowed_hosts)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[
            0
        ]  # the address is in the message already
        raise click.ClickException(
            f"the sandbox cannot listen at {host}, port {port}: {reason}. "
            "Pass another --host or --port; without --port it takes a free one."
        ) from None
    except ValueError as error:
        raise click.ClickException(str(error)) from None
