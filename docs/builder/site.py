"""The site: HTML by Sphinx, a Markdown twin beside each page, and llms.txt."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from docs.builder.navigation import INDEX, ROOT, Part

HOME = INDEX.removesuffix(".md")
_REDIRECT = """<!doctype html>
<meta charset="utf-8">
<title>kling-adapters</title>
<meta http-equiv="refresh" content="0; url={home}.html">
<a href="{home}.html">The documentation of kling-adapters</a>
"""


def add_navigation(text: str, parts: Sequence[Part]) -> str:
    """Return the text of the first page with the table of contents of each part, for the sidebar."""
    trees = [
        "\n".join(
            [
                "```{toctree}",
                ":hidden:",
                ":maxdepth: 1",
                ":titlesonly:",
                f":caption: {part.title}",
                "",
                *(f"{entry.title} </{entry.path}>" for entry in part.entries),
                "```",
            ]
        )
        for part in parts
    ]
    return "\n\n".join([text, *trees, ""])


def build_html(sources: Path, output: Path, work: Path) -> int:
    """Build the pages; every warning is an error.

    Args:
        sources: The folder of staged sources.
        output: The folder for the site; it is replaced.
        work: A folder for what Sphinx keeps between builds; it is deleted first, so that builds are alike.

    Returns:
        0, or 1 after a warning.

    """
    for folder in (output, work):
        shutil.rmtree(folder, ignore_errors=True)
    with docutils_namespace():
        app = Sphinx(
            srcdir=sources,
            confdir=Path(__file__).parent,
            outdir=output,
            doctreedir=work,
            buildername="html",
            confoverrides={"root_doc": HOME},
            status=None,
            warning=sys.stderr,
            freshenv=True,
            warningiserror=True,
        )
        app.connect("html-page-context", _link_twin)
        app.build(force_all=True)
    (output / "index.html").write_text(_REDIRECT.format(home=HOME), "utf-8")
    return int(app.statuscode)


def write_twins(sources: Path, output: Path, home: str) -> None:
    """Copy the Markdown of every page, and each file to which it links, beside the HTML.

    Args:
        sources: The folder of staged sources.
        output: The folder of the site.
        home: The text of the first page, without the navigation of Sphinx.

    """
    shutil.copytree(sources, output, dirs_exist_ok=True)
    (output / INDEX).write_text(home, "utf-8")


def write_llms(output: Path, parts: Sequence[Part]) -> None:
    """Write llms.txt: the essentials, then every page with one sentence."""
    lines = [(ROOT / "docs/essentials.md").read_text("utf-8").rstrip()]
    for part in parts:
        lines += ["", f"## {part.title}", ""]
        lines += [f"- [{entry.title}]({entry.path}): {entry.text}" for entry in part.entries]
    (output / "llms.txt").write_text("\n".join([*lines, ""]), "utf-8")


def _link_twin(_app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: object) -> None:
    """Add the address of the Markdown twin to the head of a page."""
    if page not in ("search", "genindex"):
        name = page.rpartition("/")[2]
        context["metatags"] += f'\n<link rel="alternate" type="text/markdown" href="{name}.md">'
