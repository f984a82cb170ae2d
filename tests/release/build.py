"""Build the sdist and the wheel of each distribution: `make dist`.

The same commit always gives the same bytes. The backend runs on a copy of the files that are in git, with the time of the
last commit, in an environment of its own with the versions of constraints.txt. Each wheel is built from its sdist.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import build
import build.env
from pyproject_hooks import quiet_subprocess_runner

from tests.release.distributions import ROOT, Distribution, commit_time, read_distributions, tracked_files

SUMS = "SHA256SUMS"
OpenProject = Callable[[Path], build.ProjectBuilder]


def build_distributions(
    root: Path, target: Path, names: Collection[str] = (), *, isolated: bool = True
) -> None:
    """Build distributions of a repository, and write SHA256SUMS.

    Args:
        root: The repository.
        target: A folder for the files; files of earlier builds in it are removed.
        names: The distributions to build; all if empty.
        isolated: Install the backend into an environment of its own; otherwise use the one that is installed here.
    """
    os.environ["SOURCE_DATE_EPOCH"] = str(commit_time(root))
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as sources, _backend(root, isolated=isolated) as open_project:
        copy_sources(root, Path(sources))
        for distribution in read_distributions(root):
            if not names or distribution.name in names:
                build_distribution(distribution, Path(sources), target, open_project)
    write_sums(target)


def build_distribution(
    distribution: Distribution, sources: Path, target: Path, open_project: OpenProject
) -> None:
    """Build an sdist from the sources, and the wheel from the sdist."""
    open_project(sources / distribution.folder).build("sdist", target)
    with unpacked_sdist(target / distribution.sdist) as folder:
        open_project(folder).build("wheel", target)


def open_with_installed_backend(folder: Path) -> build.ProjectBuilder:
    """Open a project for building with the hatchling of this environment."""
    return build.ProjectBuilder(folder, runner=quiet_subprocess_runner)


def copy_sources(root: Path, target: Path) -> None:
    """Copy the files of a repository that are in git, or will be."""
    for name in tracked_files(root):
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, copy)


@contextlib.contextmanager
def unpacked_sdist(path: Path) -> Iterator[Path]:
    """Unpack an sdist for a while, and yield the folder with its pyproject.toml."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
        yield Path(folder, path.name.removesuffix(".tar.gz"))


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS, in the form that `sha256sum --check` reads, for all other files of a folder."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / SUMS).write_text("".join(lines), "utf-8")


@contextlib.contextmanager
def _backend(root: Path, *, isolated: bool) -> Iterator[OpenProject]:
    """Yield a function that opens a project for building."""
    if not isolated:
        yield open_with_installed_backend
        return
    constraints = (root / "constraints.txt").read_text("utf-8").splitlines()
    with build.env.DefaultIsolatedEnv() as environment:
        environment.install(build.ProjectBuilder(root).build_system_requires, constraints)
        yield lambda folder: build.ProjectBuilder.from_isolated_env(
            environment, folder, quiet_subprocess_runner
        )


def main() -> None:
    """Build into a folder and print the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="distributions; all by default")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument(
        "--installed-backend", action="store_true", help="use the hatchling of this environment"
    )
    arguments = parser.parse_args()
    build_distributions(ROOT, arguments.out, arguments.names, isolated=not arguments.installed_backend)
    sys.stdout.write((arguments.out / SUMS).read_text("utf-8"))


if __name__ == "__main__":
    main()
