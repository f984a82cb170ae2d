"""Many specs: what has not changed is not compiled again, and nothing but the specs decides about the output."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kling_codegen
import pytest
from datamodel_code_generator import generate as real
from kling_codegen.language import Spec
from kling_codegen.load.folder import load_specs
from kling_codegen.rules.rule import KINDS
from kling_codegen.schema import Schema

if TYPE_CHECKING:
    from tests.codegen.conftest import Project

ROOT = Path(__file__).parents[2]


def synthetic(project: Project, count: int) -> None:
    script = ROOT / "benchmarks" / "synthetic.py"
    subprocess.run([sys.executable, script, str(count), project.specs], check=True)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The class names of the specs that were compiled."""
    names: list[str] = []

    def generate(*arguments: Any, **options: Any) -> Any:
        names.append(options["class_name"])
        return real(*arguments, **options)

    monkeypatch.setattr("kling_codegen.field_types.generate", generate)
    return names


@pytest.fixture
def three(project: Project) -> Project:
    for slug in ("one", "two", "three"):
        project.spec(slug, "prompt: {type: string}")
    return project


def test_spec_is_compiled_when_it_is_new_or_changed(three: Project, compiled: list[str], cache: Path) -> None:
    three.generate()
    assert sorted(compiled) == ["One", "Three", "Two"]
    compiled.clear()
    three.generate()
    assert compiled == []
    three.spec("two", "prompt: {type: string, maxLength: 5}")
    (three.specs / "one.yaml").unlink()
    assert "wrote kling_adapters/models/two.py" in three.generate()
    assert compiled == ["Two"]
    before = three.tree()
    shutil.rmtree(cache)
    three.generate()
    assert three.tree() == before


def test_check_compiles_every_spec_and_keeps_nothing(
    three: Project, compiled: list[str], cache: Path
) -> None:
    three.generate()
    compiled.clear()
    before = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert three.run("check").exit_code == 0
    assert sorted(compiled) == ["One", "Three", "Two"]
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == before


def test_going_back_to_another_branch_compiles_nothing(three: Project, compiled: list[str]) -> None:
    three.generate()
    main = three.tree()
    three.spec("two", "text: {type: string}")
    three.generate()
    compiled.clear()
    three.spec("two", "prompt: {type: string}")
    three.generate()
    assert (compiled, three.tree()) == ([], main)


def test_good_specs_are_kept_although_others_are_broken(three: Project, compiled: list[str]) -> None:
    three.generate()
    compiled.clear()
    three.spec("four", "prompt: {type: string}")
    for slug in ("five", "six"):
        three.spec(slug, "prompt: {type: text}")
    errors = three.errors()
    assert [error.partition(":")[0] for error in errors] == ["specs/five.yaml", "specs/six.yaml"]
    assert compiled == ["Four"]
    assert three.errors() == errors
    assert compiled == ["Four"]


def test_unchanged_spec_and_a_new_one_can_clash(three: Project) -> None:
    three.generate()
    (three.specs / "copy.yaml").write_bytes((three.specs / "two.yaml").read_bytes())
    for _ in range(2):
        errors = "\n".join(three.errors())
        assert "specs/copy.yaml:1:7: the slug two belongs into a file two.yaml" in errors
        assert "specs/two.yaml:1:7: the slug two is already that of specs/copy.yaml" in errors


@pytest.mark.parametrize("damage", [b"", b"{}", b"\x00" * 200, None])
def test_damaged_entry_is_compiled_again(three: Project, damage: bytes | None, cache: Path) -> None:
    three.generate()
    before = three.tree()
    for path in cache.iterdir():
        content = path.read_bytes()
        # None stands for the one change that leaves well-formed JSON of the right shape.
        path.write_bytes(content.replace(b"prompt", b"tromp") if damage is None else damage)
    assert three.run("check").exit_code == 0
    three.generate()
    assert three.tree() == before


