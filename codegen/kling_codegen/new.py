"""`kling-codegen new`: templates of a spec, of a package of adapters with its own specs, and of a plugin."""

from __future__ import annotations

import keyword
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from kling_codegen import names
from kling_codegen.patterns import SLUG
from kling_codegen.render import fill_template
from kling_codegen.report import print_text

_PACKAGE = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"


@click.command()
@click.argument("slug", required=False)
@click.option(
    "--specs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("specs"),
    show_default=True,
    help="The folder of the new spec.",
)
@click.option(
    "--package",
    metavar="NAME",
    help="Make a folder NAME instead: a separate package of adapters, with its own specs.",
)
@click.option(
    "--plugin",
    metavar="NAME",
    help="Make a folder NAME instead: a plugin that stores files, provides keys or handles events, with its tests.",
)
def new(slug: str | None, specs: Path, package: str | None, plugin: str | None) -> None:
    """Start the spec of the model SLUG: write a file to fill in, and print the next steps.

    With --package, start a distribution that adds models to an installed `kling-adapters`; with --plugin, one that
    adds storage, keys or event handlers.
    """
    if plugin is not None:
        if package is not None or slug is not None:
            raise click.UsageError(
                "--plugin makes a package without models: do not pass a SLUG or --package with it"
            )
        _new_plugin(plugin)
        return
    if package is not None:
        _new_package(package, slug or f"{package}-1")
        return
    if slug is None:
        raise click.UsageError("missing SLUG: pass the slug of the model, as in kling-codegen new kling-9")
    if not specs.is_dir():
        raise click.UsageError(f"there is no folder {specs}; pass another one with --specs")
    _check_slug(slug, specs)
    _write(specs / f"{slug}.yaml", "new/spec.yaml.jinja", slug=slug)
    print_text(f"wrote {specs / slug}.yaml. Next:")
    print_text(f"  1. Fill in every TODO of {specs / slug}.yaml from the documentation page of the model.")
    print_text(f"  2. `kling-codegen lint --specs {specs}` lists what remains to do.")
    print_text("  3. `make generate` writes the adapter, its schema and its documentation.")
    print_text(f"  4. `kling run --sandbox {slug} prompt=hello` tries it without an account.")


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
    print_text(f"wrote {folder}/. Next, in that folder:")
    print_text(
        "  1. `make setup` installs the package and its tools into .venv; `pip install --editable . --group dev`"
    )
    print_text("     does it in an environment that is active (pip 25.1 or newer).")
    print_text(
        f"  2. Fill in every TODO of specs/{slug}.yaml; `kling-codegen lint` lists what remains to do."
    )
    print_text(f"  3. `make generate` writes {module}/models/, docs/models/ and the table in README.md.")
    print_text(
        "  4. `make test` runs every example; `pip install .` makes the models appear in `kling models`."
    )


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
    print_text(f"wrote {folder}/. Next, in that folder:")
    print_text(
        "  1. `pip install 'pip>=25.1'`, `pip install --editable . --group dev`, then `pytest`: all tests pass,"
    )
    print_text("     and `kling plugins` lists it.")
    print_text(
        f"  2. Keep the hooks of {module}/plugin.py that you need, with their tests, and fill them in."
    )


def _module(name: str) -> str:
    """Return the module of a new package. Refuse an invalid name, and one whose module or folder exists."""
    module = name.replace("-", "_")
    if not re.fullmatch(_PACKAGE, name):
        raise click.UsageError(f"{name!r} is not a valid name: use small letters, digits and single hyphens")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module.startswith("kling_adapters"):
        raise click.UsageError(f"{name!r} cannot be used: Python has another module {module}")
    if Path(name).exists():
        raise click.UsageError(f"{name} already exists")
    return module


def _check_slug(slug: str, specs: Path) -> None:
    """Refuse an invalid slug, and one whose file or names in Python are in use."""
    if not re.fullmatch(SLUG, slug):
        raise click.UsageError(
            f"{slug!r} is not a slug: use small letters and digits, in words joined by - or .; start with a letter"
        )
    reserved = {
        "gateway": "gateway.yaml is the file of the facts that all models share",
        "catalogue": "catalogue.yaml is the file of the gateway's list of models",
    }
    if slug in reserved:
        raise click.UsageError(f"{reserved[slug]}; use another slug")
    if (specs / f"{slug}.yaml").exists():
        raise click.UsageError(f"{specs / slug}.yaml already exists")
    for python_name in (names.class_name(slug), names.module_name(slug)):
        if names.is_reserved(python_name):
            raise click.UsageError(f"{slug!r} would be {python_name} in Python, which is a reserved name")
        for existing in sorted(path.stem for path in specs.glob("*.yaml")):
            if python_name in (names.class_name(existing), names.module_name(existing)):
                raise click.UsageError(f"{slug!r} would be {python_name} in Python, as {existing!r} is")


def _write(path: Path, template: str, **values: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = fill_template(template, today=datetime.now(UTC).date().isoformat(), **values)
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
