"""`kling-codegen diff`: its formats, exit codes and versions, and the folders and revisions that it compares."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kling_codegen.cli import main

from tests.codegen.demo_specs import BASE, write_specs


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["diff", *map(str, arguments)])


RETIREMENTS = [
    ("", "{since: 2026-01-31}", 'breaking: demo: retired none -> since "2026-01-31" (submits of it are refused)', "major (while it is 0.x: minor)"),
    ("{since: 2026-01-31}", "", 'additive: demo: retired since "2026-01-31" -> none (submits of it are accepted)', "minor (while it is 0.x: patch)"),
    ("{since: 2026-01-31}", "{since: 2026-01-31, use: other}", 'documentation: demo: retired since "2026-01-31" -> since "2026-01-31", use other (calls and results stay the same)', "patch (while it is 0.x: patch)"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected", "version"), RETIREMENTS)
def test_retirement(tmp_path: Path, old: str, new: str, expected: str, version: str) -> None:
    folders = [
        write_specs(
            tmp_path / side, BASE.replace("input:\n", f"retired: {value}\ninput:\n", 1) if value else BASE
        )
        for side, value in (("old", old), ("new", new))
    ]
    assert run(*folders).stdout.splitlines() == [expected, f"version: {version}"]


def test_slug_that_is_new_in_the_core_is_not_a_patch(tmp_path: Path) -> None:
    old, new = (
        write_specs(tmp_path / "old"),
        write_specs(tmp_path / "new", other=BASE.replace("slug: demo", "slug: other")),
    )
    assert run(old, new).stdout.splitlines() == [
        "warning: other: model none -> Demo (calls of it are accepted; a package that registers the same slug loses it)",
        "version: minor (while it is 0.x: minor)",
    ]
    for folder in (old, new):
        (folder / "gateway.yaml").unlink()
    assert run(old, new).stdout.splitlines()[-1] == "version: minor (while it is 0.x: patch)"


VERSIONS = [
    ("[5, 10]", "[5]", 1, "major (while it is 0.x: minor)"),
    ("default: 5}", "default: 10}", 0, "minor (while it is 0.x: minor)"),
    ("[5, 10]", "[5, 10, 15]", 0, "minor (while it is 0.x: patch)"),
    ("title: Demo", "title: Other", 0, "patch (while it is 0.x: patch)"),
    ("[5, 10]", "[10, 5]", 0, "none (while it is 0.x: none)"),
]


@pytest.mark.parametrize(("original", "put", "code", "version"), VERSIONS)
def test_exit_code_and_version(tmp_path: Path, original: str, put: str, code: int, version: str) -> None:
    result = run(write_specs(tmp_path / "old"), write_specs(tmp_path / "new", BASE.replace(original, put)))
    assert (result.exit_code, result.stderr) == (code, "")
    assert result.stdout.splitlines()[-1] == f"version: {version}"


def test_tree_and_itself(tmp_path: Path) -> None:
    old = write_specs(tmp_path / "old")
    assert run(old, old).stdout == f"{old} and {old} say the same\nversion: none (while it is 0.x: none)\n"
    assert json.loads(run(old, old, "--format", "json").stdout)["changes"] == []
    assert run(old, old, "--format", "markdown").stdout.count("|") == 0


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A change of each level, and some that Markdown could take for its own."""
    monkeypatch.chdir(tmp_path)
    after = BASE.replace("[5, 10], default: 5", "[5, 15], default: 15").replace("maxItems: 3", "maxItems: 4")
    write_specs(Path("old"))
    write_specs(Path("new"), after.replace("What to show.", "With `a|b` and @Element1."))
    return tmp_path


MARKDOWN = """\
### Specs: `old` to `new`

Version: **major** (while it is 0.x: **minor**)

#### Breaking: 1

| model | where | change | effect |
|---|---|---|---|
| demo | `duration` | `enum 5, 10 -> 5, 15` | calls with 10 are refused |

#### Warning: 1

| model | where | change | effect |
|---|---|---|---|
| demo | `duration` | `default 5 -> 15` | calls that do not set it may have another result |

#### Additive: 1

| model | where | change | effect |
|---|---|---|---|
| demo | `views` | `maxItems 3 -> 4` | longer lists are accepted |

#### Documentation: 1

| model | where | change | effect |
|---|---|---|---|
| demo | `prompt` | `` description "What to show." -> "With `a\\|b` and @Element1." `` | calls and results stay the same |
"""


