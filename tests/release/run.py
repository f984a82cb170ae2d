"""Prepare a release, up to the upload: `make release VERSION=0.2.0`. docs/release.md is the checklist.

Everything happens in a clone, out/release/VERSION/tree. Only when all steps have passed, `main` is moved to the commit of
the release and tagged. A dry run does the same and stops before that.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.version import InvalidVersion, Version

from tests.release.build import SUMS
from tests.release.distributions import ROOT, read_distributions
from tests.release.version import release_changelog, unreleased_changes, write_version

CLAIM = re.compile(r"nothing is released yet", re.IGNORECASE)
CLAIM_FILES = ("README.md", "CHANGELOG.md", "SECURITY.md")
HISTORIES = Path("tests/temporal/histories")
# What the second build of a release changes: nothing of it may reach the files.
ELSEWHERE = {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "7"}


def find_problems(root: Path, version: str) -> list[str]:
    """Return the reasons why a version cannot be released from a repository as it is."""
    problems = _version_problems(root, version)
    if (branch := _git(root, "branch", "--show-current")) != "main":
        problems.append(f"The branch is {branch or 'detached'}; a release is made from main.")
    if _git(root, "status", "--porcelain"):
        problems.append("There are changes that are not committed; commit or remove them.")
    if not unreleased_changes((root / "CHANGELOG.md").read_text("utf-8")):
        problems.append("CHANGELOG.md has nothing under [Unreleased]; a release needs at least one change.")
    problems += [
        f"{distribution.manifest} has no Repository in [project.urls]; add the address of the repository."
        for distribution in read_distributions(root)
        if "Repository" not in distribution.project.get("urls", {})
    ]
    problems += [
        f'{name} says "{match.group()}"; remove the sentence.'
        for name in CLAIM_FILES
        for match in CLAIM.finditer((root / name).read_text("utf-8"))
    ]
    return problems


def _version_problems(root: Path, version: str) -> list[str]:
    try:
        if str(Version(version)) != version:
            return [f"{version} is not in normal form; write {Version(version)}."]
    except InvalidVersion:
        return [f"{version} is not a version; expected one such as 0.2.0."]
    problems = []
    if _git(root, "tag", "--list", f"v{version}"):
        problems.append(f"The tag v{version} exists; choose another version.")
    if Version(version) < Version(read_distributions(root)[0].version):
        problems.append(
            f"{version} is older than {read_distributions(root)[0].version}; choose a newer version."
        )
    return problems


def make_clone(root: Path, tree: Path) -> None:
    """Clone the last commit, with the author of the repository, and set up its environment."""
    _git(root, "clone", "--quiet", "--no-tags", str(root), str(tree))
    for key in ("user.name", "user.email"):
        _git(tree, "config", key, _git(root, "config", key))
    _make(tree, "setup")


def commit_release(tree: Path, version: str, date: dt.date) -> None:
    """Write the version, the changelog, the generated files and the histories of Temporal, and commit them."""
    write_version(tree, version)
    changelog = tree / "CHANGELOG.md"
    changelog.write_text(release_changelog(changelog.read_text("utf-8"), version, date), "utf-8")
    _make(tree, "setup", "generate")
    if not (tree / HISTORIES / version).exists():
        _python(tree, "-m", "tests.temporal.record", version)
    _git(tree, "add", "--all")
    _git(tree, "commit", "--quiet", "--message", f"Release {version}")


def compare_builds(tree: Path) -> None:
    """Build once more, in another clone with another umask, time zone and locale, and compare the sums."""
    twin = tree.with_name("twin")
    _git(tree, "clone", "--quiet", str(tree), str(twin))
    previous = os.umask(0o077)
    try:
        _run([tree.absolute() / ".venv/bin/python", "-m", "tests.release.build"], twin, ELSEWHERE)
    finally:
        os.umask(previous)
    sums = (tree / "dist" / SUMS).read_text("utf-8")
    different = [line for line in (twin / "dist" / SUMS).read_text("utf-8").splitlines() if line not in sums]
    if different:
        sys.exit("The second build gave other bytes:\n" + "\n".join(different))
    shutil.rmtree(twin)


def tag_release(root: Path, tree: Path, version: str) -> None:
    """Move main to the commit of the release and tag it; the message of the tag has the sums of the archives."""
    lines = (tree / "dist" / SUMS).read_text("utf-8").splitlines()
    sums = "\n".join(line for line in lines if line.endswith((".whl", ".tar.gz")))
    _git(root, "fetch", "--quiet", str(tree), "HEAD")
    _git(root, "merge", "--quiet", "--ff-only", "FETCH_HEAD")
    _git(root, "tag", "--annotate", "--message", f"Release {version}\n\n{sums}", f"v{version}")


def release(root: Path, version: str, arguments: argparse.Namespace) -> None:
    """Do every step of the checklist except the upload; exit with the reason if one fails."""
    problems = find_problems(root, version)
    print("\n".join(problems) or "The repository is ready for a release.")
    if problems and not arguments.dry_run:
        sys.exit("Nothing was changed.")
    folder = root / "out" / "release" / version
    shutil.rmtree(folder, ignore_errors=True)
    tree = folder / "tree"
    make_clone(root, tree)
    commit_release(tree, version, dt.datetime.now(dt.UTC).date())
    _make(tree, "dist")
    compare_builds(tree)
    _make(tree, "packages", *([f"PYTHONS={arguments.pythons}"] if arguments.pythons else []))
    if not arguments.skip_tests:
        _make(tree, "check", "test")
    if changes := _git(tree, "status", "--porcelain"):
        sys.exit(f"The steps changed files of the commit; nothing was released:\n{changes}")
    shutil.copytree(tree / "dist", folder / "dist")
    if arguments.dry_run:
        print(
            f"Dry run: the files are in {folder / 'dist'}, the commit in {tree}; main and its tags are as before."
        )
        sys.exit(1 if problems else 0)
    tag_release(root, tree, version)
    print(REMAINING.format(version=version, dist=folder / "dist"))


REMAINING = """\
main is at the commit of release {version}, with the tag v{version}. The files are in {dist}.

