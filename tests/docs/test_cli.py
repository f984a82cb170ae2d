"""docs/cli.md has every key of `kling models --json`."""

from __future__ import annotations

import dataclasses
import re

from kling_adapters.cli.model_facts import ModelFacts
from tests.docs.blocks import ROOT


def test_every_key_of_a_model_is_on_the_page() -> None:
    page = (ROOT / "docs/cli.md").read_text("utf-8")
    table = page.partition("## Models")[2].partition("`kling show SLUG --json`")[0]
    keys = [
        key
        for cell in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        for key in re.findall(r"`(\w+)`", cell)
    ]
    assert keys == [field.name for field in dataclasses.fields(ModelFacts)]
