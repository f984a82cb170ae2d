"""The `kling` command.

Exit codes:
    0: Done.
    1: The job failed.
    2: Bad input or configuration; nothing was sent.
    3: Gateway, network or storage.
    4: It is not known whether a job was started, or the job has not ended.
    70: Internal error, a defect of this program.
    130: Interrupted while no job was under way.
"""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from typing import Any

import click

from kling_adapters._version import __version__
from kling_adapters.cli import batch, jobs, journal, listings
from kling_adapters.cli.output import LogHandler, Streams, print_message, print_progress
from kling_adapters.errors import (
    ConfigError,
    JobExpired,
    JobFailed,
    KlingError,
    ParamsInvalid,
    SubmitUncertain,
    WaitTimeout,
)

INTERNAL_ERROR = 70
INTERRUPTED = 130


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

    def invoke(self, ctx: click.Context) -> Any:
        try:
            super().invoke(ctx)
        except KlingError:
            # A WaitTimeout is an OSError, too.
            raise
        except OSError as error:
            # click would end the command with the exit code of a failed job.
            raise RuntimeError(f"{type(error).__name__}: {error}") from error

    def _load(self) -> None:
        from kling_adapters.plugins.manager import Plugins

        if not self._has_all:
            self._has_all = True
            Plugins().add_commands(self)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 job failed, 2 bad input, 3 gateway, network or storage, "
    "4 uncertain or still running, 70 internal error, 130 interrupted while no job was under way.",
)
@click.version_option(__version__, prog_name="kling-adapters")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens to standard error.")
def app(verbose: bool) -> None:
    """Run the Kling models of the Segmind serverless API."""
    _configure_logging(logging.INFO if verbose else logging.WARNING)


def _configure_logging(level: int) -> None:
    """Print what is logged to standard error, unless the program that calls `main` has handlers of its own."""
    logging.basicConfig(handlers=[LogHandler()])
    logging.getLogger().setLevel(level)
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
    streams = Streams()
    # Plugins are loaded, and may be broken, before the options are read.
    _configure_logging(logging.WARNING)
    # What a shell in the background and nohup ignore stays ignored.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    code = _run()
    if (error := streams.close()) is not None:
        print_message(
            f"standard output cannot be written: {error.strerror}. What the command printed is lost; "
            "`kling jobs` lists the jobs of the journal and where they are stored."
        )
        code = code or 3
    sys.exit(code)


def _run() -> int:
    """Run the command and return its exit code."""
    try:
        returned = app.main(prog_name="kling", standalone_mode=False)
    except KlingError as error:
        print_message(str(error))
        return exit_code(error)
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        print_message("interrupted")
        return INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:  # noqa: BLE001  exit code 1 says that a job failed
        print_progress(traceback.format_exc())
        print_message(
            f"internal error: {type(error).__name__}: {error}. This is a defect of kling-adapters: please report it "
            "with the lines above. A job that was submitted goes on; `kling jobs` lists it."
        )
        return INTERNAL_ERROR
    return returned if isinstance(returned, int) else 0
