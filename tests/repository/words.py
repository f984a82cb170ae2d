"""Refuse the words and names that words.toml lists. `make check`; arguments limit it to files or folders."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORDS = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))
SUFFIXES = {
    ".py",
    ".pyi",
    ".jinja",
    ".md",
    ".toml",
    ".yaml",
    ".yml",
    ".json",
    ".html",
    ".js",
    ".css",
    ".txt",
    ".cfg",
}
# Pages of the vendor, versions of packages, and the list itself.
EXCLUDED = ("tests/codegen/pages/", "constraints", "tests/repository/words.toml", "LICENSE")

# A phrase may be broken over two lines of a comment.
PATTERNS = {
    word: re.compile(r"(?<!\w)" + word.replace(" ", r"[\s#]+") + r"(?!\w)", re.IGNORECASE)
    for word in WORDS["prose"]
}
ALLOWED = {
    word: re.compile("|".join(phrase.replace(" ", r"\s+") for phrase in phrases), re.IGNORECASE)
    for word, phrases in WORDS["allowed"].items()
}
CONTEXT = 12
"""Characters around a word in which an allowed phrase may stand."""


def refused_words(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and a message for each refused word of a text."""
    for word, pattern in PATTERNS.items():
        for match in pattern.finditer(text):
            around = text[max(0, match.start() - CONTEXT) : match.end() + CONTEXT]
            if word in ALLOWED and ALLOWED[word].search(around):
                continue
            yield text.count("\n", 0, match.start()) + 1, f'"{word}": {WORDS["prose"][word]}'


def refused_names(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and a message for each refused name that Python code binds."""
    refused = set(WORDS["names"]["refused"])
    for line, name in _bound_names(ast.parse(text)):
        if name.strip("_").lower() in refused:
            yield line, f"the name {name}: name the thing"


def _bound_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _function_names(node)
            case ast.ClassDef(name=name) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case _:
                pass


def _function_names(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[tuple[int, str]]:
    name = "" if isinstance(node, ast.Lambda) else node.name
    if name != "tell":  # the method of files
        yield node.lineno, name
    # The parameter of comparisons is `other` by convention.
    if not name.startswith("__"):
        arguments = node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            yield argument.lineno, argument.arg


def text_files(paths: list[str]) -> list[Path]:
    """Return the tracked text files of the repository, or those below the paths."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    names = [name for name in listing.stdout.splitlines() if not name.startswith(EXCLUDED)]
    files = [ROOT / name for name in names if Path(name).suffix in SUFFIXES or Path(name).name == "Makefile"]
    return [path for path in files if path.exists()]


def main() -> None:
    """Print each refused word and name as file:line: message; exit 1 if there is one."""
    count = 0
    for path in text_files(sys.argv[1:]):
        text = path.read_text("utf-8", errors="replace")
        problems = list(refused_words(text))
        if path.suffix in {".py", ".pyi"}:
            problems += refused_names(text)
        for line, message in sorted(problems):
            print(f"{path.relative_to(ROOT)}:{line}: {message}")
            count += 1
    if count:
        sys.exit(f"{count} refused words and names; tests/repository/words.toml lists the plain ones")


if __name__ == "__main__":
    main()
