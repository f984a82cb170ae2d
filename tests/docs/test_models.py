"""Every model has a page in docs/models."""

from __future__ import annotations

import kling_adapters
from tests.docs.blocks import ROOT, read_blocks


def test_every_model_has_a_page_with_examples() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "models").glob("*.md")}
    models = {
        slug
        for slug, entry in kling_adapters.load_catalog().items()
        if entry.module.startswith("kling_adapters.")
    }
    assert pages == models
    for slug in models:
        languages = [block.language for block in read_blocks(f"docs/models/{slug}.md")]
        assert languages.count("python") == languages.count("shell") > 0
