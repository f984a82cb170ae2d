"""docs/segmind.md: every name of the official client is on it, and every example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import segmind as official
from kling_sandbox import Sandbox

from kling_adapters.compat import segmind

PAGE = (Path(__file__).parents[2] / "docs" / "segmind.md").read_text("utf-8")


def test_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KLING_JOURNAL", str(tmp_path / "journal"))
    segmind._get_client.cache_clear()
    with Sandbox() as sandbox:
        monkeypatch.setenv("SEGMIND_API_KEY", sandbox.api_key)
        monkeypatch.setenv("KLING_BASE_URL", sandbox.base_url)
        for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(code, {})
        segmind._get_client().close()
        segmind._get_client.cache_clear()
    output, video, saved = capsys.readouterr().out.splitlines()
    assert output.endswith(".mp4")
    assert video.endswith(".mp4 0.5")
    assert saved.startswith("file:")


def test_every_name_of_the_official_client_is_on_the_page() -> None:
    constants = {"DEFAULT_POLL_INTERVAL_S", "DEFAULT_POLL_TIMEOUT_S"}
    members = {name for name in dir(official.SegmindClient) if not name.startswith("_")}
    names = set(official.__all__) | set(segmind.__all__) | members
    assert names - constants <= set(re.findall(r"\b\w+\b", PAGE))
