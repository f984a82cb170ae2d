"""`kling-codegen drift` on a list and pages in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from kling_codegen.cli import main

from tests.codegen.spec_pages import MODEL_LIST, SPECS


class Drift:
    """A folder with a list and with pages, and the command run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.list = folder / "list.json"
        self.pages = folder / "pages"
        self.pages.mkdir()
        self.write_list(MODEL_LIST)

    def write_list(self, answer: Any) -> None:
        self.list.write_text(json.dumps(answer), encoding="utf-8")

    def write_page(self, name: str, text: str) -> None:
        (self.pages / name).write_text(text, encoding="utf-8")

    def run(self, *arguments: str, source: str | None = None, specs: Path = SPECS) -> Result:
        command = ["drift", "--specs", str(specs), "--list", source or str(self.list), *arguments]
        return CliRunner().invoke(main, command)

    def lines(self, *arguments: str) -> list[str]:
        """Return the changes as text, and check that the exit code says so."""
        result = self.run("-o", str(self.folder / "report.md"), *arguments)
        *changes, version = result.stdout.splitlines()
        has_changed = version != "version: none (while it is 0.x: none)"
        assert result.exit_code == int(has_changed), result.output
        return changes if has_changed else []
