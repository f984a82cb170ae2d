"""The commands of `kling`: the built-in ones, and those of plugins."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from kling_adapters.cli.exit_codes import ExitCode
from kling_adapters.errors import KlingError


class BuiltIn(click.Command):
    """Name and help of a built-in command, for the list of commands; the command itself is imported when it runs.

    Args:
        name: The name on the command line.
        place: The module in this package, and the function.
        text: The first paragraph of the help.

    """

    def __init__(self, name: str, place: str, text: str) -> None:
        super().__init__(name, help=text)
        self._module, self._function = place.split(".")

    def load(self) -> click.Command:
        """Import the command."""
        command: click.Command = getattr(import_module(f"kling_adapters.cli.{self._module}"), self._function)
        return command


BUILT_IN = (
    BuiltIn(
        "models", "models.models", "List the models that can be run, with their usual time and average cost."
    ),
    BuiltIn(
        "show",
        "listings.show",
        "Show the parameters and rules of a model, or what is known of one without a spec.",
    ),
    BuiltIn("plugins", "listings.plugins", "List the installed plugins."),
    BuiltIn("run", "jobs.run", "Submit a job, wait for it, and store its output."),
    BuiltIn("submit", "jobs.submit", "Submit a job and print its request id."),
    BuiltIn(
        "submit-raw",
        "jobs.submit_raw",
        "Submit a job of a model without a spec, and print its request id; parameters are not checked.",
    ),
    BuiltIn("status", "wait.status", "Print the state of a job; after an hour, the one in the journal."),
    BuiltIn(
        "wait",
        "wait.wait",
        "Wait for a submitted job, and store its output in --save-to, or in the --save-to of its submit.",
    ),
    BuiltIn(
        "jobs",
        "journal.jobs",
        "List the jobs of the journal, the oldest first. No key is needed. With --json, one line for each job.",
    ),
    BuiltIn(
        "reconcile",
        "reconcile.reconcile",
        "Look in the request history for the jobs of uncertain submits, and record those that are found.",
    ),
    BuiltIn(
        "resume",
        "journal.resume",
        "Finish every unfinished job of the journal, and store its output in the --save-to of its submit.",
    ),
    BuiltIn("batch", "batch.batch", "Run every line of a file."),
    BuiltIn("usage", "usage.usage", "Sum the costs of jobs by day, model and tag."),
    BuiltIn("credits", "account.show_credits", "Print the credits of the account. Costs nothing."),
    BuiltIn("config", "config.show_config", "Show the settings and their sources."),
)


# Commands of plugins that are distributions of this project, and the extra that installs each.
EXTRAS = {
    "auth": "keyring",
    "mcp": "serve",
    "sandbox": "sandbox",
    "serve": "serve",
    "studio": "serve",
    "temporal": "temporal",
    "webhooks": "webhook",
}


class Commands(click.Group):
    """All commands. Plugins are loaded for the list of commands, and for a command that is not built in."""

    _are_plugins_loaded = False

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; of a built-in one that has not run, its name and help."""
        if cmd_name not in self.commands:
            self._load_plugins()
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command to run, imported, and its arguments."""
        if (extra := EXTRAS.get(args[0])) and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(
                f"the package of `kling {args[0]}` is not installed: pip install 'kling-adapters[{extra}]'",
                ctx,
            )
        name, command, arguments = super().resolve_command(ctx, args)
        if isinstance(command, BuiltIn):
            command = command.load()
            self.add_command(command)
        return name, command, arguments

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        self._load_plugins()
        return super().list_commands(ctx)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            super().invoke(ctx)
        except KlingError:
            # A WaitTimeout is an OSError, too.
            raise
        except OSError as error:
            # click would end the command with the exit code of a failed job.
            raise RuntimeError(f"{type(error).__name__}: {error}") from error

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), code.meaning) for code in ExitCode])

    def _load_plugins(self) -> None:
        from kling_adapters.plugins.manager import Plugins

        if not self._are_plugins_loaded:
            self._are_plugins_loaded = True
            Plugins().add_commands(self)
