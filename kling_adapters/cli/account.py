"""`kling credits`: the credits of the account."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict

import click

from kling_adapters._text import format_number
from kling_adapters.cli.connection import connect
from kling_adapters.cli.options import as_json, base_url
from kling_adapters.cli.output import print_fields, print_json


@click.command("credits")
@base_url
@as_json
def show_credits(base_url: str | None, as_json: bool) -> None:
    """Print the credits of the account. Costs nothing."""
    from kling_adapters.client.client import Kling

    with ExitStack() as stack:
        client = connect(stack, base_url, None)
        amounts = asdict(stack.enter_context(Kling(**client)).credits())
    if as_json:
        print_json(amounts, indent=None)
        return
    fields = [
        (title, "unknown" if amounts[name] is None else format_number(amounts[name]))
        for name, title in (("credits", "credits"), ("free", "free credits"))
    ]
    print_fields([("gateway", client["base_url"]), *fields])
