"""`kling status` and `wait`: a submitted job."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from kling_adapters.cli.connection import connect
from kling_adapters.cli.options import as_json, base_url, journal, rate_limit, save_to, timeout
from kling_adapters.cli.output import print_json, print_line
from kling_adapters.cli.results import open_client, print_result
from kling_adapters.errors import StorageError

if TYPE_CHECKING:
    from kling_adapters.client.client import Kling
    from kling_adapters.journal.entries import JournalEntry


@click.command()
@click.argument("request_id")
@base_url
@journal
@as_json
def status(request_id: str, base_url: str | None, journal: str | None, as_json: bool) -> None:
    """Print the state of a job; after an hour, the one in the journal."""
    from kling_adapters.client.client import Kling

    with ExitStack() as stack:
        kling = stack.enter_context(Kling(**connect(stack, base_url, journal)))
        status = kling.job(request_id).status()
    if as_json:
        print_json(asdict(status), indent=None)
    else:
        print_line(f"{status.state}: {status.error}" if status.error else status.state)


@click.command()
@click.argument("request_id")
@click.option(
    "--model",
    metavar="SLUG",
    help="The model of the job; by default that in the journal. Its usual time paces polls.",
)
@save_to
@timeout
@base_url
@journal
@rate_limit
@as_json
def wait(
    request_id: str,
    model: str | None,
    save_to: str | None,
    timeout: float | None,
    base_url: str | None,
    journal: str | None,
    rate_limit: float | None,
    as_json: bool,
) -> None:
    """Wait for a submitted job, and store its output in --save-to, or in the --save-to of its submit."""
    with ExitStack() as stack:
        client = connect(stack, base_url, journal, rate_limit=rate_limit)
        kling = stack.enter_context(open_client(client, quiet=as_json))
        entry = None
        if client["journal"] is not None:
            try:
                entry = _find_entry(kling, client["base_url"], request_id)
            except StorageError:
                if save_to is None:
                    raise
        if model is None and entry is not None and entry.model in kling.catalog:
            model = entry.model
        result = kling.job(request_id, model).wait(timeout)
        if save_to is None and entry is not None and entry.files:
            result = replace(result, saved=entry.files)
        elif destination := save_to or (entry.save_to if entry is not None else None):
            result = replace(result, saved=result.save(destination))
    print_result(result, as_json=as_json)


def _find_entry(kling: Kling, gateway: str, request_id: str) -> JournalEntry | None:
    """Return the last entry of a job in the journal; None if it has none."""
    entries = (entry for entry in reversed(kling.entries()) if entry.gateway == gateway)
    return next((entry for entry in entries if entry.request_id == request_id), None)
