"""Standard output and standard error, with escaped text. A failed write never stops a job."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# Control characters except tab and newline, lone surrogates, and characters that reorder or hide text.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_COLUMN_GAP = 3
_LEAST_FOLDED = 8


def escape_controls(text: str) -> str:
    r"""Return text with escapes for characters that control a terminal.

    Args:
        text: Text of any origin: a spec, the gateway, a file name, a cell of a CSV file.

    Returns:
        The text with tabs and newlines as they are; every other control character is `\x1b` or `\u202e`.

    """
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def print_line(text: str) -> None:
    """Print a line to standard output."""
    click.echo(escape_controls(text))


def print_message(text: str) -> None:
    """Print a message for the user to standard error."""
    click.echo(escape_controls(f"kling: {text}"), err=True)


def print_progress(text: str) -> None:
    """Print a line of progress to standard error."""
    click.echo(escape_controls(text), err=True)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value to standard output as JSON in ASCII, for every terminal and pipe."""
    import json  # slow to import

    click.echo(json.dumps(value, indent=indent))


def print_table(
    head: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    *,
    divided: bool = False,
    unfolded: Collection[str] = (),
) -> None:
    """Print a table to standard output; the first column and those titled in `unfolded` are not folded.

    On a terminal that is too narrow for it, each row is a block of names and values instead.
    """
    from rich import box  # a third of the start-up time
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # A pipe has no width; in a wide table no text is folded that grep might look for.
    console = Console(width=None if sys.stdout.isatty() else 160)
    unfolded = {head[0], *unfolded}
    if _least_width(head, rows, unfolded) > console.width:
        _print_blocks(head, rows)
        return
    table = Table(box=box.SIMPLE_HEAD, show_lines=divided, pad_edge=False)
    for title in head:
        table.add_column(Text(escape_controls(title)), no_wrap=title in unfolded, overflow="fold")
    for row in rows:
        table.add_row(*(Text(escape_controls(cell)) for cell in row))
    console.print(table)


def _least_width(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], unfolded: Collection[str]) -> int:
    """Return the width below which a table would be cut, or have columns too narrow to read."""
    lengths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    columns = zip(head, lengths, strict=True)
    return sum(
        _COLUMN_GAP + (length if title in unfolded else min(length, _LEAST_FOLDED))
        for title, length in columns
    )


def _print_blocks(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    for number, row in enumerate(rows):
        if number:
            print_line("")
        print_fields([(title, cell) for title, cell in zip(head, row, strict=True) if cell])


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one per line; values are not folded, so that long URLs can be copied."""
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        print_line(f"{name:<{width}}  {value}")


def count_noun(count: int, noun: str) -> str:
    """Return a count with its noun, such as "1 line" or "2 lines"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class _Sink(io.RawIOBase):
    """Writer to a stream, which discards all data after a failed write and keeps the `error`."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        # A text stream without a reference would close the stream below it.
        self._text_stream = stream
        self._stream: Any = getattr(stream.buffer, "raw", stream.buffer)
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return bool(self._stream.isatty())

    def fileno(self) -> int:
        return int(self._stream.fileno())

    def write(self, data: ReadableBuffer) -> int:
        if self.error is None:
            try:
                # None: the stream does not block, and its reader is slow.
                while (count := self._stream.write(data)) is None:
                    time.sleep(0.01)
            except OSError as error:
                self.error = error
            else:
                return int(count)
        return memoryview(data).nbytes


class Streams:
    """Standard output and standard error of this process, as streams whose failure does not end the command.

    A closed pipe, a full disk or a character that the encoding lacks must not stop a paid job.
    """

    def __init__(self) -> None:
        for name in ("stdin", "stdout", "stderr"):
            # The next opened file, such as the journal, would get the number of a closed descriptor.
            if getattr(sys, name) is None:
                setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        self._output = _wrap_stream("stdout")
        _wrap_stream("stderr")

    def close(self) -> OSError | None:
        """Flush both streams.

        Returns:
            The error of standard output; None if there was none, or if its reader closed the pipe.

        """
        sys.stdout.flush()
        sys.stderr.flush()
        error = self._output.error if self._output else None
        return None if isinstance(error, BrokenPipeError) else error


def _wrap_stream(name: str) -> _Sink | None:
    stream: Any = getattr(sys, name)
    if type(stream) is not io.TextIOWrapper:
        return None  # a program that calls `main` has streams of its own
    stream = cast("Any", stream)
    sink = _Sink(stream)
    wrapped = io.TextIOWrapper(
        io.BufferedWriter(sink),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=name == "stderr" or stream.line_buffering,
    )
    setattr(sys, name, wrapped)
    return sink


class LogHandler(logging.Handler):
    """Prints log records to standard error, each warning once.

    Failures of jobs are left out, because the commands report them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._texts: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record in one line, without a traceback."""
        if record.module == "log_notifier" and record.levelno >= logging.WARNING:
            return
        from kling_adapters.cli.wording import use_option_names  # compiles its patterns

        text = use_option_names(record.getMessage())
        if record.exc_info and (error := record.exc_info[1]):
            text += f" ({type(error).__name__}: {error})"
        if record.levelno < logging.WARNING:
            print_progress(f"{record.levelname} {text}")
        elif text not in self._texts:
            self._texts.add(text)
            print_message(f"{record.levelname.lower()}: {text}")
