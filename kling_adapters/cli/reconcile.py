"""`kling reconcile`: the jobs of uncertain submits."""

from __future__ import annotations

import sys
from contextlib import ExitStack

import click

from kling_adapters.cli.connection import connect
from kling_adapters.cli.entries import print_entries, print_entry_lines, print_looks
from kling_adapters.cli.exit_codes import ExitCode
from kling_adapters.cli.options import as_json, base_url, journal
from kling_adapters.cli.output import count_noun, print_line
from kling_adapters.journal.entries import UNCERTAIN


@click.command()
@base_url
@journal
@as_json
def reconcile(base_url: str | None, journal: str | None, as_json: bool) -> None:
    """Look in the request history for the jobs of uncertain submits, and record those that are found.

    The history may list a job up to two hours late: a submit whose job is not found stays uncertain. Expired jobs are
    looked for, too. Costs nothing.
    With --json, one line for each submit.
    """
    from kling_adapters.client.client import Kling

    with ExitStack() as stack:
        kling = stack.enter_context(Kling(**connect(stack, base_url, journal)))
        entries = kling.reconcile()
    remaining = [entry for entry in entries if entry.state == UNCERTAIN]
    if as_json:
        print_entry_lines(entries)
    elif not entries:
        print_line("no uncertain submits")
    else:
        print_entries(entries)
        print_looks(remaining)
        count = len(entries) - len(remaining)
        print_line(
            f"{count_noun(count, 'job')} found, {len(remaining)} uncertain; `kling resume` collects what was found"
        )
    if remaining:
        sys.exit(ExitCode.UNCERTAIN)
