"""A distribution with a model of its own, as Python finds installed ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

ACME = Path(__file__).parents[1] / "golden" / "acme" / "acme_kling"
PLUGIN = """\
from acme_kling.models import CATALOG
from kling_adapters.hookspecs import hookimpl

@hookimpl
def kling_register_adapters(register):
    for entry in CATALOG:
        register(entry)
"""

Acme = Callable[[str, str, str], None]


@pytest.fixture
def acme(tmp_path: Path) -> Acme:
    """Put it in the folder of the test, which PYTHONPATH has to name, with another text in one of its files."""

    def put(name: str, found: str, instead: str) -> None:
        shutil.copytree(ACME, tmp_path / "acme_kling")
        file = tmp_path / "acme_kling" / "models" / name
        text = file.read_text("utf-8")
        assert found in text
        file.write_text(text.replace(found, instead), "utf-8")
        (tmp_path / "acme_plugin.py").write_text(PLUGIN, "utf-8")
        metadata = tmp_path / "acme_kling-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-kling\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[kling_adapters]\nacme = acme_plugin\n")

    return put
