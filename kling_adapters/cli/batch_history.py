"""The jobs of earlier runs of a batch, from the journal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kling_adapters.cli.output import count_noun
from kling_adapters.errors import ConfigError

if TYPE_CHECKING:
    from kling_adapters.cli.batch_file import Line
    from kling_adapters.cli.connection import ClientOptions
    from kling_adapters.cli.outcomes import OutcomesFile
    from kling_adapters.client.result import AsyncResult
    from kling_adapters.journal.entries import JournalEntry
    from kling_adapters.protocol.tasks import Outcome


class BatchHistory:
    """The journal entries of a batch at one gateway, and their lines."""

    def __init__(self, name: str, client: ClientOptions, lines: Sequence[Line]) -> None:
        from kling_adapters.protocol.tags import batch_name

        self.name = name
        self._gateway = client["base_url"]
        self._journal = client["journal"]
        self._lines = lines
        self._entries = _read_entries(client)
        self._batch_names = {entry.id: batch_name(entry) for entry in self._entries}

    def check(self, outcomes: OutcomesFile, file: Path, *, is_resumed: bool) -> None:
        """Raise ConfigError if paid lines would be submitted again."""
        if not is_resumed:
            # Of any gateway: a superfluous warning is harmless.
            if any(self._batch_names[entry.id] == self.name for entry in self._entries):
                raise ConfigError(
                    f"{file} was run before. --resume continues it and submits only the remaining lines; to pay for "
                    "all lines again, run a copy of the file, or pass another --name. Nothing was sent"
                )
            return
        if not self._batch_entries():
            raise ConfigError(
                f"the journal {self._journal} has no job of the batch {self.name} at {self._gateway}, so --resume "
                f"would submit and pay for every line. {self._advise(file)} To run it for the first time, "
                "leave out --resume. Nothing was sent"
            )
        unknown = outcomes.read_request_ids() - {entry.request_id or "" for entry in self._entries}
        if unknown:
            raise ConfigError(
                f"{outcomes.path} reports {count_noun(len(unknown), 'job')} that the journal {self._journal} does not "
                "have, so --resume would submit and pay for their lines again. Pass the journal of that run with "
                "--journal or KLING_JOURNAL; if the file is of another run, remove it. Nothing was sent"
            )

    def find_due_lines(self) -> list[Line]:
        """Return the lines that --resume would submit."""
        from kling_adapters.journal.entries import REFUSED

        entries = self._line_entries()
        return [
            line
            for line, entry in zip(self._lines, entries, strict=True)
            if entry is None or entry.state == REFUSED
        ]

    def find_finished(self) -> dict[int, JournalEntry]:
        """Return the entries of finished lines, by the index of the line."""
        return {
            index: entry
            for index, entry in enumerate(self._line_entries())
            if entry is not None
            and entry.state in ("COMPLETED", "FAILED", "EXPIRED")
            and not entry.is_unfinished
        }

    def _batch_entries(self) -> list[JournalEntry]:
        return [
            entry
            for entry in self._entries
            if entry.gateway == self._gateway and self._batch_names[entry.id] == self.name
        ]

    def _line_entries(self) -> list[JournalEntry | None]:
        """Return the last entry of each line."""
        from kling_adapters.protocol.tags import BatchTags
        from kling_adapters.schema.fields import dump_set_fields

        entries = {entry.tag: entry for entry in self._batch_entries() if entry.tag is not None}
        tags = BatchTags(self.name, entries)
        bodies = ((line.params.adapter, dump_set_fields(line.params)) for line in self._lines)
        return [entries.get(tags.next_tag(adapter, body)) for adapter, body in bodies]

    def _advise(self, file: Path) -> str:
        names = {self._batch_names[entry.id] for entry in self._entries if entry.gateway == self._gateway}
        moved = sorted(name for name in names if name and Path(name).name == file.name)
        if moved:
            return f"If the file was moved, pass its old name: {' or '.join(f'--name {name}' for name in moved)}."
        return "Pass the journal of the earlier run with --journal or KLING_JOURNAL, and its --name if it had one."


def is_unchanged(outcome: Outcome[AsyncResult], entry: JournalEntry | None) -> bool:
    """Return whether an outcome repeats a finished entry without storing files again."""
    return entry is not None and (outcome.result is None or outcome.result.saved == entry.files)


def _read_entries(client: ClientOptions) -> list[JournalEntry]:
    from kling_adapters.client.client import Kling

    if client["journal"] is None:
        return []
    with Kling(**client) as kling:
        return kling.entries()
