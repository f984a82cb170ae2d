"""The requests of a batch file, each checked with the spec of its model."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_adapters.cli.batch_rows import BadRow, Row, read_csv_rows, read_json_rows
from kling_adapters.cli.explanations import build_params
from kling_adapters.cli.output import count_noun
from kling_adapters.cli.values import TextReader, read_cells, read_members
from kling_adapters.cli.wording import describe_error
from kling_adapters.errors import ConfigError, ParamsInvalid, RetiredModel
from kling_adapters.problems import Problem

if TYPE_CHECKING:
    from kling_adapters.schema.catalog import Catalog
    from kling_adapters.schema.params import Params


MAX_FILE_BYTES = 256 * 1024**2
"""The largest batch file in bytes: a device is endless."""
MAX_PROBLEMS = 50
"""The maximum number of problems in a message."""
NOTE_MARK = "#"
"""The first character of columns and keys that are only copied to the outcomes."""


@dataclass(frozen=True)
class Line:
    """A request that may be sent.

    Attributes:
        number: The line of the file at which it starts, from 1.
        params: The parameters.
        notes: The values of columns such as `#customer`, which are copied to the outcome.

    """

    number: int
    params: Params
    notes: Mapping[str, Any]


@dataclass(frozen=True)
class InvalidLine:
    """A line that cannot be sent; `problems` are messages that begin with its number."""

    number: int
    problems: tuple[str, ...]
    notes: Mapping[str, Any]


@dataclass(frozen=True)
class BatchFile:
    """The lines of a batch file; `is_complete`: every line could be read, valid or not."""

    path: Path
    lines: tuple[Line, ...]
    invalid: tuple[InvalidLine, ...]
    is_complete: bool

    def check(self, *, skip_invalid: bool) -> None:
        """Raise ConfigError if the valid lines are not to be sent.

        Args:
            skip_invalid: Send the valid lines of a file that could be read to its end.

        """
        if self.invalid and not (skip_invalid and self.is_complete and self.lines):
            raise ConfigError(self.describe_problems("nothing was sent"))
        if not self.lines:
            raise ConfigError(f"{self.path} contains no request. Nothing was sent")

    def describe_problems(self, consequence: str) -> str:
        """Return the problems of the file, one per line, up to a limit."""
        problems = [problem for line in self.invalid for problem in line.problems]
        shown = [
            f"{count_noun(len(problems), 'problem')} in {self.path}; {consequence}:",
            *problems[:MAX_PROBLEMS],
        ]
        if len(problems) > MAX_PROBLEMS:
            shown.append(f"and {len(problems) - MAX_PROBLEMS} more")
        return "\n  ".join(shown)


def read_batch(
    file: Path, model: str | None, catalog: Catalog, read_text: TextReader, *, is_resumed: bool = False
) -> BatchFile:
    """Read every request of a batch file.

    Args:
        file: The file: CSV or TSV by its extension, otherwise JSON Lines or a JSON list.
        model: The slug of requests without a model.
        catalog: The models.
        read_text: Reads `@FILE` of parameters that are text; None to keep it as text.
        is_resumed: Accept lines of retired models, whose jobs may have been submitted before.

    Returns:
        The valid and the invalid lines, in the order of the file.

    Raises:
        ConfigError: The file cannot be read. Nothing was sent.

    """
    text = _decode(file)
    is_csv = file.suffix.lower() in (".csv", ".tsv")
    lines: list[Line] = []
    invalid: list[InvalidLine] = []
    is_complete = True
    for row in read_csv_rows(text) if is_csv else read_json_rows(text):
        if isinstance(row, BadRow):
            is_complete = is_complete and not row.ends_file
            invalid.append(InvalidLine(row.number, (str(row),), {}))
            continue
        line = _read_line(row, model, catalog, read_text, is_csv=is_csv)
        if isinstance(line, Line) and not is_resumed:
            line = _refuse_retired(line)
        if isinstance(line, Line):
            lines.append(line)
        else:
            invalid.append(line)
    return BatchFile(file, tuple(lines), tuple(invalid), is_complete)


def _read_line(
    row: Row, model: str | None, catalog: Catalog, read_text: TextReader, *, is_csv: bool
) -> Line | InvalidLine:
    notes = {name: value for name, value in row.values.items() if name.startswith(NOTE_MARK)}
    members = {name: value for name, value in row.values.items() if name not in notes}
    try:
        return Line(row.number, _read_params(members, model, catalog, read_text, is_csv=is_csv), notes)
    except ParamsInvalid as error:
        reasons = [_describe_problem(problem) for problem in error.problems]
    except ConfigError as error:
        reasons = [_describe(error)]
    return InvalidLine(row.number, tuple(f"line {row.number}: {reason}" for reason in reasons), notes)


def _describe_problem(problem: Problem) -> str:
    """Return a problem with the name under which an unknown value is a note."""
    is_unknown = problem.message == "unknown parameter" and problem.suggestion is None
    # Inside a value, no name is that of a note.
    if not is_unknown or not problem.path.isidentifier():
        return str(problem)
    return f"{problem}; name it {NOTE_MARK}{problem.path} to copy it to the outcomes only"


def _refuse_retired(line: Line) -> Line | InvalidLine:
    try:
        line.params.adapter.check_retired()
    except RetiredModel as error:
        return InvalidLine(line.number, (f"line {line.number}: {_describe(error)}",), line.notes)
    return line


def _describe(error: ConfigError) -> str:
    """Return the message of an error without its end, which the whole file has."""
    return re.sub(r"[.;] nothing was sent\.?$", "", describe_error(error), flags=re.IGNORECASE)


def _read_params(
    members: dict[str, Any], model: str | None, catalog: Catalog, read_text: TextReader, *, is_csv: bool
) -> Params:
    slug = members.pop("model", None) or model
    if not isinstance(slug, str):
        raise ConfigError('has no model: add "model" to the line, or pass --model')
    entry = catalog.find(slug)
    schema = entry.json_schema()
    read = read_cells if is_csv else read_members
    return build_params(entry, read(members, schema, read_text), schema)


def _decode(file: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with a byte order mark. Raises ConfigError."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
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
