"""Problems, and the forms in which they are told: for people, for programs, and as annotations on GitHub."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import click

from kling_codegen.messages import Message, printable

Level: TypeAlias = Literal["error", "warning", "note"]
Format: TypeAlias = Literal["text", "json", "github"]

SPECS = click.option(
    "--specs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("specs"),
    show_default=True,
    help="The folder of the spec files.",
)
FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="How problems are told: to people, to programs, or as annotations of GitHub Actions.",
)


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong in a file; line and column count from 1.

    `where` is the place in the spec, such as input.properties.prompt; `allowed` what may stand there; `meant`
    what was probably meant; `rule` the rule of lint that found it. Any of these four may be empty.
    """

    file: str
    line: int
    column: int
    what: str
    where: str = ""
    allowed: str = ""
    meant: str = ""
    level: Level = "error"
    rule: str = ""

    @property
    def message(self) -> str:
        """Everything but the place in the file."""
        what = f"{self.what}, at {self.where}" if self.where else self.what
        text = str(Message(what, self.allowed, self.meant))
        return f"{self.level}: {text} [{self.rule}]" if self.rule else text

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


def say(text: str, *, err: bool = False) -> None:
    """Print text that may come from a spec, a page or a file: nothing in it moves the cursor or hides a part."""
    click.echo("\n".join(map(printable, text.split("\n"))), err=err)


def tell(problems: Iterable[Problem], form: Format) -> None:
    """Print problems: for people on standard error, otherwise on standard output."""
    if text := told(problems, form):
        say(text, err=form == "text")


def told(problems: Iterable[Problem], form: Format, **more: Any) -> str:
    """Return the problems in one of the forms; `more` are further members of the JSON form."""
    if form == "json":
        return json.dumps({"problems": [asdict(problem) for problem in problems], **more}, indent=2)
    return "\n".join(_annotation(problem) if form == "github" else str(problem) for problem in problems)


def _annotation(problem: Problem) -> str:
    """Return a workflow command of GitHub Actions."""
    level = "notice" if problem.level == "note" else problem.level
    place = f"file={_escaped(problem.file, ':,')},line={problem.line},col={problem.column}"
    return f"::{level} {place},title=kling-codegen::{_escaped(problem.message)}"


def _escaped(text: str, more: str = "") -> str:
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
