"""The `kling-codegen` command."""

from __future__ import annotations

import keyword
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import click

from kling_codegen import ir, names, render
from kling_codegen import tree as trees
from kling_codegen.build import build_package
from kling_codegen.cache import Cache, user_folder
from kling_codegen.diff import command as diff
from kling_codegen.draft import command as draft
from kling_codegen.drift import command as drift
from kling_codegen.editor import editor_schemas
from kling_codegen.lint import command as lint
from kling_codegen.load.folder import SpecsInvalid
from kling_codegen.messages import escape_unprintable
from kling_codegen.new import new
from kling_codegen.reference import describe_parts, describe_rules
from kling_codegen.report import (
    Format,
    Problem,
    format_option,
    format_problems,
    print_problems,
    print_text,
    specs_option,
)
from kling_codegen.tree import Tree

# The maximum number of obstructing files in a message.
MAX_LISTED = 3
CORE_OUT = Path("kling_adapters/models")
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=CORE_OUT,
    show_default=True,
    help="The package to write, which holds only generated files. The stub of the client goes to client/ beside it.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kling-codegen")
def main() -> None:
    """Compile model specs into the typed adapters of kling-adapters."""


@main.command()
@specs_option
@out_option
@format_option
def generate(specs: Path, out: Path, form: Format) -> None:
    """Write the models package, its documentation, and the editors' schema of the spec language."""
    tree, unfinished = _build_tree(specs, out, form, Cache(user_folder()))
    if foreign := list(islice(tree.foreign_files(), MAX_LISTED)):
        advice = "Nothing was written: move or delete it, or choose another --out."
        raise click.UsageError(escape_unprintable(f"{'; '.join(foreign)}. {advice}"))
    try:
        written, removed = trees.write_tree(tree)
    except OSError as error:
        raise click.ClickException(
            escape_unprintable(f"cannot write {error.filename}: {error.strerror}")
        ) from None
    unchanged = len(tree.files) - len(written)
    if form == "json":
        paths = {"written": list(map(str, written)), "removed": list(map(str, removed))}
        print_text(format_problems(unfinished, form, **paths, unchanged=unchanged))
        return
    for path in written:
        print_text(f"wrote {path.as_posix()}")
    for path in removed:
        print_text(f"removed {path.as_posix()}")
    print_text(f"wrote {len(written)}, removed {len(removed)}, unchanged {unchanged}")
    print_problems(unfinished, form)


@main.command()
@specs_option
@out_option
@format_option
def check(specs: Path, out: Path, form: Format) -> None:
    """List the generated files that differ from the specs; exit 1 if there is one."""
    differences = list(trees.compare_tree(_build_tree(specs, out, form, Cache(None))[0]))
    if form != "text":
        print_problems((Problem(str(path), 1, 1, reason) for path, reason, _ in differences), form)
    for path, reason, excerpt in differences if form == "text" else ():
        print_text("\n".join([f"{path.as_posix()}: {reason}", *excerpt]))
    if differences and form == "text":
        print_text("To repair: make the change in the specs, then run `kling-codegen generate`.")
    sys.exit(1 if differences else 0)


def _build_tree(specs: Path, out: Path, form: Format, cache: Cache) -> tuple[Tree, list[Problem]]:
    """Return all generated files, and the unfinished specs. Refuse a folder where they must not be written."""
    # Only the core's specs have gateway.yaml, whatever --out is.
    is_core = (specs / "gateway.yaml").exists()
    if out == CORE_OUT and not is_core:
        raise click.UsageError(
            escape_unprintable(
                f"{specs} has no gateway.yaml, so {out} is not the package of its models; "
                "pass another one with --out, as `make generate` does"
            )
        )
    name = ir.CORE if is_core else names.package_name(out)
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")):
        raise click.UsageError(
            escape_unprintable(f"--out {out}: {name} is not a valid name of a Python package")
        )
    _refuse_place(_make_tree({}, specs, out), specs)
    try:
        package = build_package(specs, name, cache)
    except SpecsInvalid as error:
        print_problems(error.problems, form)
        sys.exit(2)
    files = {
        (out.parent / "client" if path == render.STUB else out) / path: text
        for path, text in package.files.items()
    }
    files |= {_documents(specs) / path: text for path, text in package.documents.items()}
    for schema, text in editor_schemas().items():
        if name == ir.CORE or schema == "spec.schema.json":
            files[specs / "schema" / schema] = text
    files |= _fill_table(_project(specs) / trees.README, "models", entries=package.entries)
    files |= _fill_table(specs / trees.README, "rules", kinds=describe_rules(), parts=describe_parts())
    tree = _make_tree(files, specs, out)
    _refuse_place(tree, specs)
    return tree, package.unfinished


def _fill_table(readme: Path, name: str, **values: Any) -> dict[Path, str]:
    """Return a README with its generated table, if it exists and has the marks of the table."""
    text = trees.read_text(readme)
    if text is None or not render.has_table(text, name):
        return {}
    return {readme: render.replace_table(text, name, **values)}


def _make_tree(files: Mapping[Path, str], specs: Path, out: Path) -> Tree:
    # A relative path must not contain any link, an absolute one none below the folder that the user named.
    anchors = {folder if folder.is_absolute() else Path() for folder in (out.parent, _project(specs), specs)}
    return Tree(files, (out, _documents(specs)), tuple(sorted(anchors)))


def _refuse_place(tree: Tree, specs: Path) -> None:
    if reasons := list(islice(tree.obstacles(specs), 1)):
        advice = "Nothing was written: --out and docs/models hold generated files only."
        raise click.UsageError(escape_unprintable(f"{reasons[0]}. {advice}"))


def _documents(specs: Path) -> Path:
    return _project(specs) / "docs" / "models"


def _project(specs: Path) -> Path:
    # The parent of `.` is `.` again.
    return specs.parent if specs.name.strip(".") else specs.resolve().parent


main.add_command(new)


main.add_command(diff.command)
main.add_command(draft.command)
main.add_command(drift.command)
main.add_command(lint.command)

if __name__ == "__main__":
    main()
