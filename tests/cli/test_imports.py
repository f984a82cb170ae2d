"""Imports of the command line: a command imports what it uses, and the list of commands imports none."""

from __future__ import annotations

import subprocess
import sys
from typing import cast

import click
import pytest

from kling_adapters.cli.commands import BUILT_IN

CODE = """
import sys
from kling_adapters.cli import main
sys.argv = ["kling", *sys.argv[1:]]
try:
    main()
finally:
    names = ("httpx", "httpx2", "pydantic", "rich", "asyncio", "sqlite3")
    print("imported:", *(name for name in names if name in sys.modules))
"""


def imported(*arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 200
    return done.stdout.rpartition("imported:")[2].split()


@pytest.mark.parametrize(
    "command",
    ["--help", "models --json", "show kling-2 --json", "plugins --json", "run --help", "batch --help"],
)
def test_command_without_a_table_imports_no_slow_library(command: str) -> None:
    assert imported(*command.split()) == []


@pytest.mark.parametrize("command", ["models", "models --all", "show kling-2", "plugins"])
def test_command_with_a_table_imports_rich_alone(command: str) -> None:
    assert imported(*command.split()) == ["rich"]


@pytest.mark.parametrize("built_in", BUILT_IN, ids=lambda built_in: built_in.name)
def test_list_of_commands_has_the_help_of_each(built_in: click.Command) -> None:
    placeholder = next(command for command in BUILT_IN if command is built_in)
    command = placeholder.load()
    first, *_ = cast("str", command.help).split("\n\n")
    assert (command.name, " ".join(first.split())) == (placeholder.name, placeholder.help)
