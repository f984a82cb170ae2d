"""The `kling-codegen` command."""

from __future__ import annotations

import keyword
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import click

from kling_codegen import build, diff, ir, lint, load, render
from kling_codegen.cache import Cache, user_folder
from kling_codegen.draft import command as draft
from kling_codegen.editor import editor_schemas
from kling_codegen.messages import printable
from kling_codegen.new import new
from kling_codegen.report import FORMAT, SPECS, Format, Problem, say, tell, told

# Of the files in the way, so many are named.
MOST_NAMED = 3
OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("kling_adapters/models"),
    show_default=True,
    help="The package to write; it holds nothing else. The stub of the client is written into client/ beside it.",
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
    tree = _tree(specs, out, form, Cache(user_folder()))
    if foreign := list(islice(tree.foreign(), MOST_NAMED)):
        raise click.UsageError(
            printable(
                f"{'; '.join(foreign)}. Nothing was written: move or delete it, or choose another --out."
            )
        )
    try:
        written, removed = render.write(tree)
    except OSError as error:
        raise click.ClickException(printable(f"cannot write {error.filename}: {error.strerror}")) from None
    unchanged = len(tree.files) - len(written)
    if form == "json":
        paths = {"written": list(map(str, written)), "removed": list(map(str, removed))}
        say(told([], form, **paths, unchanged=unchanged))
        return
    for path in written:
        say(f"wrote {render.display(path, out)}")
    for path in removed:
        say(f"removed {render.display(path, out)}")
    say(f"wrote {len(written)}, removed {len(removed)}, unchanged {unchanged}")


@main.command()
@SPECS
@OUT
@FORMAT
def check(specs: Path, out: Path, form: Format) -> None:
    """Say which generated files are not what the specs give; exit 1 if there is one."""
    found = list(render.compare(_tree(specs, out, form, Cache(None))))
    if form != "text":
        tell((Problem(str(path), 1, 1, what) for path, what, _ in found), form)
    for path, what, excerpt in found if form == "text" else ():
        say("\n".join([f"{render.display(path, out)}: {what}", *excerpt]))
    if found and form == "text":
        say("To repair: put what you want into the specs, then run `kling-codegen generate`.")
    sys.exit(1 if found else 0)


def _tree(specs: Path, out: Path, form: Format, cache: Cache) -> render.Tree:
    """Return everything that is generated. Nothing is written or removed where the place is refused."""
    # What all models share is told in the core's specs alone, wherever they are compiled to.
    name = ir.CORE if (specs / "gateway.yaml").exists() else ir.package_name(out)
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")):
        raise click.UsageError(printable(f"--out {out}: {name} is no name of a Python package"))
    _refuse_place(_tree_of({}, specs, out), specs)
    try:
        package = build.package(specs, name, cache)
    except load.SpecsInvalid as error:
        tell(error.problems, form)
        sys.exit(2)
    files = {
        (out.parent / "client" if path == render.STUB else out) / path: text
        for path, text in package.files.items()
    }
    files |= {_documents(specs) / path: text for path, text in package.documents.items()}
    for schema, text in editor_schemas().items():
        if name == ir.CORE or schema != "gateway.schema.json":
            files[specs / "schema" / schema] = text
    readme = _project(specs) / render.README
    if (old := render.read(readme)) is not None and render.TABLE.search(old):
        files[readme] = render.with_table(old, package.entries)
    tree = _tree_of(files, specs, out)
    _refuse_place(tree, specs)
    return tree


def _tree_of(files: Mapping[Path, str], specs: Path, out: Path) -> render.Tree:
    # A relative path may lead through no link at all, an absolute one through none that the user did not name.
    anchors = {folder if folder.is_absolute() else Path() for folder in (out.parent, _project(specs), specs)}
    return render.Tree(files, (out, _documents(specs)), tuple(sorted(anchors)))


def _refuse_place(tree: render.Tree, specs: Path) -> None:
    if reasons := list(islice(tree.obstacles(specs), 1)):
        raise click.UsageError(
            printable(f"{reasons[0]}. Nothing was written: --out and docs/models hold generated files alone.")
        )


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