What remains, by hand:
  1. Read them once: git show v{version}, and SHA256SUMS.
  2. git push --atomic origin main v{version}
  3. Approve the environment `release` of the workflow that the tag starts. It builds again, and stops unless its sums are those
     of the tag; it attests and uploads.
  4. Compare SHA256SUMS of the workflow with this one; install from the index in an empty environment.
  5. Write the release notes from the section of CHANGELOG.md.\
"""


def _git(folder: Path, *arguments: str) -> str:
    result = subprocess.run(["git", *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return result.stdout.strip()


def _make(tree: Path, *targets: str) -> None:
    _run(["make", *targets], tree)


def _python(tree: Path, *arguments: str) -> None:
    _run([".venv/bin/python", *arguments], tree)


def _run(command: list[str | Path], folder: Path, variables: dict[str, str] | None = None) -> None:
    print(f"\n== {' '.join(map(str, command))}", flush=True)
    # The variables of the make that runs this are not for the clone.
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    code = subprocess.run(command, cwd=folder, env=outer | (variables or {}), check=False).returncode
    if code:
        sys.exit(f"{command[0]} ended with {code} in {folder}; nothing was released.")


def main() -> None:
    """Read the command line and release."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="such as 0.2.0")
    parser.add_argument(
        "--dry-run", action="store_true", help="do all steps, but leave main and its tags as they are"
    )
    parser.add_argument(
        "--skip-tests", action="store_true", help="without `make check test`, which CI has passed"
    )
    parser.add_argument(
        "--pythons", default="", help="the Pythons of `make packages`; all that are declared by default"
    )
    arguments = parser.parse_args()
    release(ROOT, arguments.version, arguments)


if __name__ == "__main__":
    main()
