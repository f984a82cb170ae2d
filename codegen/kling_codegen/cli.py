"""The `kling-codegen` command."""

from __future__ import annotations

import keyword
import sys
from pathlib import Path

import click

from kling_codegen import build, diff, ir, lint, load, render
from kling_codegen.draft import command as draft
from kling_codegen.editor import editor_schemas
from kling_codegen.new import new
from kling_codegen.report import FORMAT, SPECS, Format, Problem, tell, told

OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("kling_adapters/models"),
    show_default=True,
    help="The package to write; it holds nothing else.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kling-codegen")
def main() -> None:
    """Compile model specs into the typed adapters of kling-adapters."""


@main.command()
@SPECS
@OUT
@FORMAT
def generate(specs: Path, out: Path, form: Format) -> None:
    """Write the models package, its documentation, and the editors' schema of the spec language."""
    files = _files(specs, out, form)
    owned = (out, _documents(specs))
    for folder in owned:
        if not render.is_ours(folder):
            raise click.UsageError(f"{folder} holds files that kling-codegen has not written")
    written, removed = render.write(files, owned)
    unchanged = len(files) - len(written)
    if form == "json":
        paths = {"written": list(map(str, written)), "removed": list(map(str, removed))}
        click.echo(told([], form, **paths, unchanged=unchanged))
        return
    for path in written:
        click.echo(f"wrote {render.display(path, out)}")
    for path in removed:
        click.echo(f"removed {render.display(path, out)}")
    click.echo(f"wrote {len(written)}, removed {len(removed)}, unchanged {unchanged}")


@main.command()
@SPECS
@OUT
@FORMAT
def check(specs: Path, out: Path, form: Format) -> None:
    """Say which generated files are not what the specs give; exit 1 if there is one."""
    found = list(render.compare(_files(specs, out, form), (out, _documents(specs))))
    if form != "text":
        tell((Problem(str(path), 1, 1, what) for path, what, _ in found), form)
    for path, what, excerpt in found if form == "text" else ():
        click.echo("\n".join([f"{render.display(path, out)}: {what}", *excerpt]))
    if found and form == "text":
        click.echo("To repair: put what you want into the specs, then run `kling-codegen generate`.")
    sys.exit(1 if found else 0)


def _files(specs: Path, out: Path, form: Format) -> dict[Path, str]:
    """Return everything that is generated, by path."""
    # What all models share is told in the core's specs alone, wherever they are compiled to.
    name = ir.CORE if (specs / "gateway.yaml").exists() else ir.package_name(out)
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")):
        raise click.UsageError(f"--out {out}: {name} is no name of a Python package")
    try:
        package = build.package(specs, name)
    except load.SpecsInvalid as error:
        tell(error.problems, form)
        sys.exit(2)
    files = {out / path: text for path, text in package.files.items()}
    files |= {_documents(specs) / path: text for path, text in package.documents.items()}
    for schema, text in editor_schemas().items():
        if name == ir.CORE or schema != "gateway.schema.json":
            files[specs / "schema" / schema] = text
    readme = _project(specs) / "README.md"
    if (old := render.read(readme)) is not None and render.TABLE.search(old):
        files[readme] = render.with_table(old, package.entries)
    return files


def _documents(specs: Path) -> Path:
    return _project(specs) / "docs" / "models"


def _project(specs: Path) -> Path:
    # The parent of `.` is no other folder.
    return specs.parent if specs.name.strip(".") else specs.resolve().parent


main.add_command(new)


main.add_command(diff.command)
main.add_command(draft.command)
main.add_command(lint.command)

if __name__ == "__main__":
    main()
