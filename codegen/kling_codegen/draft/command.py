"""`kling-codegen draft`: a documentation page becomes a draft spec and a list of doubts."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from kling_codegen.draft.compose import draft
from kling_codegen.draft.page import MOST_CHARACTERS, NotAPage
from kling_codegen.report import say


@click.command("draft")
@click.argument("page", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the spec to a new file."
)
@click.option(
    "--read", type=click.DateTime(["%Y-%m-%d"]), help="The day the page was read; by default today."
)
def command(page: Path, output: Path | None, read: datetime | None) -> None:
    """Draft a spec from PAGE, a documentation page saved as text. What is doubtful goes to standard error."""
    try:
        with page.open(encoding="utf-8-sig") as saved:
            # A device has no end; what is longer is refused as it is.
            text = saved.read(MOST_CHARACTERS + 1)
        made = draft(text, page.name, (read or datetime.now().astimezone()).date())
        if output is not None:
            with output.open("x", encoding="utf-8") as file:
                file.write(made.yaml)
    except NotAPage as error:
        say(f"{page}: this is not a model page: {error}", err=True)
        sys.exit(2)
    except UnicodeDecodeError as error:
        say(f"{page}: this is not a model page: it is not UTF-8 text ({error})", err=True)
        sys.exit(2)
    except FileExistsError:
        say(f"{output} is there already; a draft does not replace it", err=True)
        sys.exit(2)
    if output is None:
        say(made.yaml.removesuffix("\n"))
    for note in made.notes:
        say(f"{page}:{note}", err=True)
