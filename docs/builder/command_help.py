"""The reference of the commands, from their help."""

from __future__ import annotations

from collections.abc import Iterator

import click
from kling_codegen.cli import main as codegen

from kling_adapters.cli.app import app
from kling_adapters.cli.commands import BuiltIn


def describe_kling() -> str:
    """Return the page of the commands of `kling`, those of the plugins in this repository included."""
    return "\n".join(["# Commands of kling", "", *_describe_group(app, "kling")])


def describe_codegen() -> str:
    """Return the page of the commands of `kling-codegen`."""
    return "\n".join(["# Commands of kling-codegen", "", *_describe_group(codegen, "kling-codegen")])


def _describe_group(group: click.Group, name: str) -> Iterator[str]:
    context = click.Context(group, info_name=name, terminal_width=100, max_content_width=100)
    yield from _describe(group, context, 2)
    for command_name in group.list_commands(context):
        command = group.get_command(context, command_name)
        if command is None or command.hidden:
            continue
        if isinstance(command, BuiltIn):
            command = command.load()
        yield from _describe_command(command, context, command_name, 2)


def _describe_command(command: click.Command, parent: click.Context, name: str, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)
    yield from _describe(command, context, level)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            child = command.get_command(context, inner)
            if child is not None and not child.hidden:
                yield from _describe_command(child, context, inner, level + 1)


def _describe(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    yield from (f"{'#' * level} {context.command_path}", "", "```text", command.get_help(context), "```", "")
