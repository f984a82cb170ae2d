"""`kling batch`: check, run and resume the jobs of a file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kling_adapters.cli.batch_engine import run_on_engine
from kling_adapters.cli.batch_file import BatchFile, read_batch
from kling_adapters.cli.batch_history import BatchHistory
from kling_adapters.cli.batch_options import Options, batch_name
from kling_adapters.cli.batch_run import BatchRun
from kling_adapters.cli.connection import ClientOptions, connect
from kling_adapters.cli.estimate import check_prices, describe_cap, estimate_lines, find_gap, print_estimate
from kling_adapters.cli.exit_codes import ExitCode
from kling_adapters.cli.options import AMOUNT, as_json, base_url, journal, rate_limit, sandbox, save_to
from kling_adapters.cli.outcomes import OutcomesFile
from kling_adapters.cli.output import count_noun, print_message
from kling_adapters.cli.tally import Tally
from kling_adapters.cli.values import text_files_below
from kling_adapters.errors import ConfigError

if TYPE_CHECKING:
    from kling_adapters.cli.batch_file import Line


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--model", metavar="SLUG", help="The model of lines without one.")
@save_to
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Jobs that run at the same time.",
)
@click.option("--max-cost", type=AMOUNT, metavar="CREDITS", help="Submit nothing that could exceed this.")
@click.option(
    "--allow-unknown-cost",
    type=AMOUNT,
    metavar="CREDITS",
    help="With --max-cost: the most that a job of unknown price may cost; without it, none is submitted.",
)
@click.option("--dry-run", is_flag=True, help="Check every line and estimate the cost; submit nothing.")
@click.option("--resume", is_flag=True, help="Continue the batch; a submitted line is never submitted again.")
@click.option("--skip-invalid", is_flag=True, help="Report invalid lines and submit the others.")
@click.option("--name", metavar="NAME", help="Name the batch in the journal; by default the path of FILE.")
@click.option("--engine", metavar="NAME", help="Run the jobs on the engine of a plugin, such as temporal.")
@click.option("--address", metavar="HOST:PORT", help="With --engine: its address.")
@click.option(
    "--allow-files",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Read @FILE of text parameters from files in this folder.",
)
@base_url
@journal
@rate_limit
@sandbox
@as_json
def batch(**options: Any) -> None:
    """Run every line of a file.

    Outcomes are written to FILE.outcomes.jsonl. A line of a .jsonl file is {"model": "kling-2", "prompt": "..."};
    a .json file may be a list of such objects. The columns of a .csv file are parameters; an empty cell is not
    sent, and a list is JSON. Columns and keys that start with #, such as #customer, are only copied to the
    outcomes. Every line is checked before the first is sent.

    Where a model takes media, @FILE is a file of this machine. In other parameters @ is text, but see --allow-files.

    --json prints each outcome as a JSON object. Ctrl-C, or SIGTERM, finishes jobs in flight and submits nothing
    more; Ctrl-C after that stops at once. --resume continues afterwards, with the same journal and the same path or
    --name.
    """
    _run_batch(Options(**options))


def _run_batch(options: Options) -> None:
    requests = _read_file(options)
    if options.engine is not None and not options.dry_run:
        run_on_engine(options, requests)
        return
    with ExitStack() as stack:
        client = connect(
            stack,
            options.base_url,
            options.journal,
            rate_limit=options.rate_limit,
            sandbox=options.sandbox,
            submits=not options.dry_run,
        )
        if options.resume and client["journal"] is None:
            raise ConfigError("--resume needs the journal. Nothing was sent")
        history = BatchHistory(options.name or batch_name(options.file), client, requests.lines)
        outcomes = OutcomesFile(options.file)
        if options.resume or not options.dry_run:
            history.check(outcomes, options.file, is_resumed=options.resume)
        if options.dry_run:
            _show_estimate(options, client, history.find_due_lines() if options.resume else requests.lines)
            return
        if options.refuses_unknown_prices:
            check_prices(requests.lines, estimate_lines(client, requests.lines))
        outcomes.check()
        tally = _submit_lines(options, client, requests, history, outcomes)
    tally.finish()


def _read_file(options: Options) -> BatchFile:
    """Read the batch file, and report invalid lines. Raises ConfigError if nothing may be submitted."""
    from kling_adapters.plugins.manager import load_catalog

    read_text = text_files_below(options.allow_files) if options.allow_files else None
    requests = read_batch(options.file, options.model, load_catalog(), read_text, is_resumed=options.resume)
    requests.check(skip_invalid=options.skip_invalid)
    if requests.invalid:
        print_message(requests.describe_problems(f"{count_noun(len(requests.invalid), 'line')} skipped"))
    return requests


def _show_estimate(options: Options, client: ClientOptions, lines: Sequence[Line]) -> None:
    """Print the cost of the lines, and what it means for --max-cost. Raises ConfigError as without --dry-run."""
    from kling_adapters.cli.wording import use_option_names  # compiles its patterns

    estimates = estimate_lines(client, lines)
    print_estimate(estimates, as_json=options.as_json)
    if (gap := find_gap(estimates)) is not None:
        print_message(
            f"jobs that only the request history has do not count: {use_option_names(gap).rstrip('.')}"
        )
    if options.refuses_unknown_prices:
        check_prices(lines, estimates)
    if options.max_cost is not None:
        earlier = "; jobs of earlier runs count, too" if options.resume else ""
        print_message(f"{describe_cap(estimates, options.max_cost, options.allow_unknown_cost)}{earlier}")


def _submit_lines(
    options: Options,
    client: ClientOptions,
    requests: BatchFile,
    history: BatchHistory,
    outcomes: OutcomesFile,
) -> Tally:
    """Run every line and return the count of outcomes."""
    import anyio

    has_journal = client["journal"] is not None
    # Before the first request, and after the last: in between, signals finish the jobs in flight.
    interrupted = "interrupted; submitted jobs continue, and --resume collects them within the hour"
    with Tally(len(requests.lines), interrupted, can_resume=has_journal) as tally:
        if requests.invalid:
            tally.report_code(ExitCode.INCOMPLETE)
        run = BatchRun(requests.lines, history.find_finished(), tally, outcomes, as_json=options.as_json)
        start = partial(
            run.run,
            client,
            requests.invalid,
            concurrency=options.concurrency,
            save_to=options.save_to,
            max_cost=options.max_cost,
            allow_unknown_cost=options.allow_unknown_cost,
            name=history.name if has_journal else None,
        )
        anyio.run(start)
    return tally