def no_folder(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.write_text("in the way")


def a_link(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache.parent / "elsewhere").mkdir()
    cache.symlink_to("elsewhere")


def open_to_all(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir()
    cache.chmod(0o777)


def no_home(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What platformdirs gives where there is neither a variable nor an entry of the user.
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: Path("~/.cache/kling-codegen"))


def no_answer(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Path:
        raise RuntimeError("no home folder")

    monkeypatch.setattr("platformdirs.user_cache_path", fail)


@pytest.mark.parametrize("spoil", [no_folder, a_link, open_to_all, no_home, no_answer])
def test_unusable_cache_folder_is_not_used(
    three: Project, compiled: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch, spoil: Any
) -> None:
    spoil(cache, monkeypatch)
    for _ in range(2):
        three.generate()
    assert len(compiled) == 6
    assert not [path for path in cache.parent.rglob("*") if len(path.name) >= 64]
    assert not (three.folder / "~").exists()


def test_unused_entries_go_and_other_files_stay(three: Project, cache: Path) -> None:
    three.generate()
    (cache / "mine.txt").write_text("kept")
    old = time.time() - 40 * 24 * 3600
    for path in cache.iterdir():
        os.utime(path, (old, old))
    (three.specs / "one.yaml").unlink()
    before = len(list(cache.iterdir()))
    three.generate()
    # One spec is gone; its entry and that of the old index went, the new index came.
    assert len(list(cache.iterdir())) == before - 1
    assert (cache / "mine.txt").read_text() == "kept"


def test_another_compiler_compiles_again(three: Project) -> None:
    three.generate()
    copy = three.folder / "newer" / "kling_codegen"
    shutil.copytree(Path(kling_codegen.__file__).parent, copy)
    template = copy / "templates" / "module.py.jinja"
    template.write_text(template.read_text("utf-8").replace("edit the spec", "change the spec"), "utf-8")
    done = run(three, "check", PYTHONPATH=str(copy.parent))
    assert done.returncode == 1
    assert "models/two.py: differs" in done.stdout


def run(project: Project, command: str, cwd: Path | None = None, **environment: str) -> Any:
    where = ["--specs", str(project.specs), "--out", str(project.models)] if cwd else []
    return subprocess.run(
        [sys.executable, "-m", "kling_codegen.cli", command, *where],
        cwd=cwd or project.folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "0", "TZ": "Pacific/Kiritimati"},
        {"PYTHONHASHSEED": "1", "TZ": "America/Anchorage", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONHASHSEED": "4294967295", "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "COLUMNS": "20"},
    ],
)  # fmt: skip
def test_same_bytes_wherever_it_runs(
    project: Project, tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str], cache: Path
) -> None:
    synthetic(project, 12)
    project.generate()
    before = project.tree()
    shutil.rmtree(project.models)
    shutil.rmtree(cache)
    done = run(project, "generate", cwd=tmp_path_factory.mktemp("elsewhere"), **environment)
    assert done.returncode == 0, done.stderr
    assert project.tree() == before


@pytest.fixture
def in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a few specs were many."""
    monkeypatch.setattr("kling_codegen.build.PARALLEL", 5)
    monkeypatch.setattr("os.cpu_count", lambda: 2)


def test_concurrent_runs_equal_single_runs(
    project: Project, compiled: list[str], request: pytest.FixtureRequest, cache: Path
) -> None:
    synthetic(project, 20)
    project.generate()
    assert len(compiled) == 20
    alone = project.tree()
    shutil.rmtree(project.models)
    shutil.rmtree(cache)
    request.getfixturevalue("in_processes")
    project.generate()
    assert len(compiled) == 20, "they should have been compiled elsewhere"
    assert project.tree() == alone


@pytest.mark.usefixtures("in_processes")
def test_all_problems_of_many_specs_at_once(project: Project) -> None:
    synthetic(project, 12)
    paths = sorted(project.specs.glob("s*.yaml"))
    for path in paths[::3]:
        path.write_text(path.read_text("utf-8").replace("returns:", "return:"), "utf-8")
    for _ in range(2):
        broken = {error.partition(":")[0] for error in project.errors()}
        assert broken == {f"specs/{path.name}" for path in paths[::3]}


def test_new_model_changes_only_the_index_and_the_stub(three: Project) -> None:
    three.generate()
    before, stub = three.tree(), three.stub.read_text("utf-8")
    three.spec("four", "prompt: {type: string}")
    three.generate()
    after = three.tree()
    changed = {path for path in after if after[path] != before.get(path)}
    assert changed == {"__init__.py", "four.py", "schemas/four.json"}
    assert three.stub.read_text("utf-8") != stub


def test_synthetic_specs_use_the_whole_language(project: Project) -> None:
    synthetic(project, 150)
    specs = load_specs(project.specs).models
    schemas: list[Schema] = [spec.input.as_schema() for spec in specs]
    for schema in schemas:
        keywords = schema.keywords()
        schemas += [
            *keywords.get("properties", {}).values(),
            *([keywords["items"]] if "items" in keywords else []),
        ]
    assert set().union(*(spec.model_fields_set for spec in specs)) == Spec.model_fields.keys()
    keys = {field.alias or name for name, field in Schema.model_fields.items()}
    assert set().union(*(schema.keywords() for schema in schemas)) == keys
    kinds = {*KINDS}
    assert {name for spec in specs for rule in spec.rules for name in rule.model_fields_set} == kinds
    assert any(schema.nullable for schema in schemas)


def test_generated_code_is_strictly_typed() -> None:
    # `make types1000` does the same with 1,000.
    command = [sys.executable, "-m", "benchmarks.strict", "40"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
