"""The distributions of this repository, as their pyproject.toml describe them."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
VERSION_FILE = Path("kling_adapters", "_version.py")


class Distribution(NamedTuple):
    """One distribution: its folder, relative to the root of the repository, and its `[project]` table."""

    folder: Path
    project: dict[str, Any]
    version: str

    @property
    def name(self) -> str:
        """Return the name with dashes, such as kling-serve."""
        return str(self.project["name"])

    @property
    def package(self) -> str:
        """Return the name of its import package, such as kling_serve."""
        return self.name.replace("-", "_")

    @property
    def manifest(self) -> Path:
        """Return the path of its pyproject.toml, relative to the root of the repository."""
        return self.folder / "pyproject.toml"

    @property
    def sdist(self) -> str:
        """Return the file name of its sdist."""
        return f"{self.package}-{self.version}.tar.gz"

    @property
    def wheel(self) -> str:
        """Return the file name of its wheel."""
        return f"{self.package}-{self.version}-py3-none-any.whl"


def read_distributions(root: Path = ROOT) -> list[Distribution]:
    """Return every distribution: the core, the compiler and the plugins, in this order."""
    folders = [root, root / "codegen", *sorted(path.parent for path in root.glob("plugins/*/pyproject.toml"))]
    return [_read_distribution(root, folder) for folder in folders]


def _read_distribution(root: Path, folder: Path) -> Distribution:
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    version = project["version"] if "version" in project else _read_version(folder / VERSION_FILE)
    return Distribution(folder.relative_to(root), project, version)


def _read_version(path: Path) -> str:
    """Return the version in a module of one assignment, without importing it."""
    assignment = ast.parse(path.read_text("utf-8")).body[0]
    assert isinstance(assignment, ast.Assign)
    return str(ast.literal_eval(assignment.value))


def tracked_files(root: Path = ROOT, folder: Path = Path()) -> list[str]:
    """Return the files of a folder that are in git or will be, relative to the root of the repository."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", str(folder)],
        cwd=root, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return sorted(name for name in listing.stdout.split("\0") if name and (root / name).is_file())


def commit_time(root: Path = ROOT) -> int:
    """Return the time of the last commit, in seconds since 1970."""
    log = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=root, check=True, capture_output=True, text=True
    )
    return int(log.stdout)
