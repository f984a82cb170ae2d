"""`kling usage`: the costs of earlier jobs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from kling_adapters._text import escape, format_sum
from kling_adapters.cli.connection import connect
from kling_adapters.cli.options import as_json, base_url, journal
from kling_adapters.cli.output import count_noun, print_json, print_line, print_message, print_table
from kling_adapters.cli.tally import format_credits
from kling_adapters.cli.times import TIME, format_time
from kling_adapters.cli.wording import use_option_names

if TYPE_CHECKING:
    from kling_adapters.protocol.usage import Charge, UsageRow

_GROUPS = ("day", "model", "tag")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


@click.command()
@click.option(
    "--since",
    type=TIME,
    default="30d",
    show_default=True,
    metavar="AGE|DATE",
    help="Only jobs submitted since: 2026-11-01, 7d.",
)
@click.option(
    "--by", type=click.Choice(_GROUPS), help="Sum by this alone; by default by day, model and tag together."
)
@base_url
@journal
@as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def usage(
    since: float,
    by: str | None,
    base_url: str | None,
    journal: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Sum the costs of jobs by day, model and tag.

    They are those of the journal, and those that only the request history of the account has. Days are those of this
    machine. With --json, one line for each row.
    """
    from kling_adapters.client.client import Kling
    from kling_adapters.protocol.usage import sum_charges

    if as_json and as_csv:
        raise click.UsageError("pass either --json or --csv")
    names = _GROUPS if by is None else (by,)
    with ExitStack() as stack:
        client = connect(stack, base_url, journal)
        usage = stack.enter_context(Kling(**client)).usage(since)
    charges = usage.charges
    rows = sum_charges(charges, lambda charge: tuple(_read_group(charge, name) for name in names))
    if as_json:
        for row in rows:
            print_json(_make_record(names, row), indent=None)
    elif as_csv:
        _print_csv(names, rows)
    else:
        _print_rows(names, rows)
    if usage.gap is not None:
        print_message(
            f"jobs that only the request history has may be missing: {use_option_names(usage.gap).rstrip('.')}"
        )


def _read_group(charge: Charge, name: str) -> str:
    match name:
        case "day":
            return format_time(charge.created)[:10]
        case "model":
            return charge.model
        case _:
            return charge.tag


def _make_record(names: Sequence[str], row: UsageRow) -> dict[str, Any]:
    """Return a row under keys that do not change with the fields of UsageRow."""
    return {
        **dict(zip(names, row.group, strict=True)),
        "jobs": row.jobs,
        "cost": row.cost,
        "unknown": row.unknown,
        "unrecorded": row.unrecorded,
    }


def _print_csv(names: Sequence[str], rows: Sequence[UsageRow]) -> None:
    import csv  # for this option only

    text = io.StringIO()
    writer = csv.DictWriter(text, [*names, "jobs", "cost", "unknown", "unrecorded"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        group = tuple(map(_defuse_formula, row.group))
        writer.writerow(_make_record(names, replace(row, group=group)))
    print_line(text.getvalue().rstrip("\n"))


def _defuse_formula(cell: str) -> str:
    """Return the text of a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _print_rows(names: Sequence[str], rows: Sequence[UsageRow]) -> None:
    if rows:
        table = [
            (
                *map(escape, row.group),
                str(row.jobs),
                format_sum(row.cost),
                str(row.unknown or ""),
                str(row.unrecorded or ""),
            )
            for row in rows
        ]
        print_table((*names, "jobs", "credits", "jobs of unknown cost", "jobs the journal lacks"), table)
    unknown, unrecorded = sum(row.unknown for row in rows), sum(row.unrecorded for row in rows)
    notes = [
        f"{count_noun(sum(row.jobs for row in rows), 'job')}, {format_credits(round(sum(row.cost for row in rows), 6))}",
        *([f"the cost of {count_noun(unknown, 'job')} is unknown"] if unknown else ()),
        *([f"the journal does not have {count_noun(unrecorded, 'job')}"] if unrecorded else ()),
    ]
    print_line("; ".join(notes))
