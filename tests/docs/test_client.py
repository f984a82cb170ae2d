"""Every example of docs/client.md runs, and every call of the client is on the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kling_sandbox import Sandbox

from kling_adapters import Kling

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text("utf-8")


def test_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KLING_JOURNAL", str(tmp_path / "journal"))
    with Sandbox() as sandbox:
        monkeypatch.setenv("SEGMIND_API_KEY", sandbox.api_key)
        monkeypatch.setenv("KLING_BASE_URL", sandbox.base_url)
        for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(code, {})
    output, states, price, count, outcome, credit = capsys.readouterr().out.splitlines()
    assert output.endswith(".mp4")
    assert (states, price) == ("['COMPLETED']", "0.5 0.5 0.5 ('journal',) 6")
    assert (count, outcome, credit) == ("1 to finish", "7 completed", "42.0")


def test_every_call_is_on_the_page() -> None:
    calls = {name for name in vars(Kling) if not name.startswith("_")} | {
        "submit",
        "run",
        "run_direct",
        "run_sync",
    }
    assert calls - {"close", "job", "credits"} <= set(re.findall(r"\b\w+\b", PAGE))
