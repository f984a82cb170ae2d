"""Every example of the generated documentation runs, in Python and in the shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kling_sandbox import Sandbox

import kling_adapters

PAGES = {path.stem: path for path in (Path(__file__).parents[2] / "docs" / "models").glob("*.md")}
MODELS = sorted(
    slug
    for slug, entry in kling_adapters.load_catalog().items()
    if entry.module.startswith("kling_adapters.")
)


def examples(slug: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGES[slug].read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(timing="at-once") as running:
        yield running


def test_every_model_has_a_page() -> None:
    assert set(PAGES) == set(MODELS)


@pytest.mark.parametrize("slug", MODELS)
def test_python(slug: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    snippets = examples(slug, "python")
    assert snippets
    for code in snippets:
        client = f"Kling(base_url={sandbox.base_url!r}, api_key={sandbox.api_key!r})"
        exec(code.replace("Kling()", client), {})
        assert capsys.readouterr().out.startswith(f"{sandbox.base_url}/")


@pytest.mark.parametrize("slug", MODELS)
def test_shell(slug: str, tmp_path: Path) -> None:
    # The command of this very environment, whatever else is installed.
    script = tmp_path / "kling"
    script.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from kling_adapters.cli import main; main()" "$@"\n'
    )
    script.chmod(0o755)
    running = [
        subprocess.Popen(
            ["sh", "-c", command],
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONWARNINGS": "error"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in examples(slug, "shell")
    ]
    assert running
    outputs = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * len(running), outputs
    assert all("request id" in output for output, _ in outputs)
