"""The examples of docs/interfaces.md run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kling_serve.mcp_server.tools import JOB_TOOLS
from kling_serve.tokens import read_tokens
from ruamel.yaml import YAML

from tests.support.serving import ALICE, make_sandbox_settings, serve_app

PAGE = (Path(__file__).parents[2] / "docs" / "interfaces.md").read_text("utf-8")


def read_blocks(language: str) -> list[str]:
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return blocks


@pytest.mark.filterwarnings("ignore:The Sora API")
def test_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with serve_app(make_sandbox_settings(tmp_path)) as served:
        monkeypatch.setenv("KLING_SERVE_URL", served.base_url)
        monkeypatch.setenv("KLING_SERVE_TOKEN", ALICE)
        names: dict[str, object] = {}
        for code in read_blocks("python"):
            exec(code, names)
        names["client"].close()  # type: ignore[attr-defined]
    assert (tmp_path / "lighthouse.mp4").read_bytes()[4:8] == b"ftyp"


def test_files_of_the_page_are_valid(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(read_blocks("toml")[0])
    assert read_tokens(path)[0].limits.jobs_in_flight == 4
    assert (
        YAML(typ="safe").load(read_blocks("yaml")[0])["model_list"][0]["litellm_params"]["num_retries"] == 0
    )


def test_page_names_every_tool() -> None:
    assert all(f"`{name}`" in PAGE for name in JOB_TOOLS)
