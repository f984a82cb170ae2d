"""`kling-codegen new`: the start of a spec, of a package of adapters with its own specs, or of a plugin."""

from __future__ import annotations

import keyword
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from kling_codegen import names, render
from kling_codegen.language import SLUG
from kling_codegen.report import say

_PACKAGE = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"


@click.command()
@click.argument("slug", required=False)
@click.option(
    "--specs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("specs"),
    show_default=True,
    help="The folder to put the spec into.",
)
@click.option(
    "--package",
    metavar="NAME",
    help="Make a folder NAME instead: a package of adapters of its own, with specs of its own.",
)
@click.option(
    "--plugin",
    metavar="NAME",
    help="Make a folder NAME instead: a plugin that stores files, gives keys or is told of events, with its tests.",
)
def new(slug: str | None, specs: Path, package: str | None, plugin: str | None) -> None:
    """Start the spec of the model SLUG: a file to fill in, and what to do next.

    With --package, start a distribution that adds models to every `kling-adapters` it is installed beside; with
    --plugin, one that adds to what it does.
    """
    if plugin is not None:
        if package is not None or slug is not None:
            raise click.UsageError(
                "--plugin makes a package without models: give it no SLUG and no --package"
            )
        _new_plugin(plugin)
        return
    if package is not None:
        _new_package(package, slug or f"{package}-1")
        return
    if slug is None:
        raise click.UsageError("name the model: kling-codegen new SLUG")
    if not specs.is_dir():
        raise click.UsageError(f"there is no folder {specs}; --specs names another")
    _check_slug(slug, specs)
    _write(specs / f"{slug}.yaml", "new/spec.yaml.jinja", slug=slug)
    say(f"wrote {specs / slug}.yaml. Next:")
    say(f"  1. Fill in every TODO of {specs / slug}.yaml from the documentation page of the model.")
    say(f"  2. `kling-codegen lint --specs {specs}` says what is left to do.")
    say("  3. `kling-codegen generate` writes the adapter, its schema and its documentation.")
    say(f"  4. `kling run --sandbox {slug} prompt=hello` tries it without an account.")


def _new_package(name: str, slug: str) -> None:
    module, folder = _module(name), Path(name)
    _check_slug(slug, folder / "specs")
    for path, template in {
        "pyproject.toml": "pyproject.toml",
        "Makefile": "Makefile",
        "README.md": "README.md",
        f"{module}/__init__.py": "init.py",
        f"{module}/plugin.py": "plugin.py",
        f"{module}/py.typed": "py.typed",
        f"specs/{slug}.yaml": "spec.yaml",
        "tests/test_models.py": "test_models.py",
    }.items():
        _write(folder / path, f"new/{template}.jinja", name=name, module=module, slug=slug)
    say(f"wrote {folder}/. Next, in that folder:")
    say(
        "  1. `make setup` installs the package and its tools into .venv; `pip install --editable . --group dev`"
    )
    say("     does it in an environment that is active.")
    say(f"  2. Fill in every TODO of specs/{slug}.yaml; `kling-codegen lint` says what is left to do.")
    say(f"  3. `make generate` writes {module}/models/, docs/models/ and the table in README.md.")
    say("  4. `make test` runs every example; `pip install .` makes the models appear in `kling models`.")


def _new_plugin(name: str) -> None:
    module, folder = _module(name), Path(name)
    for path, template in {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{module}/__init__.py": "init.py",
        f"{module}/plugin.py": "plugin.py",
        f"{module}/py.typed": "py.typed",
        "tests/test_plugin.py": "test_plugin.py",
    }.items():
        _write(folder / path, f"new_plugin/{template}.jinja", name=name, module=module)
    say(f"wrote {folder}/. Next, in that folder:")
    say(
        "  1. `pip install --editable . --group dev`, then `pytest`: all tests pass, `kling plugins` lists it."
    )
    say(f"  2. Keep the hooks of {module}/plugin.py that you need, with their tests, and fill them in.")


def _module(name: str) -> str:
    """Return the module of a new package. Refuse a name that is none, or whose module or folder belongs to another."""
    module = name.replace("-", "_")
    if not re.fullmatch(_PACKAGE, name):
        raise click.UsageError(f"{name!r} is no name for a package: small letters, digits and single hyphens")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module.startswith("kling_adapters"):
        raise click.UsageError(f"{name!r} is no name for a package: Python has another module {module}")
    if Path(name).exists():
        raise click.UsageError(f"{name} is already there")
    return module


def _check_slug(slug: str, specs: Path) -> None:
    """Refuse a slug that is none, or whose file or names in Python belong to another."""
    if not re.fullmatch(SLUG, slug):
        raise click.UsageError(
            f"{slug!r} is no slug: small letters and digits, in groups joined by - or ., starting with a letter"
        )
    if slug == "gateway":
        raise click.UsageError("gateway.yaml is the file of what all models share")
    if (specs / f"{slug}.yaml").exists():
        raise click.UsageError(f"{specs / slug}.yaml is already there")
    for called in (names.class_name(slug), names.module_name(slug)):
        if names.is_taken(called):
            raise click.UsageError(f"{slug!r} would be called {called} in Python, which has another meaning")
        for other in sorted(path.stem for path in specs.glob("*.yaml")):
            if called in (names.class_name(other), names.module_name(other)):
                raise click.UsageError(f"{slug!r} would be called {called} in Python, as {other!r} is")


def _write(path: Path, template: str, **given: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = render.fill(template, today=datetime.now(UTC).date().isoformat(), **given)
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
