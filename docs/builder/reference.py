"""The generated pages of the reference, which exist only in the built site."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from docs.builder.command_help import describe_codegen, describe_kling
from docs.builder.error_pages import describe_errors
from docs.builder.navigation import ROOT
from docs.builder.python_api import API_PAGES, describe_api
from docs.builder.spec_keys import describe_spec_keys

_PAGES: Mapping[str, tuple[str, str, Callable[[], str]]] = {
    "commands.md": (
        "Commands of kling",
        "every command and option of `kling`, from its help",
        describe_kling,
    ),
    "codegen-commands.md": (
        "Commands of kling-codegen",
        "every command and option of `kling-codegen`, from its help",
        describe_codegen,
    ),
    "spec-keys.md": (
        "Keys of a spec",
        "every key of a spec and of gateway.yaml, from their JSON Schemas",
        describe_spec_keys,
    ),
    "errors.md": (
        "Errors, statuses and exit codes",
        "errors, HTTP status codes of the gateway and exit codes",
        describe_errors,
    ),
}
"""The title, the sentence of the navigation, and the maker of the text of each page."""
FOLDER = "docs/reference"


def make_pages() -> dict[str, str]:
    """Return the text of every generated page by its path."""
    pages = {f"{FOLDER}/{name}": make() for name, (_, _, make) in _PAGES.items()}
    return pages | {f"{FOLDER}/{name}": text for name, text in describe_api().items()}


def add_generated(index: str) -> str:
    """Return the text of docs/index.md with the generated pages and those of models, at the end of the reference."""
    start = index.index("\n## Explanation")
    entries = [f"- [{page.title}](reference/{page.name}): {page.summary}" for page in API_PAGES]
    entries += [f"- [{title}](reference/{name}): {summary}" for name, (title, summary, _) in _PAGES.items()]
    entries += [
        f"- [{path.stem}](models/{path.name}): parameters, rules and examples of the model"
        for path in sorted((ROOT / "docs" / "models").glob("*.md"))
    ]
    return "\n".join([index[:start].rstrip(), *entries, index[start:]])
