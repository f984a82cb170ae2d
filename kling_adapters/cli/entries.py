"""Entries of the journal: filters, a table and JSON lines."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from kling_adapters._text import escape, format_number
from kling_adapters.cli.output import count_noun, print_json, print_line, print_table
from kling_adapters.cli.times import format_age, format_time

if TYPE_CHECKING:
    from kling_adapters.journal.entries import HistorySearch, JournalEntry


@dataclass(frozen=True)
class EntryFilter:
    """The entries that a listing shows; a field that is None or False excludes none.

    Attributes:
        state: State of the job.
        model: Slug of the model.
        tag: Tag of the job, or name of its batch, or the last part of that name if it is a path.
        since: Earliest time of the submit, in seconds since 1970.
        unfinished: Only jobs that have not ended, or whose output is still to be stored.

    """

    state: str | None
    model: str | None
    tag: str | None
    since: float | None
    unfinished: bool

    def accepts(self, entry: JournalEntry) -> bool:
        """Return whether the listing shows an entry."""
        from kling_adapters.protocol.tags import batch_name

        return (
            self.state in (None, entry.state)
            and self.model in (None, entry.model)
            and self.tag in (None, entry.tag, batch_name(entry), _short_tag(entry))
            and (self.since is None or entry.created >= self.since)
            and (not self.unfinished or entry.is_unfinished)
        )


def print_entries(entries: Sequence[JournalEntry]) -> None:
    """Print entries as a table; with a column of tags if there are any."""
    if not entries:
        print_line("no jobs")
        return
    now = time.time()
    has_tags = any(entry.tag for entry in entries)
    head = ("number", "submitted", "age", "state", "model", *(("tag",) if has_tags else ()))
    print_table(
        (*head, "request id", "cost", "files, or reason of the failure"),
        [
            (
                str(entry.id),
                format_time(entry.created),
                format_age(now - entry.created),
                entry.state,
                entry.model,
                *((escape(_short_tag(entry)),) if has_tags else ()),
                entry.request_id or "",
                "" if entry.cost is None else format_number(entry.cost),
                _format_end(entry),
            )
            for entry in entries
        ],
        unfolded=("submitted", "age", "state", "request id"),
    )


def _format_end(entry: JournalEntry) -> str:
    """Return the files or the failure of a job, and the parameters that were not validated."""
    end = " ".join(file.url for file in entry.files) or entry.reason or ""
    return f"{end} (unchecked: {', '.join(entry.unchecked)})".lstrip() if entry.unchecked else end


def print_looks(entries: Sequence[JournalEntry]) -> None:
    """Print what was looked for in the request history, for each uncertain submit."""
    for entry in entries:
        print_line(f"{entry.id}: {_describe_look(entry)}")


def _describe_look(entry: JournalEntry) -> str:
    look = entry.looked
    if look is None:
        return "not looked for in the request history yet"
    place = f"looked for in the request history at {format_time(look.time)}"
    if look.problem is not None:
        return f"{place}, without success: {look.problem}"
    requests = count_noun(look.rows, "request")
    return f"{place}: {requests} of {entry.model} about the time of the submit, none of which is free and the same"


def print_entry_lines(entries: Sequence[JournalEntry]) -> None:
    """Print each entry as a line of JSON."""
    for entry in entries:
        print_json(_entry_row(entry), indent=None)


def _short_tag(entry: JournalEntry) -> str:
    """Return the tag of a job, or the last part of the name of its batch."""
    from kling_adapters.protocol.tags import batch_name

    name = batch_name(entry)
    return (entry.tag or "") if name is None else PurePath(name).name


def _entry_row(entry: JournalEntry) -> dict[str, Any]:
    """Return an entry under keys that do not change with the fields of JournalEntry."""
    return {
        "number": entry.id,
        "submitted": format_time(entry.created, with_offset=True),
        "updated": format_time(entry.updated, with_offset=True),
        "state": entry.state,
        "model": entry.model,
        "tag": entry.tag,
        "request_id": entry.request_id,
        "cost": entry.cost,
        "reason": entry.reason,
        "save_to": entry.save_to,
        "files": [asdict(file) for file in entry.files],
        "params": entry.params,
        "unchecked": list(entry.unchecked),
        "looked": _search_row(entry.looked),
        "result": entry.result,
        "gateway": entry.gateway,
        "key_fingerprint": entry.key,
    }


def _search_row(look: HistorySearch | None) -> dict[str, Any] | None:
    if look is None:
        return None
    return {"time": format_time(look.time, with_offset=True), "rows": look.rows, "problem": look.problem}
