"""The code blocks of every page, and what has to be done with each."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
# Copies of pages and generated trees for tests of the compiler.
_EXCLUDED = ("tests/",)
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>[^>]+?) -->\s*$")
_RUN_BY = re.compile(r"<!-- run by (?P<test>\S+\.py) -->\s*$")
_FILE = re.compile(r"# (?P<name>[\w/.-]+\.\w+)\n")

# Blocks of pages that have no markers, by their first words.
_UNMARKED = {
    "CONTRIBUTING.md": {"- The message of status": "a line of the changelog"},
    "benchmarks/STORM.md": {"def _submit": "a part of tests/promises/storm.py"},
    "ARCHITECTURE.md": {"specs/*.yaml": "a drawing"},
    "docs/threat-model.md": {"files of strangers": "a drawing"},
}
_TESTS = {"docs/segmind.md": "tests/docs/test_segmind.py"}


@dataclass(frozen=True)
class Block:
    """A code block of a page.

    Attributes:
        page: The path of the page, from the root.
        line: Its first line.
        language: The word after the fence; "" for an indented block.
        text: Its content.
        reason: Why it is not run, if the page says so.
        test: The test that runs it, if the page names one.

    """

    page: str
    line: int
    language: str
    text: str
    reason: str = ""
    test: str = ""

    @property
    def place(self) -> str:
        """The page and the line."""
        return f"{self.page}:{self.line}"

    @property
    def file_name(self) -> str:
        """The name of the file that the first line names, or ""."""
        match = _FILE.match(self.text)
        return match["name"] if match else ""


def list_pages() -> list[str]:
    """Return the paths of all pages of the repository."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [name for name in sorted(listing.stdout.split()) if not name.startswith(_EXCLUDED)]


def read_blocks(page: str) -> list[Block]:
    """Return the code blocks of a page, with the marker before each."""
    blocks: list[Block] = []
    comment = ""
    for token in MarkdownIt().parse((ROOT / page).read_text("utf-8")):
        if token.type in ("fence", "code_block"):
            assert token.map is not None
            language = token.info.split()[0] if token.info else ""
            not_run, run_by = _NOT_RUN.search(comment), _RUN_BY.search(comment)
            reason = not_run["reason"] if not_run else _find_reason(page, token.content)
            test = run_by["test"] if run_by else _TESTS.get(page, "")
            blocks.append(Block(page, token.map[0] + 1, language, token.content, reason, test))
        comment = token.content if token.type == "html_block" else ""
    return blocks


def _find_reason(page: str, text: str) -> str:
    return next(
        (reason for words, reason in _UNMARKED.get(page, {}).items() if text.strip().startswith(words)), ""
    )
