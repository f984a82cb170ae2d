"""The command `kling-codegen draft`."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from kling_codegen.draft.compose import draft_spec
from kling_codegen.draft.page import MAX_CHARACTERS, NotAPage
from kling_codegen.report import print_text


@click.command("draft")
@click.argument("page", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the spec to a new file."
)
@click.option(
    "--read", type=click.DateTime(["%Y-%m-%d"]), help="The day the page was read; by default today."
)
def command(page: Path, output: Path | None, read: datetime | None) -> None:
    """Draft a spec from PAGE, a documentation page saved as text. Doubts go to standard error."""
    try:
        with page.open(encoding="utf-8-sig") as saved:
            # Longer texts are refused; a device is endless.
            text = saved.read(MAX_CHARACTERS + 1)
        draft = draft_spec(text, page.name, (read or datetime.now().astimezone()).date())
        if output is not None:
            with output.open("x", encoding="utf-8") as file:
                file.write(draft.yaml)
    except NotAPage as error:
        print_text(f"{page}: this is not a model page: {error}", err=True)
        sys.exit(2)
    except UnicodeDecodeError as error:
        print_text(f"{page}: this is not a model page: it is not UTF-8 text ({error})", err=True)
        sys.exit(2)
    except FileExistsError:
        print_text(f"{output} already exists; a draft does not replace a file", err=True)
        sys.exit(2)
    if output is None:
        print_text(draft.yaml.removesuffix("\n"))
    for note in draft.notes:
        print_text(f"{page}:{note}", err=True)
