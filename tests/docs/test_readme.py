"""What the README says is true: its example runs, its table of models is the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kling_sandbox import Sandbox

from kling_adapters import load_catalog

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    with Sandbox() as sandbox:
        monkeypatch.setenv("SEGMIND_API_KEY", sandbox.api_key)
        for code in codes:
            exec(code.replace("Kling()", f"Kling(base_url={sandbox.base_url!r})"), {})
    request_id, result, file = capsys.readouterr().out.splitlines()
    assert request_id in result
    assert [path.name for path in (tmp_path / "renders").iterdir()] == [f"kling-2-{request_id}.mp4"]
    assert file.startswith(str(tmp_path / "renders"))


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
