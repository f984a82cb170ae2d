"""The `kling` command: its subcommands, its errors and its exit code."""

from __future__ import annotations

import atexit
import gc
import logging
import signal
import sys
import traceback
import warnings
from typing import Any, cast

import click

from kling_adapters._version import __version__
from kling_adapters._warnings import DeprecatedParameter, UnknownParameter
from kling_adapters.cli.commands import BUILT_IN, Commands
from kling_adapters.cli.exit_codes import ExitCode, exit_code
from kling_adapters.cli.output import LogHandler, Streams, print_message, print_progress
from kling_adapters.errors import KlingError

log = logging.getLogger("kling_adapters")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kling-adapters")
@click.option("-v", "--verbose", is_flag=True, help="Log to standard error.")
def app(verbose: bool) -> None:
    """Run the Kling models of the Segmind serverless API."""
    _configure_logging(logging.INFO if verbose else logging.WARNING)


for command in BUILT_IN:
    app.add_command(command)


def main() -> None:
    """Run the command line; an error ends it with a message and an exit code."""
    streams = Streams()
    # At exit Python would search all objects for unused ones, which takes a tenth of the time of `kling --help`.
    atexit.register(gc.freeze)
    # Plugins are loaded, and may be broken, before the options are read.
    _configure_logging(logging.WARNING)
    _configure_warnings()
    # Signals that a background shell or nohup ignores stay ignored.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    code = _run()
    if (error := streams.close()) is not None:
        print_message(
            f"standard output cannot be written: {error.strerror}. The printed text is lost; `kling jobs` lists the "
            "jobs of the journal and their stored files."
        )
        code = code or ExitCode.STORAGE
    sys.exit(int(code))


def _run() -> int:
    """Run the command and return its exit code."""
    try:
        returned = app.main(prog_name="kling", standalone_mode=False)
    except KlingError as error:
        from kling_adapters.cli.wording import describe_error  # compiles its patterns

        print_message(describe_error(error))
        return exit_code(error)
    except click.ClickException as error:
        error.show()
        return ExitCode.BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        print_message("interrupted")
        return ExitCode.INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:  # noqa: BLE001  exit code 1 means a failed job
        print_progress(traceback.format_exc())
        print_message(
            f"internal error: {type(error).__name__}: {error}. This is a defect of kling-adapters: please report it "
            "with the lines above. A submitted job continues; `kling jobs` lists it."
        )
        return ExitCode.INTERNAL_ERROR
    return returned if isinstance(returned, int) else ExitCode.DONE


def _configure_logging(level: int) -> None:
    """Print log records to standard error, unless the program that calls `main` has handlers of its own."""
    logging.basicConfig(handlers=[LogHandler()])
    logging.getLogger().setLevel(level)
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _configure_warnings() -> None:
    """Log warnings about parameters, which prints each in one line; others stay as they are."""
    show_others: Any = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if issubclass(category, DeprecatedParameter | UnknownParameter):
            log.warning("%s", message)
        else:
            show_others(message, category, *place, **options)

    for kind in (DeprecatedParameter, UnknownParameter):
        warnings.simplefilter("always", kind)
    warnings.showwarning = cast("Any", show)
