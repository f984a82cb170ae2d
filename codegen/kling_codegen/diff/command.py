"""The command `kling-codegen diff`, and the specs of a git revision."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import click

from kling_codegen.diff.models import compare_specs
from kling_codegen.diff.report import FORMATS
from kling_codegen.load.folder import Specs, SpecsInvalid, load_specs
from kling_codegen.report import print_text


@click.command("diff")
@click.argument("old")
@click.argument("new")
@click.option(
    "--specs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("specs"),
    show_default=True,
    help="The folder of the spec files within a git revision.",
)
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", show_default=True)
def command(old: str, new: str, specs: Path, form: str) -> None:
    """List the changes between two trees of specs and their effect on callers; exit 1 if one breaks them.

    OLD and NEW are each a folder of specs, or a git revision such as HEAD~1 or v0.1.0.
    """
    sides: list[Specs] = []
    for side, name in (("OLD", old), ("NEW", new)):
        try:
            sides.append(load_specs(Path(name)) if Path(name).is_dir() else _load_revision(name, specs))
        except (SpecsInvalid, click.ClickException) as error:
            print_text(f"{side} cannot be compared:\n{error}", err=True)
    if len(sides) < 2:
        sys.exit(2)
    changes = compare_specs(*sides)
    print_text(FORMATS[form](changes, old, new))
    sys.exit(int(any(change.level == "breaking" for change in changes)))


def _load_revision(name: str, specs: Path) -> Specs:
    """Load the specs of a git revision; problems name files as git does, v0.1.0:specs/kling-2.yaml."""
    try:
        top = Path(_git(Path(), "rev-parse", "--show-toplevel").decode().removesuffix("\n"))
        arguments = ["--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        commit = _git(top, "rev-parse", *arguments).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        raise click.ClickException(f"{name} is neither a folder nor a git revision") from None
    # Not resolve() of the whole: the folder itself may be a link today, or may not exist.
    inside = Path(os.path.relpath(specs.parent.resolve() / specs.name, top)).as_posix()
    try:
        archive = _git(top, "archive", "--format=zip", commit, "--", inside)
    except subprocess.CalledProcessError:
        raise click.ClickException(f"{name} has no folder {inside}") from None
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(folder)
        try:
            return load_specs(Path(folder) / inside)
        except SpecsInvalid as error:
            raise click.ClickException(str(error).replace(f"{folder}/", f"{name}:")) from None


def _git(folder: Path, *arguments: str) -> bytes:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout  # noqa: S603
