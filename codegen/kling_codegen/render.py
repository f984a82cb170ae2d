"""Rendering of the intermediate representation: fills the templates and formats the files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import MISSING

from kling_codegen.catalogue import Catalogue
from kling_codegen.docs import address, prose
from kling_codegen.entry import Entry
from kling_codegen.gateway import Gateway
from kling_codegen.ir import LINE_LENGTH, Module
from kling_codegen.literals import text_literal
from kling_codegen.messages import escape_unprintable

# The typed calls of the client; written into the package of the client, beside that of the models.
STUB = "_calls.pyi"


def render_model(module: Module) -> dict[str, str]:
    """Return the files of one model, by path within the package, not yet formatted."""
    schema = json.dumps(module.json_schema, indent=2, ensure_ascii=False)
    return {
        f"{module.name}.py": fill_template("module.py.jinja", module=module),
        f"schemas/{module.slug}.json": f"{schema}\n",
    }


def render_document(module: Module) -> dict[str, str]:
    """Return the documentation of one model, by path within its folder, not yet formatted."""
    return {f"{module.slug}.md": fill_template("document.md.jinja", page=module.document)}


def render_shared(
    package: str, entries: Sequence[Entry], gateway: Gateway | None, catalogue: Catalogue | None
) -> dict[str, str]:
    """Return the files that all models share; only the core, which has a gateway, has typed calls."""
    files = {"__init__.py": fill_template("index.py.jinja", package=package, entries=entries)}
    if gateway is not None:
        files[STUB] = fill_template("calls.pyi.jinja", package=package, entries=entries)
        files["_gateway.py"] = fill_template("gateway.py.jinja", gateway=gateway)
        files["_listed.py"] = fill_template("listed.py.jinja", catalogue=catalogue)
    return files


def format_files(files: Mapping[str, str], package: str) -> dict[str, str]:
    """Return files with Python formatted by ruff, also in Markdown, independently of any configuration."""
    python = [path for path in files if path.endswith((".py", ".pyi"))]
    texts = [*python, *(path for path in files if path.endswith(".md"))]
    ruff = [sys.executable, "-m", "ruff"]
    options = [
        "--isolated",
        "--no-cache",
        "--quiet",
        "--target-version=py311",
        f"--line-length={LINE_LENGTH}",
    ]
    top = package.partition(".")[0]
    isort = f"lint.isort={{known-first-party=['{top}'], split-on-trailing-comma=false}}"
    tidy = ["--select=I,F401,RUF022", "--fix", f"--config={isort}"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in texts:
            (folder / path).write_text(files[path], encoding="utf-8", newline="\n")
        for command, paths in ((["check", *tidy], python), (["format"], texts)):
            if paths:
                subprocess.run([*ruff, *command, *options, *paths], cwd=folder, check=True)  # noqa: S603
        return {**files, **{path: (folder / path).read_text(encoding="utf-8") for path in texts}}


def has_table(readme: str, name: str) -> bool:
    """Return whether a README has the marks of a generated table."""
    return _table_pattern(name).search(readme) is not None


def replace_table(readme: str, name: str, **values: Any) -> str:
    """Return a README with a table from `values` between its marks."""
    table = f"\n{fill_template(f'{name}.md.jinja', **values)}\n"
    # With the line ending of the mark.
    return _table_pattern(name).sub(lambda match: match[1] + table.replace("\n", match[2]), readme)


def _table_pattern(name: str) -> re.Pattern[str]:
    return re.compile(f"(<!-- {name} -->(\r?\n)).*?(?=<!-- /{name} -->)", re.DOTALL)


def fill_template(template: str, **values: Any) -> str:
    """Return a template with these values filled in."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("kling_codegen"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  this writes Python and Markdown, not HTML
    )
    environment.tests["missing"] = lambda value: value is MISSING
    environment.filters |= {
        "text": text_literal,
        "comment": _comment,
        "docstring": _docstring,
        "prose": prose,
        "address": address,
    }
    return environment


def _comment(value: str) -> str:
    return "\n".join(f"# {line}" for line in _wrap(value, LINE_LENGTH - 2))


def _docstring(summary: str, more: str | None = None, indent: int = 0) -> str:
    """Return a docstring: a line, and perhaps a paragraph."""
    lines = [summary] if more is None else [summary, "", *_wrap(more, LINE_LENGTH - indent), ""]
    text = f"\n{' ' * indent}".join(lines).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    text = "\n".join(map(escape_unprintable, text.split("\n")))
    # ruff leaves the space on an empty line where the docstring ends with a backslash.
    text = text.replace(f"\n{' ' * indent}\n", "\n\n")
    return f'"""{text[:-1]}\\""""' if text.endswith('"') else f'"""{text}"""'


def _wrap(value: str, width: int) -> list[str]:
    return textwrap.wrap(value, width, break_long_words=False, break_on_hyphens=False)
