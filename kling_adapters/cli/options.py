"""Options that several commands share."""

from __future__ import annotations

import math
from typing import Any

import click

from kling_adapters.models._gateway import BASE_URL


class _Amount(click.ParamType[float]):
    """A number, 0 or more; `inf` and `nan` are refused."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 <= number < math.inf:
            self.fail(f"{value!r} is not a number; expected 0 or more.", param, ctx)
        return number


def _read_journal(context: click.Context, option: click.Parameter, path: str | None) -> str | None:
    """Return the value for `Kling(journal=...)`."""
    return None if path == "none" else path or ""


AMOUNT = _Amount()
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
base_url = click.option(
    "--base-url", metavar="URL", help=f"The gateway; by default KLING_BASE_URL, or {BASE_URL}."
)
save_to = click.option(
    "--save-to",
    metavar="DESTINATION",
    help="Store the output here: a folder, a file name such as out.mp4 or {model}-{request_id}{ext}, or a URL of a "
    "storage plugin.",
)
timeout = click.option(
    "--timeout",
    type=AMOUNT,
    metavar="SECONDS",
    help="Wait no longer; by default four times the usual time of the model, or 15 minutes if that is more.",
)
unchecked = click.option(
    "--unchecked",
    multiple=True,
    metavar="NAME=VALUE",
    help="Send this parameter without validation, because the gateway takes a value that the spec does not have yet.",
)
tag = click.option("--tag", metavar="TEXT", help="Tag of the job in the journal.")
journal = click.option(
    "--journal",
    metavar="PATH|none",
    callback=_read_journal,
    help="The journal; by default KLING_JOURNAL, or a file in your state folder.",
)
rate_limit = click.option(
    "--rate-limit",
    type=AMOUNT,
    metavar="NUMBER",
    help="Requests a minute of your plan, never exceeded; by default KLING_RATE_LIMIT, or learned from refusals.",
)
sandbox = click.option(
    "--sandbox", is_flag=True, help="Start a local sandbox for this command; no account is needed."
)
