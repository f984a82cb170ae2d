"""The release script: its reasons to refuse, and the files that it changes."""

from __future__ import annotations

import datetime as dt
import subprocess
from pathlib import Path

import pytest

from tests.release.build import copy_sources
from tests.release.distributions import ROOT, read_distributions
from tests.release.run import find_problems
from tests.release.version import compatible_range, release_changelog, requirement_files, write_version

CHANGELOG = (
    "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n\n## [0.1.0] - 2026-01-02\n\n- Everything.\n"
)
READY = {"README.md": "A client.\n", "SECURITY.md": "", "CHANGELOG.md": CHANGELOG}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    copy_sources(ROOT, folder)
    for name, text in READY.items():
        (folder / name).write_text(text)
    for distribution in read_distributions(folder):
        path = folder / distribution.manifest
        path.write_text(
            f'{path.read_text()}\n[project.urls]\nRepository = "https://git.example/kling-adapters"\n'
        )
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Add everything")
    return folder


@pytest.fixture
def repository(template: Path, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "--quiet", str(template), "repository")
    return tmp_path / "repository"


def test_clean_main_is_ready(repository: Path) -> None:
    assert find_problems(repository, "0.2.0") == []
    assert find_problems(repository, "0.1.0") == []


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ("two", "two is not a version; expected one such as 0.2.0."),
        ("v0.2.0", "v0.2.0 is not in normal form; write 0.2.0."),
        ("0.0.9", "0.0.9 is older than 0.1.0; choose a newer version."),
    ],
)
def test_unusable_version_is_refused(repository: Path, version: str, problem: str) -> None:
    assert find_problems(repository, version) == [problem]


def test_repository_that_is_not_ready_is_refused(repository: Path) -> None:
    git(repository, "tag", "v0.2.0")
    git(repository, "switch", "--quiet", "--create", "topic")
    (repository / "README.md").write_text("Nothing is released yet.")
    (repository / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [0.1.0] - 2026-01-02\n\n- Everything.\n")
    manifest = repository / "plugins" / "serve" / "pyproject.toml"
    manifest.write_text(manifest.read_text().replace("Repository", "Homepage"))
    assert find_problems(repository, "0.2.0") == [
        "The tag v0.2.0 exists; choose another version.",
        "The branch is topic; a release is made from main.",
        "There are changes that are not committed; commit or remove them.",
        "CHANGELOG.md has nothing under [Unreleased]; a release needs at least one change.",
        "plugins/serve/pyproject.toml has no Repository in [project.urls]; add the address of the repository.",
        'README.md says "Nothing is released yet"; remove the sentence.',
    ]


def test_version_is_written_everywhere(repository: Path) -> None:
    write_version(repository, "1.3.0")
    distributions = read_distributions(repository)
    assert {distribution.version for distribution in distributions} == {"1.3.0"}
    requirements = [distribution.project["dependencies"][0] for distribution in distributions[2:]]
    assert set(requirements) == {f"kling-adapters{compatible_range('1.3.0')}"} == {"kling-adapters>=1.3,<2"}
    changes = git(repository, "diff", "--unified=0").splitlines()
    changed = [line for line in changes if line.startswith("+") and not line.startswith("+++")]
    assert [line for line in changed if "1.3" not in line] == []
    texts = {path.name: path.read_text("utf-8") for path in requirement_files(repository)}
    assert [name for name, text in texts.items() if ">=0.1,<0.2" in text] == []


def test_changelog_gets_a_section() -> None:
    text = release_changelog(CHANGELOG, "0.2.0", dt.date(2026, 12, 1))
    assert text == CHANGELOG.replace("[Unreleased]\n", "[Unreleased]\n\n## [0.2.0] - 2026-12-01\n")


@pytest.mark.parametrize(
    ("text", "version", "message"),
    [
        (CHANGELOG, "0.1.0", r"already has a section \[0.1.0\]"),
        (CHANGELOG.replace("- A thing.", "").replace("### Added", ""), "0.2.0", "nothing under"),
    ],
)
def test_changelog_without_changes_is_refused(text: str, version: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        release_changelog(text, version, dt.date(2026, 12, 1))