@pytest.mark.usefixtures("two")
def test_markdown() -> None:
    result = run("old", "new", "--format", "markdown")
    assert (result.exit_code, result.stdout) == (1, MARKDOWN)


@pytest.mark.usefixtures("two")
def test_json() -> None:
    result = run("old", "new", "--format", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "old": "old",
        "new": "new",
        "version": "major",
        "version_0x": "minor",
        "changes": [
            {"level": "breaking", "model": "demo", "path": "duration", "aspect": "enum", "before": [5, 10], "after": [5, 15], "effect": "calls with 10 are refused"},
            {"level": "warning", "model": "demo", "path": "duration", "aspect": "default", "before": 5, "after": 15, "effect": "calls that do not set it may have another result"},
            {"level": "additive", "model": "demo", "path": "views", "aspect": "maxItems", "before": 3, "after": 4, "effect": "longer lists are accepted"},
            {"level": "documentation", "model": "demo", "path": "prompt", "aspect": "description", "before": "What to show.", "after": "With `a|b` and @Element1.", "effect": "calls and results stay the same"},
        ],
    }  # fmt: skip


def test_absent_side_is_left_out_of_json(tmp_path: Path) -> None:
    new = write_specs(tmp_path / "new", BASE.replace("    class: {type: string}\n", ""))
    [change] = json.loads(run(write_specs(tmp_path / "old"), new, "--format", "json").stdout)["changes"]
    assert "after" not in change
    assert change["before"] == "string"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three commits: the base, tagged v0.1.0; a value dropped; a spec that does not load. In catalogue/specs."""
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    git("init", "--quiet", "--initial-branch=main")
    git("config", "user.name", "Test")
    git("config", "user.email", "test@example.com")
    for text in (BASE, BASE.replace("[5, 10]", "[5]"), BASE.replace("[5, 10]", "[6]")):
        write_specs(tmp_path / "catalogue" / "specs", text)
        git("add", ".")
        git("commit", "--quiet", "--message", "specs")
    git("tag", "v0.1.0", "HEAD~2")
    return tmp_path


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True)


DROPPED = "breaking: demo duration: enum 5, 10 -> 5 (calls with 10 are refused)"
VERSION = "version: major (while it is 0.x: minor)"


def test_revisions(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("v0.1.0", "HEAD~1", "--specs", "catalogue/specs")
    assert (result.exit_code, result.stdout.splitlines(), result.stderr) == (1, [DROPPED, VERSION], "")
    assert run("v0.1.0", "HEAD~2", "--specs", "catalogue/specs").exit_code == 0
    # From within the repository, the default is that of the working folder.
    monkeypatch.chdir(repository / "catalogue")
    assert run("v0.1.0", "HEAD~1").stdout.splitlines() == [DROPPED, VERSION]
    write_specs(Path("specs"), BASE.replace("[5, 10]", "[5]"))
    assert run("v0.1.0", "specs").stdout.splitlines() == [DROPPED, VERSION]


def test_specs_that_do_not_load(repository: Path) -> None:
    broken = write_specs(repository / "broken", BASE.replace("[5, 10]", "[7]"))
    result = run("HEAD", broken, "--specs", "catalogue/specs")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "OLD cannot be compared:",
        "HEAD:catalogue/specs/demo.yaml:11:51: the default 5 is not allowed, at input.properties.duration.default; allowed: 6",
        "NEW cannot be compared:",
        f"{broken}/demo.yaml:11:51: the default 5 is not allowed, at input.properties.duration.default; allowed: 7",
    ]


def test_invalid_sides_are_refused(repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    result = run("v9", "HEAD")
    assert (result.exit_code, result.stderr.splitlines()) == (
        2,
        [
            "OLD cannot be compared:",
            "v9 is neither a folder nor a git revision",
            "NEW cannot be compared:",
            "HEAD has no folder specs",
        ],
    )
    (repository / "empty").mkdir()
    assert "this folder has no spec" in run("v0.1.0", "empty", "--specs", "catalogue/specs").stderr
    monkeypatch.chdir(tmp_path_factory.mktemp("no-repository"))
    assert "HEAD is neither a folder nor a git revision" in run("HEAD", "HEAD").stderr
