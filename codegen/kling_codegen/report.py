"""Problems of files, and their printed forms: text for people, JSON for programs, annotations for GitHub."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import click

from kling_codegen.messages import Message, escape_unprintable

Level: TypeAlias = Literal["error", "warning", "note"]
Format: TypeAlias = Literal["text", "json", "github"]

specs_option = click.option(
    "--specs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("specs"),
    show_default=True,
    help="The folder of the spec files.",
)
format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="Print problems as text, as JSON, or as annotations of GitHub Actions.",
)


@dataclass(frozen=True, order=True)
class Problem:
    """A problem at one place of a file.

    Attributes:
        line: counts from 1, as `column` does.
        where: the place in the spec, such as input.properties.prompt.
        allowed: the values that may stand there.
        suggestion: the value that was probably intended.
        rule: the lint rule. This one and the three above may be empty.

    """

    file: str
    line: int
    column: int
    text: str
    where: str = ""
    allowed: str = ""
    suggestion: str = ""
    level: Level = "error"
    rule: str = ""

    @property
    def message(self) -> str:
        """The text without the place in the file."""
        text = f"{self.text}, at {self.where}" if self.where else self.text
        message = str(Message(text, self.allowed, self.suggestion))
        return f"{self.level}: {message} [{self.rule}]" if self.rule else message

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


def print_text(text: str, *, err: bool = False) -> None:
    """Print text of a spec, a page or a file, without characters that control a terminal."""
    click.echo("\n".join(map(escape_unprintable, text.split("\n"))), err=err)


def print_problems(problems: Iterable[Problem], form: Format) -> None:
    """Print problems: as text to standard error, otherwise to standard output."""
    if text := format_problems(problems, form):
        print_text(text, err=form == "text")


def format_problems(problems: Iterable[Problem], form: Format, **members: Any) -> str:
    """Return the problems in one of the forms; `members` are added to the JSON form."""
    if form == "json":
        return json.dumps({"problems": [asdict(problem) for problem in problems], **members}, indent=2)
    return "\n".join(
        _format_annotation(problem) if form == "github" else str(problem) for problem in problems
    )


def _format_annotation(problem: Problem) -> str:
    """Return a workflow command of GitHub Actions."""
    level = "notice" if problem.level == "note" else problem.level
    place = f"file={_escape(problem.file, ':,')},line={problem.line},col={problem.column}"
    return f"::{level} {place},title=kling-codegen::{_escape(problem.message)}"


def _escape(text: str, more: str = "") -> str:
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
