"""The command `kling-codegen draft`."""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path

import click

from kling_codegen.diff.report import FORMATS
from kling_codegen.draft.compare import compare_page
from kling_codegen.draft.compose import Draft, draft_spec
from kling_codegen.draft.page import MAX_CHARACTERS, NotAPage
from kling_codegen.language import Spec
from kling_codegen.load.folder import read_file
from kling_codegen.report import Problem, print_problems, print_text


@click.command("draft")
@click.argument("page", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the spec to a new file."
)
@click.option(
    "--read", type=click.DateTime(["%Y-%m-%d"]), help="The day the page was read; by default today."
)
@click.option(
    "--compare",
    "existing",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Print only the differences from this spec; exit 1 if there is one.",
)
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), help="The form of the differences; by default text."
)
def command(
    page: Path, output: Path | None, read: datetime | None, existing: Path | None, form: str | None
) -> None:
    """Draft a spec from PAGE, a documentation page saved as text. Doubts go to standard error."""
    if existing is None and form is not None:
        raise click.UsageError("--format is only used with --compare")
    if existing is not None and (output is not None or read is not None):
        raise click.UsageError("--compare prints differences and drafts no spec: omit --output and --read")
    try:
        with page.open(encoding="utf-8-sig") as saved:
            # Longer texts are refused; a device is endless.
            text = saved.read(MAX_CHARACTERS + 1)
        if existing is not None:
            _print_differences(text, page, existing, form or "text")
        else:
            _write_draft(draft_spec(text, page.name, _read_day(read)), page, output)
    except NotAPage as error:
        print_text(f"{page}: this is not a model page: {error}", err=True)
        sys.exit(2)
    except UnicodeDecodeError as error:
        print_text(f"{page}: this is not a model page: it is not UTF-8 text ({error})", err=True)
        sys.exit(2)


def _read_day(read: datetime | None) -> date:
    return (read or datetime.now().astimezone()).date()


def _write_draft(draft: Draft, page: Path, output: Path | None) -> None:
    if output is None:
        print_text(draft.yaml.removesuffix("\n"))
    else:
        try:
            with output.open("x", encoding="utf-8") as file:
                file.write(draft.yaml)
        except FileExistsError:
            print_text(f"{output} already exists; a draft does not replace a file", err=True)
            sys.exit(2)
        except OSError as error:
            print_text(f"{output} cannot be written: {error.strerror}", err=True)
            sys.exit(2)
    for note in draft.notes:
        print_text(f"{page}:{note}", err=True)


def _print_differences(text: str, page: Path, existing: Path, form: str) -> None:
    problems: list[Problem] = []
    spec = read_file(existing, Spec, problems).value
    if spec is None:
        print_problems(problems, "text")
        sys.exit(2)
    comparison = compare_page(text, page.name, spec)
    print_text(FORMATS[form](comparison.changes, str(existing), str(page)))
    if line := comparison.cut_line:
        warning = "the page ends within its parameters; those that follow were not compared"
        print_text(f"{page}:{line}: {warning}", err=True)
    sys.exit(1 if comparison.changes else 0)
