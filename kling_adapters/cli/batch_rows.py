"""The rows of a batch file, from JSON Lines, a JSON list or CSV text."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from kling_adapters.cli.output import count_noun

_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class Row:
    """The values of a request.

    Attributes:
        number: The line of the file at which it starts, from 1.
        values: The parameters by name.

    """

    number: int
    values: dict[str, Any]


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read.

    Attributes:
        number: The line of the file, from 1.
        reason: The problem, as the end of a message.
        column: The character of the line, from 1; None for the whole line.
        ends_file: Whether no later row can be read.

    """

    number: int
    reason: str
    column: int | None = None
    ends_file: bool = False

    def __str__(self) -> str:
        column = "" if self.column is None else f", column {self.column}"
        return f"line {self.number}{column}: {self.reason}"


Rows: TypeAlias = Iterator[Row | BadRow]


def read_json_rows(text: str) -> Rows:
    """Yield the rows of JSON Lines, or of one JSON list."""
    decoder = _Decoder()
    if text.lstrip().startswith("[") and not _is_json_lines(text):
        yield from _read_list(text, decoder)
        return
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        start = len(line) - len(line.lstrip())
        if start == len(line):
            continue
        row, end = decoder.decode(line, start, number)
        trailing = "" if end is None else line[end:]
        if trailing.strip():
            column = len(line) - len(trailing.lstrip()) + 1
            row = BadRow(number, "is not JSON: text after the end of the object", column)
        yield row


def read_csv_rows(text: str) -> Rows:
    """Yield the rows of CSV text; the first line names the columns."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_find_delimiter(text), strict=True)
    header: list[str] | None = None
    number = 1
    try:
        for cells in reader:
            if not cells:
                pass
            elif header is None:
                header = cells
                if repeated := _find_repeated(name for name in header if name):
                    reason = f"the column {', '.join(repeated)} appears twice"
                    yield BadRow(number, reason, ends_file=True)
                    return
            else:
                yield _read_cells(number, header, cells)
            number = reader.line_num + 1
    except csv.Error as error:
        yield BadRow(number, f"is not CSV: {error}", ends_file=True)


class _Decoder:
    """JSON decoder that refuses repeated names in an object; other decoders keep the last."""

    def __init__(self) -> None:
        self._decoder = json.JSONDecoder(object_pairs_hook=self._make_object)
        self._repeated: list[str] = []

    def _make_object(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        self._repeated += _find_repeated(name for name, _ in pairs)
        return dict(pairs)

    def decode(self, text: str, start: int, number: int) -> tuple[Row | BadRow, int | None]:
        """Return the value that begins at `start`, in line `number`, and its end; None if it has no end."""
        self._repeated.clear()
        try:
            value, end = self._decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            return BadRow(number + error.lineno - 1, f"is not JSON: {error.msg}", error.colno), None
        except RecursionError:
            return BadRow(number, "is nested too deeply"), None
        except ValueError as error:
            return BadRow(number, f"is unusable JSON: {error}"), None
        if not isinstance(value, dict):
            return BadRow(number, 'is not a JSON object such as {"model": "kling-2", "prompt": "..."}'), end
        if self._repeated:
            return BadRow(number, f"{', '.join(self._repeated)} appears twice"), end
        return Row(number, cast("dict[str, Any]", value)), end


def _is_json_lines(text: str) -> bool:
    """Return whether the first line is a whole list, and others follow: then it is an error in JSON Lines."""
    first, _, following = text.strip().partition("\n")
    return first.rstrip().endswith("]") and bool(following)


def _read_list(text: str, decoder: _Decoder) -> Rows:
    """Yield the items of one JSON list; nothing after an error in it can be read."""
    position, number, counted = text.index("["), 1, 0
    is_empty = True
    while True:
        position = _skip_space(text, position + 1)
        number, counted = number + text.count("\n", counted, position), position
        if is_empty and text[position : position + 1] == "]":
            break
        is_empty = False
        row, end = decoder.decode(text, position, 1)
        if end is None:
            yield replace(cast("BadRow", row), ends_file=True)
            return
        yield replace(row, number=number)
        position = _skip_space(text, end)
        if text[position : position + 1] == "]":
            break
        if text[position : position + 1] != ",":
            yield _make_bad_row(text, position, "expected a comma or the end of the list")
            return
    position = _skip_space(text, position + 1)
    if position < len(text):
        yield _make_bad_row(text, position, "text after the end of the list")


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _make_bad_row(text: str, position: int, reason: str) -> BadRow:
    number, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
    return BadRow(number, f"is not JSON: {reason}", column, ends_file=True)


def _read_cells(number: int, header: Sequence[str], cells: Sequence[str]) -> Row | BadRow:
    if len(cells) != len(header):
        return BadRow(number, f"has {count_noun(len(cells), 'cell')}; the first line has {len(header)}")
    for column, (name, cell) in enumerate(zip(header, cells, strict=True), start=1):
        if cell and not name:
            return BadRow(number, f"cell {column} is in a column without a name")
    return Row(number, {name: cell for name, cell in zip(header, cells, strict=True) if name})


def _find_delimiter(text: str) -> str:
    """Return the separator of the first line: spreadsheets write semicolons where the comma is decimal."""
    counts: dict[str, int] = {}
    for delimiter in ",;\t":
        reader = csv.reader(io.StringIO(text.lstrip("\r\n"), newline=""), delimiter=delimiter)
        try:
            counts[delimiter] = len(next(reader))
        except (csv.Error, StopIteration):
            counts[delimiter] = 0
    return max(counts, key=lambda delimiter: counts[delimiter])


def _find_repeated(names: Iterator[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
