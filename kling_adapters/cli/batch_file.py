"""Reads a batch file: JSON Lines, a JSON list or CSV. Every problem is reported with its line, and nothing is sent."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from kling_adapters.cli.output import count_noun
from kling_adapters.cli.values import TextReader, build_params, read_cells, read_members
from kling_adapters.errors import ConfigError, ParamsInvalid

if TYPE_CHECKING:
    from kling_adapters.schema.catalog import Catalog
    from kling_adapters.schema.params import Params


MAX_FILE_BYTES = 256 * 1024**2
"""The largest batch file; a device has no end."""


@dataclass(frozen=True)
class Line:
    """A request that may be sent. `number`: the line of the file at which it starts, from 1."""

    number: int
    params: Params


@dataclass(frozen=True)
class _BadRow:
    """What cannot be read at all. `column`: the character of the line, from 1; None if it is the whole line."""

    number: int
    reason: str
    column: int | None = None

    def __str__(self) -> str:
        column = "" if self.column is None else f", column {self.column}"
        return f"line {self.number}{column}: {self.reason}"


@dataclass(frozen=True)
class _Row:
    number: int
    values: dict[str, Any]


_SPACE = re.compile(r"[ \t\r\n]*")
_Rows: TypeAlias = Iterator[_Row | _BadRow]


def read_batch(file: Path, model: str | None, catalog: Catalog, read_text: TextReader) -> list[Line]:
    """Read every request of a batch file.

    Args:
        file: The file: CSV if its name ends so, otherwise JSON Lines or a JSON list.
        model: The slug of requests that name no model.
        catalog: The models.
        read_text: Reads `@FILE` of parameters that are text; None to take it as text.

    Returns:
        The requests in the order of the file.

    Raises:
        ConfigError: With the line and the reason of everything that is wrong. Nothing was sent.

    """
    text = _decode(file)
    is_csv = file.suffix.lower() in (".csv", ".tsv")
    lines: list[Line] = []
    problems: list[str] = []
    for row in _csv_rows(text) if is_csv else _json_rows(text):
        if isinstance(row, _BadRow):
            problems.append(str(row))
            continue
        try:
            params = _read_params(row.values, model, catalog, read_text, is_csv=is_csv)
            lines.append(Line(row.number, params))
        except ParamsInvalid as error:
            problems.extend(f"line {row.number}: {problem}" for problem in error.problems)
        except ConfigError as error:
            reason = re.sub(r"[.;] nothing was sent\.?$", "", str(error), flags=re.IGNORECASE)
            problems.append(f"line {row.number}: {reason}")
    if problems:
        head = f"{count_noun(len(problems), 'problem')} in {file}; nothing was sent:"
        raise ConfigError("\n  ".join([head, *problems]))
    if not lines:
        raise ConfigError(f"{file} holds no request. Nothing was sent")
    return lines


def _read_params(
    values: dict[str, Any], model: str | None, catalog: Catalog, read_text: TextReader, *, is_csv: bool
) -> Params:
    members = dict(values)
    slug = members.pop("model", None) or model
    if not isinstance(slug, str):
        raise ConfigError('names no model: add "model", or give --model')
    entry = catalog.find(slug)
    schema = entry.json_schema()
    read = read_cells if is_csv else read_members
    return build_params(entry, read(members, schema, read_text), schema)


def _decode(file: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with a byte order mark. Raises ConfigError."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}. Nothing was sent") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{file} is too large: at most {MAX_FILE_BYTES} bytes are read. Split it into several files. "
            "Nothing was sent"
        )
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        number, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        place = "" if is_utf16 else f"line {number}, column {column} "
        raise ConfigError(
            f"{file} cannot be read: {place}is not {'UTF-16' if is_utf16 else 'UTF-8'} text. Save the file as UTF-8. "
            "Nothing was sent"
        ) from error


class _Decoder:
    """Decodes JSON and notes the names that an object has twice, of which JSON readers keep the last."""

    def __init__(self) -> None:
        self._decoder = json.JSONDecoder(object_pairs_hook=self._make_object)
        self._repeated: list[str] = []

    def _make_object(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        self._repeated += _repeated(name for name, _ in pairs)
        return dict(pairs)

    def decode(self, text: str, start: int, number: int) -> tuple[_Row | _BadRow, int | None]:
        """Return the value that begins at `start`, in line `number`, and where it ends; None if nobody knows."""
        self._repeated.clear()
        try:
            value, end = self._decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            return _BadRow(number + error.lineno - 1, f"is not JSON: {error.msg}", error.colno), None
        except RecursionError:
            return _BadRow(number, "is nested too deeply"), None
        except ValueError as error:
            return _BadRow(number, f"is not JSON that can be used: {error}"), None
        if not isinstance(value, dict):
            return _BadRow(number, 'is not a JSON object such as {"model": "kling-2", "prompt": "..."}'), end
        if self._repeated:
            return _BadRow(number, f"{', '.join(self._repeated)} is given twice"), end
        return _Row(number, cast("dict[str, Any]", value)), end


def _json_rows(text: str) -> _Rows:
    decoder = _Decoder()
    if text.lstrip().startswith("[") and not _is_lines(text):
        yield from _list_rows(text, decoder)
        return
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        start = len(line) - len(line.lstrip())
        if start == len(line):
            continue
        row, end = decoder.decode(line, start, number)
        rest = "" if end is None else line[end:]
        if rest.strip():
            column = len(line) - len(rest.lstrip()) + 1
            row = _BadRow(number, "is not JSON: text after the end of the object", column)
        yield row


def _is_lines(text: str) -> bool:
    """Tell JSON Lines whose first line is a list, which is wrong, from a list over several lines."""
    first, _, rest = text.strip().partition("\n")
    return first.rstrip().endswith("]") and bool(rest)


def _list_rows(text: str, decoder: _Decoder) -> _Rows:
    """Yield the items of one JSON list; what follows an error in it cannot be read."""
    position, number, counted = text.index("["), 1, 0
    has_items = False
    while True:
        position = _skip_space(text, position + 1)
        number, counted = number + text.count("\n", counted, position), position
        if not has_items and text[position : position + 1] == "]":
            break
        has_items = True
        row, end = decoder.decode(text, position, 1)
        if end is None:
            yield row
            return
        yield replace(row, number=number)
        position = _skip_space(text, end)
        if text[position : position + 1] == "]":
            break
        if text[position : position + 1] != ",":
            yield _bad_place(text, position, "expected a comma or the end of the list")
            return
    position = _skip_space(text, position + 1)
    if position < len(text):
        yield _bad_place(text, position, "text after the end of the list")


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _bad_place(text: str, position: int, reason: str) -> _BadRow:
    number, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
    return _BadRow(number, f"is not JSON: {reason}", column)


def _csv_rows(text: str) -> _Rows:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    head: list[str] | None = None
    number = 1
    try:
        for cells in reader:
            if not cells:
                pass
            elif head is None:
                head = cells
                if repeated := _repeated(name for name in head if name):
                    yield _BadRow(number, f"the column {', '.join(repeated)} is given twice")
                    return
            else:
                yield _csv_row(number, head, cells)
            number = reader.line_num + 1
    except csv.Error as error:
        yield _BadRow(number, f"is not CSV: {error}")


def _csv_row(number: int, head: Sequence[str], cells: Sequence[str]) -> _Row | _BadRow:
    if len(cells) != len(head):
        return _BadRow(number, f"has {count_noun(len(cells), 'cell')}; the first line has {len(head)}")
    for column, (name, cell) in enumerate(zip(head, cells, strict=True), start=1):
        if cell and not name:
            return _BadRow(number, f"cell {column} is in a column without a name")
    return _Row(number, {name: cell for name, cell in zip(head, cells, strict=True) if name})


def _delimiter(text: str) -> str:
    """Return what separates the names of the first line: spreadsheets write semicolons where the comma is decimal."""
    counts: dict[str, int] = {}
    for delimiter in ",;\t":
        reader = csv.reader(io.StringIO(text.lstrip("\r\n"), newline=""), delimiter=delimiter)
        try:
            counts[delimiter] = len(next(reader))
        except (csv.Error, StopIteration):
            counts[delimiter] = 0
    return max(counts, key=lambda delimiter: counts[delimiter])


def _repeated(names: Iterator[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
