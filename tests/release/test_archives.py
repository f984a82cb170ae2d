"""The sdist and the wheel of each distribution: their files, and the same bytes wherever they are built."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.release.build import (
    build_distribution,
    copy_sources,
    open_with_installed_backend,
    unpacked_sdist,
)
from tests.release.distributions import ROOT, Distribution, commit_time, read_distributions, tracked_files

DISTRIBUTIONS = {distribution.name: distribution for distribution in read_distributions()}
# Beside the Python modules; each pattern matches at least one file.
PACKAGE_DATA = {
    "kling-adapters": ["py.typed", "*.pyi", "models/schemas/kling-*.json"],
    "kling-codegen": ["py.typed", "templates/*.jinja"],
    "kling-serve": [
        "py.typed", "api/openapi.json", "templates/*.html",
        "static/*.css", "static/*.js", "static/*.svg", "static/vendor/LICENSE.txt",
    ],
}  # fmt: skip
MODULES_ONLY = ["py.typed"]
SDIST_FILES = [".gitignore", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"]
MORE_SDIST_FILES = {"kling-adapters": ["CHANGELOG.md"], "kling-temporal": ["compose.yaml"]}
MORE_LICENSES = {"kling-serve": ["kling_serve/static/vendor/LICENSE.txt"]}
# Files that editors, tests and builds leave in a folder; .gitignore names each.
STRAYS = [
    "out/film.mp4",
    "build/lib/x.py",
    "dist/x.whl",
    ".venv/bin/x.py",
    "{package}/__pycache__/x.cpython-311.pyc",
]


@pytest.fixture(params=DISTRIBUTIONS)
def distribution(request: pytest.FixtureRequest) -> Distribution:
    return DISTRIBUTIONS[request.param]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    copy_sources(ROOT, folder)
    return folder


@pytest.fixture(autouse=True)
def set_build_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(commit_time()))


def build(distribution: Distribution, sources: Path, target: Path) -> tuple[Path, Path]:
    build_distribution(distribution, sources, target, open_with_installed_backend)
    return target / distribution.sdist, target / distribution.wheel


def package_files(distribution: Distribution) -> list[str]:
    folder = distribution.folder / distribution.package
    return [Path(name).relative_to(distribution.folder).as_posix() for name in tracked_files(ROOT, folder)]


def test_archives_hold_their_files_alone(distribution: Distribution, sources: Path, tmp_path: Path) -> None:
    sdist, wheel = build(distribution, sources, tmp_path)
    files = package_files(distribution)
    information = f"{distribution.package}-{distribution.version}.dist-info"
    licenses = ["LICENSE", *MORE_LICENSES.get(distribution.name, [])]
    expected = [*files, *(f"{information}/licenses/{name}" for name in licenses)]
    expected += [f"{information}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")]
    with zipfile.ZipFile(wheel) as archive:
        assert sorted(archive.namelist()) == sorted(expected)
    with tarfile.open(sdist) as archive:
        names = [name.split("/", 1)[1] for name in archive.getnames()]
    assert sorted(names) == sorted([*files, *SDIST_FILES, *MORE_SDIST_FILES.get(distribution.name, [])])


def test_package_data_is_as_listed(distribution: Distribution) -> None:
    files = [name.split("/", 1)[1] for name in package_files(distribution) if not name.endswith(".py")]
    patterns = PACKAGE_DATA.get(distribution.name, MODULES_ONLY)
    matches = {pattern: fnmatch.filter(files, pattern) for pattern in patterns}
    assert all(matches.values()), matches
    assert set(files) == {name for names in matches.values() for name in names}


@pytest.mark.parametrize("name", ["kling-adapters", "kling-serve"])
def test_archives_are_the_same_from_another_checkout(name: str, sources: Path, tmp_path: Path) -> None:
    """From the folder itself: another time, umask, locale and time zone, and with files that git ignores."""
    distribution = DISTRIBUTIONS[name]
    folder = tmp_path / "Öffnen" / distribution.folder
    shutil.copytree(sources, tmp_path / "Öffnen")
    for stray in STRAYS:
        path = folder / stray.format(package=distribution.package)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    variables = {
        "SOURCE_DATE_EPOCH": str(commit_time()),
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "7",
    }
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--sdist", "--wheel", "--outdir", tmp_path / "there", folder],
        env=os.environ | variables, umask=0o077, check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "here").mkdir()
    for path in build(distribution, sources, tmp_path / "here"):
        assert (tmp_path / "there" / path.name).read_bytes() == path.read_bytes()


def test_sdist_builds_itself(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    sdist, _ = build(DISTRIBUTIONS["kling-adapters"], sources, tmp_path)
    with unpacked_sdist(sdist) as folder:
        rebuilt = Path(open_with_installed_backend(folder).build("sdist", tmp_path / "again"))
    assert rebuilt.read_bytes() == sdist.read_bytes()
