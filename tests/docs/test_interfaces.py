"""docs/interfaces.md is complete, and its files are valid."""

from __future__ import annotations

from pathlib import Path

from kling_serve.mcp_server.tools import JOB_TOOLS
from kling_serve.tokens import read_tokens
from ruamel.yaml import YAML

from tests.docs.blocks import ROOT, read_blocks

PAGE = "docs/interfaces.md"


def read_texts(language: str) -> list[str]:
    return [block.text for block in read_blocks(PAGE) if block.language == language]


def test_files_of_the_page_are_valid(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(read_texts("toml")[0])
    assert read_tokens(path)[0].limits.jobs_in_flight == 4
    assert YAML(typ="safe").load(read_texts("yaml")[0])["model_list"][0]["litellm_params"]["num_retries"] == 0


def test_page_names_every_tool() -> None:
    text = (ROOT / PAGE).read_text("utf-8")
    assert all(f"`{name}`" in text for name in JOB_TOOLS)
