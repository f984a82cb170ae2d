"""Install the built files in clean environments, together and each apart, and check them there: `make packages`.

Each environment has one Python, one set of distributions, and the newest or the lowest versions that they allow,
or those of constraints.txt.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kling_sandbox import Sandbox

from tests.release.distributions import ROOT, Distribution, read_distributions

RESOLUTIONS: dict[str, list[str | Path]] = {
    "lowest": ["--resolution", "lowest-direct"],
    "newest": ["--resolution", "highest"],
    "pinned": ["--constraint", ROOT / "constraints.txt"],
}
CHECKS = Path(__file__).with_name("installed.py")


class Environment(NamedTuple):
    """One environment of the matrix."""

    python: str
    versions: str
    name: str
    distributions: list[Distribution]

    @property
    def has_extras(self) -> bool:
        """Return whether the distributions are installed with all their extras."""
        return self.name == "all"


def plan_environments(pythons: list[str], versions: list[str], names: list[str]) -> Iterator[Environment]:
    """Yield the core alone, the compiler alone, each plugin with the core, and all together, for each Python."""
    core, compiler, *plugins = distributions = read_distributions()
    groups = {"core": [core], "codegen": [compiler], **{item.folder.name: [core, item] for item in plugins}}
    groups["all"] = distributions
    for python, resolution, (name, group) in itertools.product(pythons, versions, groups.items()):
        if not names or name in names:
            yield Environment(python, resolution, name, group)


def declared_pythons() -> list[str]:
    """Return the versions of Python in the classifiers of the core."""
    classifiers = read_distributions()[0].project["classifiers"]
    return [name.rsplit(" ", 1)[1] for name in classifiers if re.search(r"Python :: 3\.\d", name)]


def check_environment(environment: Environment, dist: Path, gateway: Sandbox) -> str:
    """Install and check; return a line about it.

    Raises:
        subprocess.CalledProcessError: A step failed; the error holds its output.
    """
    with tempfile.TemporaryDirectory() as folder:
        python = create_environment(environment, dist, Path(folder, "venv"))
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "KLING_STRICT_PLUGINS": "1",
            **({"KLING_ALL_EXTRAS": "1"} if environment.has_extras else {}),
        }
        packages = [distribution.package for distribution in environment.distributions]
        if "kling_sandbox" not in packages:
            variables |= {"KLING_BASE_URL": gateway.base_url, "SEGMIND_API_KEY": gateway.api_key}
        # -I: the checkout cannot be imported, and no user site is read.
        command: list[str | Path] = [python, "-I", "-X", "utf8", CHECKS, Path(folder, "files"), *packages]
        result = subprocess.run(
            command, cwd=folder, env=variables, check=True, capture_output=True, text=True
        )
        return result.stdout.strip()


def create_environment(environment: Environment, dist: Path, folder: Path) -> Path:
    """Create a virtual environment with the built wheels and check its requirements; return its Python."""
    python = folder / "bin" / "python"
    wheels = [requirement(item, dist, extras=environment.has_extras) for item in environment.distributions]
    run_uv("venv", "--no-python-downloads", "--python", environment.python, folder)
    run_uv("pip", "install", "--python", python, "--no-build", *RESOLUTIONS[environment.versions], *wheels)
    run_uv("pip", "check", "--python", python)
    return python


def run_uv(*arguments: str | Path) -> None:
    """Run a command of uv."""
    command = [sys.executable, "-m", "uv", "--quiet", *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True)


def requirement(distribution: Distribution, dist: Path, *, extras: bool) -> str:
    """Return the requirement of a built wheel."""
    names = ",".join(distribution.project.get("optional-dependencies", {}))
    chosen = f"[{names}]" if names and extras else ""
    return f"{distribution.name}{chosen} @ {(dist / distribution.wheel).resolve().as_uri()}"


def main() -> None:
    """Check the matrix, print a line for each environment, and exit 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    parser.add_argument("--pythons", nargs="+", default=declared_pythons(), help="versions or paths")
    parser.add_argument("--versions", nargs="+", default=["lowest", "newest"], choices=RESOLUTIONS)
    parser.add_argument("--only", nargs="+", default=[], help="core, codegen, all, or folders of plugins")
    arguments = parser.parse_args()
    failed = []
    with Sandbox() as gateway:
        for environment in plan_environments(arguments.pythons, arguments.versions, arguments.only):
            start = time.monotonic()
            try:
                line = check_environment(environment, arguments.dist, gateway)
            except subprocess.CalledProcessError as error:
                line = f"FAILED\n{error.stderr.strip()}"
                failed.append(environment)
            title = f"{environment.python} {environment.versions} {environment.name}"
            print(f"{title:32} {line} ({time.monotonic() - start:.0f} s)", flush=True)
    if failed:
        sys.exit(f"{len(failed)} environments failed")


if __name__ == "__main__":
    main()
