"""Build the documentation site. `make docs`.

    python -m docs.builder [FOLDER]

The folder is out/docs by default. A warning is an error.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from docs.builder.navigation import INDEX, ROOT, read_parts
from docs.builder.reference import add_generated, make_pages
from docs.builder.site import add_navigation, build_html, write_llms, write_twins
from docs.builder.staging import stage_sources


def build_site(output: Path) -> int:
    """Build the site, and return the exit code."""
    generated = make_pages()
    home = add_generated((ROOT / INDEX).read_text("utf-8"))
    parts = read_parts(home)
    with tempfile.TemporaryDirectory(prefix="kling-docs-") as folder:
        sources = Path(folder, "sources")
        stage_sources(sources, parts, {**generated, INDEX: add_navigation(home, parts)})
        code = build_html(sources, output, Path(folder, "work"))
        write_twins(sources, output, home)
    write_llms(output, parts)
    return code


def main() -> None:
    """Build the site into the folder of the first argument."""
    output = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "out" / "docs")
    code = build_site(output.absolute())
    if code:
        sys.exit("The documentation has warnings, listed above; each has to be fixed.")
    print(f"{output}/index.html")


if __name__ == "__main__":
    main()
