"""Pages of models: the stored ones, and short ones in two layouts."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from kling_codegen.cli import main
from kling_codegen.load.folder import load_specs
from ruamel.yaml import YAML

from tests.codegen.conftest import GATEWAY

if TYPE_CHECKING:
    from click.testing import Result

PAGES = Path(__file__).parent / "pages"
NAMES = sorted(path.stem for path in PAGES.glob("*.txt"))
DAY = date(2026, 1, 31)

SPACED = """\
Brook Serverless API

POST /v2/brook · submit + poll
1payload = {{
2    "level": {sent},
3}}

API Endpoint

Parameters

leveloptional
{type}

{text}

{values}

Response Type

Returns: Video
"""
CONDENSED = """\
Brook Serverless API
POST /v2/brook · submit + poll 1# example
1payload = {{
2 "level": {sent},
3}}
4print(payload)API Endpoint
https://api.segmind.com/v1/brookParameters
leveloptional{type}{text}
{values}Response Type
Returns: Video
"""


def run_draft(page: Path, *arguments: str) -> Result:
    """Run `kling-codegen draft` in the folder of a page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(page.parent)
        return CliRunner().invoke(main, ["draft", page.name, *arguments])


def load_draft(text: str, folder: Path) -> None:
    """Read a draft as `generate` would."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(GATEWAY, folder / "gateway.yaml")
    slug = YAML(typ="safe", pure=True).load(text)["slug"]
    (folder / f"{slug}.yaml").write_text(text, encoding="utf-8")
    load_specs(folder)
