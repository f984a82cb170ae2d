"""The options that say where a command sends, keeps and stores, and their checks before anything is sent."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import click

from kling_adapters.errors import ConfigError
from kling_adapters.models._gateway import BASE_URL


class _Amount(click.ParamType[float]):
    """A number that is not negative; `inf` and `nan` are none."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 <= number < math.inf:
            self.fail(f"{value!r} is not a number from 0", param, ctx)
        return number


def _journal_path(context: click.Context, option: click.Parameter, path: str | None) -> str | None:
    """Return what `Kling(journal=...)` takes."""
    return None if path == "none" else path or ""


AMOUNT = _Amount()
base_url = click.option(
    "--base-url", metavar="URL", help=f"The gateway to use; by default KLING_BASE_URL, or {BASE_URL}."
)
save_to = click.option(
    "--save-to", metavar="DIR", help="Store the output in this folder, or at a URL a storage plugin takes."
)
timeout = click.option(
    "--timeout", type=AMOUNT, metavar="SECONDS", help="How long to wait; by default by the usual time."
)
journal = click.option(
    "--journal",
    metavar="PATH|none",
    callback=_journal_path,
    help="The journal to use; by default KLING_JOURNAL, or a file in your state folder.",
)
sandbox = click.option(
    "--sandbox", is_flag=True, help="Use a local sandbox, started for this command; no account is needed."
)


def gateway_url(base_url: str | None) -> str:
    """Return the address of the gateway to use, as the journal writes it. Raises ConfigError."""
    from kling_adapters.client.arguments import resolve_gateway

    return resolve_gateway(base_url).base_url


def journal_path(journal: str | None) -> Path | None:
    """Return the path that `--journal` or the environment names; None for no journal. Raises ConfigError."""
    from kling_adapters.client.arguments import resolve_journal

    return resolve_journal(journal)


def check_journal(path: Path | None) -> None:
    """Raise ConfigError if submits could not be written to the journal, before anything is sent."""
    if path is None:
        return
    if path.exists():
        place, kind = path, "a file"
        is_usable = path.is_file() and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)
    else:
        # What does not exist is made, in the nearest folder that does.
        place, kind = next(folder for folder in path.absolute().parents if folder.exists()), "a folder"
        is_usable = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    if not is_usable:
        raise ConfigError(
            f"the journal {path} cannot be written: {place} is not {kind} that this user can write to. Set "
            "KLING_JOURNAL or --journal to a file in a folder that can be written to, or to none to go without a "
            "journal. Nothing was sent"
        )
