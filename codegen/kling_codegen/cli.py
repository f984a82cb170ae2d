"""The `kling-codegen` command."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kling_codegen import diff, ir, lint, load, render
from kling_codegen.draft import command as draft
from kling_codegen.language import editor_schemas
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
    """Write the models package and the editors' schema of the spec language."""
    files = _files(specs, out, form)
    if not render.is_ours(out):
        raise click.UsageError(f"{out} holds files that kling-codegen has not written; choose another --out")
    written, removed = render.write(files, out)
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
    found = list(render.compare(_files(specs, out, form), out))
    if form != "text":
        tell((Problem(str(path), 1, 1, what) for path, what, _ in found), form)
    for path, what, excerpt in found if form == "text" else ():
        click.echo("\n".join([f"{render.display(path, out)}: {what}", *excerpt]))
    if found and form == "text":
        click.echo("To repair: put what you want into the specs, then run `kling-codegen generate`.")
    sys.exit(1 if found else 0)


def _files(specs: Path, out: Path, form: Format) -> dict[Path, str]:
    """Return everything that is generated, by path."""
    try:
        package = ir.build(load.load(specs))
    except load.SpecsInvalid as error:
        tell(error.problems, form)
        sys.exit(2)
    files = {out / path: text for path, text in render.render(package).items()}
    return files | {specs / "schema" / name: text for name, text in editor_schemas().items()}


main.add_command(diff.command)
main.add_command(draft.command)
main.add_command(lint.command)

if __name__ == "__main__":
    main()
