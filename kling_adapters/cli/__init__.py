"""The `kling` command.

Exit codes: 0 done; 1 the job failed; 2 bad input or configuration, nothing was sent; 3 gateway, network or storage;
4 it is not known whether a job was started, or the job has not ended.
"""

from __future__ import annotations

import logging
import sys

import click

from kling_adapters._version import __version__
from kling_adapters.cli import batch, jobs, journal, listings
from kling_adapters.errors import (
    ConfigError,
    JobExpired,
    JobFailed,
    KlingError,
    ParamsInvalid,
    SubmitUncertain,
    WaitTimeout,
)


class _Commands(click.Group):
    """Our own commands, and those of plugins, which are loaded when they are asked for."""

    _has_all = False

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:
            self._load()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._load()
        return super().list_commands(ctx)

    def _load(self) -> None:
        from kling_adapters.plugins import Plugins

        if not self._has_all:
            self._has_all = True
            Plugins().add_commands(self)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 job failed, "
    "2 bad input, 3 gateway, network or storage, 4 uncertain or still running.",
)
@click.version_option(__version__, prog_name="kling-adapters")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens to standard error.")
def app(verbose: bool) -> None:
    """Run the Kling models of the Segmind serverless API."""
    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
        logging.getLogger("httpx").setLevel(logging.WARNING)


for command in (
    listings.models,
    listings.show,
    listings.plugins,
    jobs.run,
    jobs.submit,
    jobs.status,
    jobs.wait,
    journal.jobs,
    journal.resume,
    batch.batch,
):
    app.add_command(command)


def exit_code(error: KlingError) -> int:
    """The exit code that an error ends the command with."""
    match error:
        case JobFailed():
            return 1
        case ParamsInvalid() | ConfigError():
            return 2
        case SubmitUncertain() | WaitTimeout() | JobExpired():
            return 4
        case _:
            return 3


def main() -> None:
    """Run the command line; errors end it with a message and their exit code."""
    try:
        app()
    except KlingError as error:
        click.echo(f"kling: {error}", err=True)
        sys.exit(exit_code(error))
