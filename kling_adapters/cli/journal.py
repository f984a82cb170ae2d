"""`kling jobs` and `kling resume`: what the journal knows, and how to bring it to its end."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kling_adapters._text import format_number
from kling_adapters.cli.jobs import base_url, journal, save_to
from kling_adapters.cli.listings import as_json, print_table
from kling_adapters.errors import ConfigError

if TYPE_CHECKING:
    from kling_adapters.journal import Journal, JournalEntry

WHAT_TO_CHECK = """\
Nobody knows whether these submits started a job: they went out, and no answer came back. They may be billed, so they
are never repeated for you. Look at the requests and the credits of your account, at the time and the model given
here, and write down what you find:
  kling jobs resolve NUMBER --request-id ID    there is a job; `kling resume` collects it within the hour
  kling jobs resolve NUMBER --no-job           there is none; it may be submitted again"""


@click.group(invoke_without_command=True)
@click.option(
    "--uncertain", is_flag=True, help="Only submits that may have started a job; says what to check."
)
@click.option("--state", metavar="STATE", help="Only jobs in this state, such as COMPLETED or FAILED.")
@click.option("--model", metavar="SLUG", help="Only jobs of this model.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the last N.")
@journal
@as_json
@click.pass_context
def jobs(
    context: click.Context,
    uncertain: bool,
    state: str | None,
    model: str | None,
    limit: int | None,
    journal: str | None,
    as_json: bool,
) -> None:
    """List the jobs of the journal, the oldest first. No key is needed."""
    if context.invoked_subcommand is not None:
        context.obj = journal
        return
    wanted = "UNCERTAIN" if uncertain else state.upper() if state else None
    with closing(_journal(journal)) as known:
        entries = [
            entry
            for entry in known.entries()
            if wanted in (None, entry.state) and model in (None, entry.model)
        ]
    entries = entries[-limit:] if limit else entries
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    print_table(
        ("number", "age", "state", "model", "request id", "cost", "stored as, or why it failed"),
        _rows(entries),
    )
    if uncertain and entries:
        click.echo(WHAT_TO_CHECK)


@jobs.command()
@click.argument("number", type=int)
@click.option("--request-id", metavar="ID", help="The job that the submit started.")
@click.option("--no-job", is_flag=True, help="The submit started nothing.")
@journal
@click.pass_obj
def resolve(
    group_journal: str | None, number: int, request_id: str | None, no_job: bool, journal: str | None
) -> None:
    """Write down what you found out of an uncertain submit, by its number in `kling jobs --uncertain`."""
    if (request_id is None) is not no_job:
        raise click.UsageError("give either --request-id ID or --no-job")
    with closing(_journal(group_journal if journal == "" else journal)) as known:
        known.resolve(number, request_id)
    click.echo("`kling resume` collects it within the hour" if request_id else "it may be submitted again")


@click.command()
@save_to
@click.option("--concurrency", type=click.IntRange(1), default=32, show_default=True, help="Jobs at a time.")
@base_url
@journal
@as_json
def resume(save_to: str | None, concurrency: int, base_url: str, journal: str | None, as_json: bool) -> None:
    """Bring every unfinished job of the journal to its end, and store it where it was submitted for.

    Those that were submitted without a place are stored with --save-to. Submits that are uncertain are reported.
    """
    from kling_adapters.cli.batch import Tally, outcome_row
    from kling_adapters.client import Kling

    with (
        Kling(base_url=base_url, journal=journal) as kling,
        Tally(None) as tally,
        closing(kling.resume(save_to=save_to, concurrency=concurrency)) as outcomes,
    ):
        for outcome in outcomes:
            tally.add(outcome)
            if as_json:
                click.echo(json.dumps({"number": outcome.index, **outcome_row(outcome)}))
    tally.finish()


def _journal(told: str | None) -> Journal:
    from kling_adapters.journal import Journal, default_path

    path = default_path() if told == "" else told
    if path is None:
        raise ConfigError("there is no journal to read: it is turned off")
    return Journal(path)


def _rows(entries: Sequence[JournalEntry]) -> list[tuple[str, ...]]:
    now = time.time()
    return [
        (
            str(entry.id),
            _age(now - entry.created),
            entry.state,
            entry.model,
            entry.request_id or "",
            "" if entry.cost is None else format_number(entry.cost),
            " ".join(file.url for file in entry.files) or entry.reason or "",
        )
        for entry in entries
    ]


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
