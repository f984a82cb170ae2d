"""What the README says is true: its table of models is the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

from kling_adapters import load_catalog

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_table_of_models_is_the_catalogue() -> None:
    rows = {}
    for entry in load_catalog().values():
        schema = entry.json_schema()
        usual = "not documented" if entry.latency is None else f"{entry.latency:.0f} s"
        needs = ", ".join(f"`{name}`" for name in schema["required"])
        page = f"[{entry.title}]({schema['x-kling']['source']['page']})"
        link = f"[`{entry.slug}`](docs/models/{entry.slug}.md)"
        rows[entry.slug] = f"| {link} | {entry.returns} | {usual} | {needs} | {page} |"
    assert [line for line in README.splitlines() if line.startswith("| [`")] == list(rows.values())


def test_links_of_the_readme_lead_to_files() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / link).exists(), link


def test_every_make_target_of_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = README + (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert set(re.findall(r"\bmake ([a-z]+)\b(?: {2,}#|`|,| \|)", text)) <= targets
