"""`kling jobs` and `kling resume`: the jobs of the journal, and how to finish them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from kling_adapters.cli.entries import EntryFilter, print_entries, print_entry_lines, print_looks
from kling_adapters.cli.options import as_json, base_url, journal, rate_limit, save_to
from kling_adapters.cli.output import count_noun, print_json, print_line, print_progress
from kling_adapters.cli.times import AGE, TIME
from kling_adapters.errors import ConfigError
from kling_adapters.journal.entries import EXPIRED, REFUSED, SUBMITTING, UNCERTAIN
from kling_adapters.models._gateway import STATES

if TYPE_CHECKING:
    from kling_adapters.cli.tally import Tally
    from kling_adapters.client.result import Result
    from kling_adapters.journal.entries import JournalEntry
    from kling_adapters.journal.journal import Journal
    from kling_adapters.protocol.tasks import Outcome

_STATES = (SUBMITTING, *STATES, REFUSED, UNCERTAIN, EXPIRED)
_ADVICE = """\
These submits were sent but not answered. Each may have started a job that is billed, so none is repeated.
`kling reconcile` looks for their jobs in the request history, which may list a job up to two hours late.
If it does not find them, compare them with the requests and credits of your account at these times, and record the result:
  kling jobs resolve NUMBER --request-id ID    it started a job; `kling resume` collects it within the hour
  kling jobs resolve NUMBER --no-job           it started no job; you can submit it again"""

_INTERRUPTED = "submitted jobs continue; run `kling resume` again within the hour"


@click.group(invoke_without_command=True)
@click.option(
    "--unfinished", is_flag=True, help="Only jobs that have not ended, or whose output is not stored yet."
)
@click.option("--uncertain", is_flag=True, help="Only submits that may have started a job, with advice.")
@click.option(
    "--state",
    type=click.Choice(_STATES, case_sensitive=False),
    metavar="STATE",
    help=f"Only jobs in this state: {', '.join(_STATES)}.",
)
@click.option("--since", type=TIME, metavar="AGE|DATE", help="Only jobs submitted since: 2h, 7d, 2026-11-29.")
@click.option("--tag", metavar="NAME", help="Only jobs with this tag, or of the batch with this name.")
@click.option("--model", metavar="SLUG", help="Only jobs of this model.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the last N.")
@journal
@as_json
@click.pass_context
def jobs(
    context: click.Context,
    /,
    uncertain: bool,
    limit: int | None,
    journal: str | None,
    as_json: bool,
    **filters: Any,
) -> None:
    """List the jobs of the journal, the oldest first. No key is needed. With --json, one line for each job."""
    if context.invoked_subcommand is not None:
        context.obj = journal
        return
    entry_filter = EntryFilter(**filters)
    with closing(_open_journal(journal)) as store:
        entries = [
            entry
            for entry in store.entries()
            if entry_filter.accepts(entry) and (not uncertain or entry.state == UNCERTAIN)
        ]
    entries = entries[-limit:] if limit else entries
    if as_json:
        print_entry_lines(entries)
        return
    print_entries(entries)
    if uncertain and entries:
        print_looks(entries)
        print_line(_ADVICE)


@jobs.command()
@click.argument("number", type=int)
@click.option("--request-id", metavar="ID", help="The job that the submit started.")
@click.option("--no-job", is_flag=True, help="The submit started no job.")
@journal
@click.pass_obj
def resolve(
    group_journal: str | None, number: int, request_id: str | None, no_job: bool, journal: str | None
) -> None:
    """Record the job of an uncertain submit, by its number in `kling jobs --uncertain`."""
    if (request_id is None) is not no_job:
        raise click.UsageError("Pass either --request-id ID or --no-job.")
    with closing(_open_journal(journal, group_journal)) as store:
        store.resolve(number, request_id)
    print_line("`kling resume` collects the job within the hour" if request_id else "you can submit it again")


@jobs.command()
@click.argument("numbers", type=int, nargs=-1, required=True, metavar="NUMBER...")
@journal
@click.pass_obj
def forget(group_journal: str | None, numbers: tuple[int, ...], journal: str | None) -> None:
    """Delete ended jobs from the journal: their parameters, results and the URLs of their files.

    The files themselves stay. A batch that is resumed afterwards submits and pays for deleted lines again.
    """
    with closing(_open_journal(journal, group_journal)) as store:
        _check_deletable(numbers, {entry.id: entry for entry in store.entries()})
        count = store.forget(numbers)
    print_line(f"{count_noun(count, 'job')} deleted from the journal")


@jobs.command()
@click.option(
    "--older-than", type=AGE, required=True, metavar="AGE", help="Only jobs that ended before: 12h, 30d."
)
@click.option("--dry-run", is_flag=True, help="List the jobs, and delete none.")
@journal
@click.pass_obj
def prune(group_journal: str | None, older_than: float, dry_run: bool, journal: str | None) -> None:
    """Delete old ended jobs from the journal, as `forget` does, and stale lock files beside it.

    Jobs that are unfinished or uncertain stay.
    """
    before = time.time() - older_than
    with closing(_open_journal(journal, group_journal)) as store:
        entries = [entry for entry in store.entries() if entry.updated < before and not _is_needed(entry)]
        if dry_run:
            print_entries(entries)
            print_line(f"{count_noun(len(entries), 'job')} to delete; nothing was deleted")
        else:
            count = store.forget(entry.id for entry in entries)
            print_line(f"{count_noun(count, 'job')} deleted from the journal")


def _check_deletable(numbers: Sequence[int], entries: Mapping[int, JournalEntry]) -> None:
    """Raise ConfigError if one of the jobs is unknown, or may still be collected or billed."""
    unknown = [number for number in numbers if number not in entries]
    if unknown:
        raise ConfigError(f"the journal has no job {', '.join(map(str, unknown))}. Nothing was deleted")
    needed = [number for number in numbers if _is_needed(entries[number])]
    if needed:
        raise ConfigError(
            f"cannot delete {', '.join(map(str, needed))}: without the journal, a job that may be billed could be neither "
            "collected nor checked. Run `kling resume`, or `kling jobs resolve` if it is UNCERTAIN. "
            "Nothing was deleted"
        )


def _is_needed(entry: JournalEntry) -> bool:
    """Return whether a job is still to be collected or checked."""
    from kling_adapters.protocol.recall import output_is_alive

    # A file that the gateway no longer has can never be stored.
    is_lost = entry.state == "COMPLETED" and not output_is_alive(entry, time.time())
    return (entry.is_unfinished and not is_lost) or entry.state == UNCERTAIN


@click.command()
@save_to
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Jobs that run at the same time.",
)
@base_url
@journal
@rate_limit
@as_json
def resume(
    save_to: str | None,
    concurrency: int,
    base_url: str | None,
    journal: str | None,
    rate_limit: float | None,
    as_json: bool,
) -> None:
    """Finish every unfinished job of the journal, and store its output in the --save-to of its submit.

    The --save-to of this command is for jobs that were submitted without one. Uncertain submits are reported. With
    --json, one line for each job.
    """
    from kling_adapters.cli.outcomes import outcome_row
    from kling_adapters.cli.tally import Tally
    from kling_adapters.client.client import Kling
    from kling_adapters.client.settings import resolve_gateway, resolve_journal

    gateway, path = resolve_gateway(base_url).base_url, resolve_journal(journal)
    with (
        Kling(base_url=gateway, journal=path, rate_limit=rate_limit) as kling,
        Tally(None, _INTERRUPTED) as tally,
        closing(kling.resume(save_to=save_to, concurrency=concurrency, on_start=_show_count)) as outcomes,
    ):
        for outcome in outcomes:
            if as_json:
                print_json({"number": outcome.index, **outcome_row(outcome)}, indent=None)
            else:
                _show_outcome(tally, outcome)
            tally.add(outcome, f"#{outcome.index}")
    tally.finish()


def _show_count(entries: Sequence[JournalEntry]) -> None:
    uncertain = sum(entry.state == UNCERTAIN for entry in entries)
    text = f"{count_noun(len(entries) - uncertain, 'job')} to finish"
    print_progress(f"{text}, {uncertain} uncertain" if uncertain else text)


def _show_outcome(tally: Tally, outcome: Outcome[Result]) -> None:
    """Show the stored files of a job; the tally shows its error."""
    if outcome.result is not None and outcome.error is None:
        places = " ".join(file.url for file in outcome.result.saved) or "not stored: pass --save-to"
        tally.show_message(f"{outcome.model} {outcome.request_id}: {places}")


def _open_journal(journal: str | None, group_journal: str | None = "") -> Journal:
    """Open the journal of a command, or of its group where the command names none ("")."""
    from kling_adapters.client.settings import resolve_journal
    from kling_adapters.journal.journal import Journal

    path = resolve_journal(group_journal if journal == "" else journal)
    if path is None:
        raise ConfigError(
            "there is no journal: --journal or KLING_JOURNAL is none. Name the file of a journal with --journal"
        )
    return Journal(path)
