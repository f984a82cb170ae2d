"""An installed distribution with a model: the golden package acme-kling, with a plugin that registers its catalog."""

from __future__ import annotations

import shutil
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "golden" / "acme" / "acme_kling"
PLUGIN = """\
from acme_kling.models import CATALOG
from kling_adapters.hookspecs import hookimpl

@hookimpl
def kling_register_adapters(register):
    for entry in CATALOG:
        register(entry)
"""


def install_acme(folder: Path) -> None:
    """Put the distribution into a folder of the Python path."""
    shutil.copytree(PACKAGE, folder / "acme_kling")
    (folder / "acme_plugin.py").write_text(PLUGIN, "utf-8")
    metadata = folder / "acme_kling-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-kling\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[kling_adapters]\nacme = acme_plugin\n")
