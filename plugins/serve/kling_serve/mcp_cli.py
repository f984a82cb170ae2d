"""`kling mcp`. The help text needs no server, so this module imports none."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import click
from click.core import ParameterSource

from kling_serve.cli import COMMON_OPTIONS, make_settings, with_options


@click.command()
@click.option("--print-config", is_flag=True, help="Print the configuration for a client, and exit.")
@click.option(
    "--max-cost",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    envvar="KLING_MCP_MAX_COST",
    show_envvar=True,
    metavar="CREDITS",
    help="Most that the jobs of this session may cost.",
)
@click.option(
    "--unknown-price",
    type=click.FloatRange(0),
    envvar="KLING_MCP_UNKNOWN_PRICE",
    show_envvar=True,
    metavar="CREDITS",
    help="Credits to set aside for a job of unknown price; by default such jobs are refused.",
)
@with_options(*COMMON_OPTIONS)
@click.pass_context
def mcp(
    context: click.Context,
    /,
    print_config: bool,
    max_cost: float,
    unknown_price: float | None,
    **options: Any,
) -> None:
    """Serve the models as tools of the Model Context Protocol, on standard input and output."""
    if print_config:
        command = {"command": str(Path(sys.argv[0]).absolute()), "args": ["mcp", *_list_arguments(context)]}
        click.echo(json.dumps({"mcpServers": {"kling": command}}, indent=2))
        return
    if find_spec("mcp") is None:
        raise click.ClickException(
            "the Model Context Protocol is not installed: pip install 'kling-serve[mcp]'"
        )
    from kling_serve.mcp_server.server import OWNER, run
    from kling_serve.tokens import Limits, Token

    token = Token(OWNER, "", Limits(credits_in_all=max_cost, unknown_price=unknown_price))
    run(make_settings(tokens=(token,), **options))


def _list_arguments(context: click.Context) -> Iterator[str]:
    """Yield the options of this command; paths are absolute, because clients start it elsewhere."""
    for option in context.command.params:
        name = option.name or ""
        if name == "print_config" or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value: Any = context.params[name]
        for item in cast("Sequence[Any]", value if option.multiple else (value,)):
            if isinstance(item, bool):
                yield option.opts[0] if item else option.secondary_opts[0]
            else:
                yield option.opts[0]
                yield str(Path(item).absolute() if isinstance(item, Path) or name == "journal" else item)
