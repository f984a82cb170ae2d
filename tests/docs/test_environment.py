"""docs/environment.md has every variable that the packages read, and no other."""

from __future__ import annotations

import re

from tests.docs.blocks import ROOT

NAME = re.compile(r"\b(?:KLING|SEGMIND|TEMPORAL)_[A-Z_]+\b")
TABLE = (ROOT / "docs/environment.md").read_text("utf-8")
FOLDERS = ("kling_adapters", *(f"plugins/{path.name}" for path in (ROOT / "plugins").iterdir()))
# The shared variables of a compose file, and constants that are not variables.
NOT_READ = {"TEMPORAL_PROFILE", "SEGMIND_API_KEYS"}


def test_table_has_the_variables_of_the_code() -> None:
    sources = [
        path.read_text("utf-8") for folder in FOLDERS for path in (ROOT / folder).rglob("kling_*/**/*.py")
    ]
    sources += [path.read_text("utf-8") for path in (ROOT / "kling_adapters").rglob("*.py")]
    read = {name for text in sources for name in NAME.findall(text)}
    assert len(read) > 20
    assert read - NOT_READ == set(NAME.findall(TABLE)) - NOT_READ


def test_readme_names_no_other_variables() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert set(NAME.findall(readme)) <= set(NAME.findall(TABLE))
