"""A project of its own for each test: specs, the runtime, and the models that are generated from the specs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from kling_codegen.cli import main

import kling_adapters

if TYPE_CHECKING:
    from click.testing import Result

    from tests.codegen.drift_command import Drift

RUNTIME = Path(kling_adapters.__file__).parent
GATEWAY = RUNTIME.parent / "specs" / "gateway.yaml"

HEAD = """\
slug: {slug}
title: Demo
summary: A model for tests.
returns: video
latency_seconds: 60
source: {{page: https://example.com/demo, document: demo.txt, read: 2026-01-31}}
"""


class Project:
    """A folder with specs/ and kling_adapters/, and the command run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.specs = folder / "specs"
        self.models = folder / "kling_adapters" / "models"
        self.stub = folder / "kling_adapters" / "client" / "_calls.pyi"
        self.specs.mkdir()
        self.models.parent.mkdir()
        self.write("gateway.yaml", GATEWAY.read_text(encoding="utf-8"))
        # The compiler writes into these two.
        (self.models.parent / "client").mkdir()
        for path in (*RUNTIME.iterdir(), *(RUNTIME / "client").iterdir()):
            if path.name not in {"models", "client", "_calls.pyi", "__pycache__"}:
                (self.models.parent / path.relative_to(RUNTIME)).symlink_to(path)

    def write(self, name: str, text: str) -> Path:
        path = self.specs / name
        path.write_text(text, encoding="utf-8")
        return path

    def spec(self, slug: str, properties: str, *, required: str = "", rest: str = "") -> Path:
        """Write a spec of these properties; they start in line 10, column 5."""
        body = (
            f"input:\n  required: [{required}]\n  properties:\n{indent(dedent(properties).strip(), '    ')}\n"
        )
        return self.write(f"{slug}.yaml", HEAD.format(slug=slug) + body + dedent(rest))

    def run(self, *command: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            return CliRunner().invoke(main, " ".join(command).split())

    def generate(self) -> str:
        result = self.run("generate")
        assert result.exit_code == 0, result.output
        return result.output

    def errors(self) -> list[str]:
        """Return what generate says against the specs."""
        result = self.run("generate")
        assert result.exit_code == 2, result.output
        return result.stderr.splitlines()

    def tree(self) -> dict[str, bytes]:
        paths = (
            path for path in self.models.rglob("*") if path.is_file() and "__pycache__" not in path.parts
        )
        return {path.relative_to(self.models).as_posix(): path.read_bytes() for path in paths}

    def use(self, code: str) -> str:
        """Run code against the generated models in a Python of its own; return what it prints."""
        environment = os.environ | {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", dedent(code)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the compiler's cache: one of its own for each test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "kling-codegen"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def drift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drift:
    from tests.codegen.drift_command import Drift  # it reads all specs

    monkeypatch.delenv("SEGMIND_API_KEY", raising=False)
    return Drift(tmp_path)
