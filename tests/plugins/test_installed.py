"""A plugin installed from its wheel in an empty environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kling_adapters

ROOT = Path(kling_adapters.__file__).parent.parent


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_plugin_is_listed_while_installed(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    for project in (ROOT, ROOT / "plugins" / "keypool"):
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", wheels, project)
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"

    def pip(*arguments: str | Path) -> None:
        run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)

    def plugins() -> dict[str, dict[str, Any]]:
        entries = json.loads(run(python.with_name("kling"), "plugins", "--json"))
        return {entry["name"]: entry for entry in entries}

    pip("install", *wheels.glob("kling_adapters-*.whl"))
    before = plugins()
    assert {entry["distribution"] for entry in before.values()} == {
        f"kling-adapters {kling_adapters.__version__}"
    }
    pip("install", *wheels.glob("kling_keypool-*.whl"))
    assert not [*tmp_path.glob("venv/lib/python*/site-packages/_editable_impl_*.pth")], "an editable install"
    assert plugins() == before | {"keypool": plugins()["keypool"]}
    assert plugins()["keypool"]["state"] == "loaded"
    assert plugins()["keypool"]["distribution"] == f"kling-keypool {kling_adapters.__version__}"
    pip("uninstall", "--yes", "kling-keypool")
    assert plugins() == before
