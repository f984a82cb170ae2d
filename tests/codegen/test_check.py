"""`kling-codegen check` lists every file that differs from the specs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.codegen.conftest import Project

REPAIR = "To repair: make the change in the specs, then run `kling-codegen generate`."


@pytest.fixture
def clean(project: Project) -> Project:
    project.spec("kling-2", "prompt: {type: string}\nduration: {type: integer, enum: [5, 10]}")
    project.spec("kling-3", "prompt: {type: string}")
    project.generate()
    return project


def findings(project: Project) -> list[str]:
    result = project.run("check")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[-1] == REPAIR
    return [line for line in lines[:-1] if not line.startswith("    ")]


def changed(name: str) -> str:
    return f"{name}: differs from its spec (edited by hand, or a spec changed without `make generate`)"


def test_clean_tree_has_no_output(clean: Project) -> None:
    (clean.models / "__pycache__").mkdir()
    (clean.models / "__pycache__" / "kling_2.cpython-311.pyc").write_bytes(b"")
    result = clean.run("check")
    assert (result.exit_code, result.output) == (0, "")


def test_hand_edit(clean: Project) -> None:
    path = clean.models / "kling_2.py"
    path.write_text(path.read_text(encoding="utf-8").replace("[5, 10]", "[5, 10, 15]", 1), encoding="utf-8")
    assert findings(clean) == [changed("kling_adapters/models/kling_2.py")]
    output = clean.run("check").output
    assert "    -    duration: IntOrStr[Literal[5, 10, 15]] | MISSING = MISSING" in output
    assert "    +    duration: IntOrStr[Literal[5, 10]] | MISSING = MISSING" in output


def test_trailing_space_counts(clean: Project) -> None:
    path = clean.models / "schemas" / "kling-3.json"
    path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert findings(clean) == [changed("kling_adapters/models/schemas/kling-3.json")]


def test_other_line_ends_count(clean: Project) -> None:
    path = clean.models / "kling_3.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert findings(clean) == [changed("kling_adapters/models/kling_3.py")]


def test_extra_files(clean: Project) -> None:
    (clean.models / "mine.py").write_text("x = 1\n")
    (clean.models / "schemas" / "more").mkdir()
    (clean.models / "schemas" / "more" / "note.txt").write_text("hello")
    assert findings(clean) == [
        "kling_adapters/models/mine.py: no spec asks for this file",
        "kling_adapters/models/schemas/more/note.txt: no spec asks for this file",
    ]


@pytest.mark.parametrize("name", ["__init__.py", "_gateway.py", "kling_2.py", "schemas/kling-2.json"])
def test_missing_file(clean: Project, name: str) -> None:
    (clean.models / name).unlink()
    assert findings(clean) == [f"kling_adapters/models/{name}: missing"]
    clean.generate()
    assert clean.run("check").exit_code == 0


def test_spec_changed_without_generate(clean: Project) -> None:
    clean.spec("kling-2", "prompt: {type: string, maxLength: 9}")
    assert findings(clean) == [
        changed("docs/models/kling-2.md"),
        changed("kling_adapters/models/kling_2.py"),
        changed("kling_adapters/models/schemas/kling-2.json"),
    ]


def test_spec_added_and_removed_without_generate(clean: Project) -> None:
    (clean.specs / "kling-3.yaml").unlink()
    clean.spec("kling-4", "prompt: {type: string}")
    assert findings(clean) == [
        "docs/models/kling-3.md: no spec asks for this file",
        "docs/models/kling-4.md: missing",
        changed("kling_adapters/client/_calls.pyi"),
        changed("kling_adapters/models/__init__.py"),
        "kling_adapters/models/kling_3.py: no spec asks for this file",
        "kling_adapters/models/kling_4.py: missing",
        "kling_adapters/models/schemas/kling-3.json: no spec asks for this file",
        "kling_adapters/models/schemas/kling-4.json: missing",
    ]


def test_gateway_changed_without_generate(clean: Project) -> None:
    path = clean.specs / "gateway.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("3600", "7200"), encoding="utf-8")
    assert findings(clean) == [changed("kling_adapters/models/_gateway.py")]


def test_schema_for_editors_is_compared_too(clean: Project) -> None:
    (clean.specs / "schema" / "spec.schema.json").write_text("{}")
    assert findings(clean) == [changed("specs/schema/spec.schema.json")]


def test_check_writes_nothing_and_broken_specs_are_errors(clean: Project) -> None:
    before = clean.tree()
    clean.spec("kling-2", "prompt: {type: text}")
    assert clean.run("check").exit_code == 2
    assert clean.run("generate").exit_code == 2
    assert clean.tree() == before
