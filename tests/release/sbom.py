"""Write the software bill of materials of each distribution: CycloneDX, in JSON.

It lists what one distribution brings into an empty environment, in the versions of constraints.txt. The same files and
constraints give the same bytes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.release.build import write_sums
from tests.release.distributions import ROOT, Distribution, read_distributions


def write_sboms(dist: Path) -> None:
    """Write a file for each distribution beside its wheel, and SHA256SUMS again."""
    core, *rest = read_distributions()
    write_sbom(core, [core], dist)
    for distribution in rest:
        write_sbom(distribution, [core, distribution], dist)
    write_sums(dist)


def write_sbom(distribution: Distribution, wheels: list[Distribution], dist: Path) -> Path:
    """Write NAME-VERSION.cdx.json for one distribution, and return its path.

    Args:
        distribution: The main component.
        wheels: Those of our own distributions that it needs, itself included.
        dist: The folder of the wheels.
    """
    path = dist / f"{distribution.package}-{distribution.version}.cdx.json"
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, "bin", "python")
        _run("uv", "--quiet", "venv", "--python", sys.executable, folder)
        _run(
            "uv", "--quiet", "pip", "install", "--python", python, "--no-build",
            "--constraint", ROOT / "constraints.txt", *(dist / wheel.wheel for wheel in wheels),
        )  # fmt: skip
        # Otherwise the wheels would be listed with their paths on this machine.
        for record in Path(folder).rglob("direct_url.json"):
            record.unlink()
        _run(
            "cyclonedx_py", "environment", python, "--output-reproducible", "--spec-version", "1.6",
            "--pyproject", ROOT / distribution.manifest, "--mc-type", "library", "--output-file", path,
        )  # fmt: skip
    return path


def _run(module: str, *arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True)


def main() -> None:
    """Write the files into dist/."""
    write_sboms(ROOT / "dist")


if __name__ == "__main__":
    main()
