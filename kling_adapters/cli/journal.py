"""`kling jobs` and `kling resume`: what the journal knows, and how to bring it to its end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kling_adapters._text import format_number
from kling_adapters.cli.options import AMOUNT, as_json, base_url, journal, save_to
from kling_adapters.cli.output import count_noun, print_json, print_line, print_table
from kling_adapters.errors import ConfigError

if TYPE_CHECKING:
    from kling_adapters.journal.entries import JournalEntry
    from kling_adapters.journal.journal import Journal

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
    with closing(_open_journal(journal)) as known:
        entries = [
            entry
            for entry in known.entries()
            if wanted in (None, entry.state) and model in (None, entry.model)
        ]
    entries = entries[-limit:] if limit else entries
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    print_table(
        ("number", "age", "state", "model", "request id", "cost", "stored as, or why it failed"),
        _rows(entries),
    )
    if uncertain and entries:
        print_line(WHAT_TO_CHECK)


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
    with closing(_open_journal(group_journal if journal == "" else journal)) as known:
        known.resolve(number, request_id)
    print_line("`kling resume` collects it within the hour" if request_id else "it may be submitted again")


@jobs.command()
@click.argument("numbers", type=int, nargs=-1, metavar="[NUMBER]...")
@click.option("--older-than", type=AMOUNT, metavar="DAYS", help="Every job that ended so many days ago.")
@journal
@click.pass_obj
def forget(
    group_journal: str | None, numbers: tuple[int, ...], older_than: float | None, journal: str | None
) -> None:
    """Remove jobs that have ended from the journal: their parameters, results and the places of their files.

    The files themselves stay. A batch that is resumed afterwards submits, and pays for, lines that were forgotten.
    """
    if bool(numbers) is (older_than is not None):
        raise click.UsageError("give either the numbers of jobs, as in `kling jobs`, or --older-than DAYS")
    with closing(_open_journal(group_journal if journal == "" else journal)) as store:
        entries = {entry.id: entry for entry in store.entries()}
        if older_than is not None:
            before = time.time() - older_than * 86400
            numbers = tuple(
                number
                for number, entry in entries.items()
                if entry.updated < before and not _needs_user(entry)
            )
        _check_forgettable(numbers, entries)
        count = store.forget(numbers) if numbers else 0
    print_line(f"{count_noun(count, 'job')} removed from the journal")


def _check_forgettable(numbers: Sequence[int], entries: Mapping[int, JournalEntry]) -> None:
    """Raise ConfigError if one of the jobs is unknown, or may still be collected or billed."""
    unknown = [number for number in numbers if number not in entries]
    if unknown:
        raise ConfigError(f"the journal has no job {', '.join(map(str, unknown))}. Nothing was removed")
    unfinished = [number for number in numbers if _needs_user(entries[number])]
    if unfinished:
        raise ConfigError(
            f"{', '.join(map(str, unfinished))} cannot be removed: without the journal, nobody could collect or look "
            "into what may be billed. Run `kling resume`, or `kling jobs resolve` if it is UNCERTAIN. Nothing was "
            "removed"
        )


def _needs_user(entry: JournalEntry) -> bool:
    """Whether there is still something to collect or to look into."""
    from kling_adapters.protocol.recall import output_is_alive

    # A file that the gateway no longer has can never be stored.
    is_lost = entry.state == "COMPLETED" and not output_is_alive(entry, time.time())
    return (entry.is_unfinished and not is_lost) or entry.state == "UNCERTAIN"


@click.command()
@save_to
@click.option("--concurrency", type=click.IntRange(1), default=32, show_default=True, help="Jobs at a time.")
@base_url
@journal
@as_json
def resume(
    save_to: str | None, concurrency: int, base_url: str | None, journal: str | None, as_json: bool
) -> None:
    """Bring every unfinished job of the journal to its end, and store it where it was submitted for.

    Those that were submitted without a place are stored with --save-to. Submits that are uncertain are reported.
    """
    from kling_adapters.cli.outcomes import outcome_row
    from kling_adapters.cli.tally import Tally
    from kling_adapters.client.arguments import resolve_gateway, resolve_journal
    from kling_adapters.client.client import Kling

    path = resolve_journal(journal)
    with (
        Kling(base_url=resolve_gateway(base_url).base_url, journal=path) as kling,
        Tally(None) as tally,
        closing(kling.resume(save_to=save_to, concurrency=concurrency)) as outcomes,
    ):
        for outcome in outcomes:
            tally.add(outcome, f"#{outcome.index}")
            if as_json:
                print_json({"number": outcome.index, **outcome_row(outcome)}, indent=None)
    tally.finish()


def _open_journal(journal: str | None) -> Journal:
    from kling_adapters.client.arguments import resolve_journal
    from kling_adapters.journal.journal import Journal

    path = resolve_journal(journal)
    if path is None:
        raise ConfigError("there is no journal to read: KLING_JOURNAL or --journal turns it off")
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
