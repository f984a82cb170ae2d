"""The documentation that is generated, and what of the surroundings is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.codegen.conftest import Project

README = "# Mine\r\n\n<!-- models -->\nold\n<!-- /models -->\nkept | as it *is*"


@pytest.fixture
def written(project: Project) -> Project:
    project.spec("kling-2", "prompt: {type: string}", required="prompt")
    (project.folder / "README.md").write_bytes(README.encode())
    project.generate()
    return project


def test_only_the_table_of_a_readme_is_written(written: Project) -> None:
    text = (written.folder / "README.md").read_bytes().decode()
    assert text == (
        "# Mine\r\n\n<!-- models -->\n\n"
        "| slug | returns | usual time | needs | page |\n"
        "|---|---|---|---|---|\n"
        "| [`kling-2`](docs/models/kling-2.md) | video | 60 s | `prompt` | [Demo](https://example.com/demo) |\n"
        "\n<!-- /models -->\nkept | as it *is*"
    )


def test_a_readme_keeps_the_line_ends_of_windows(written: Project) -> None:
    readme = written.folder / "README.md"
    once = readme.read_bytes()
    text = b"# Mine\r\n\r\n<!-- models -->\r\nold\r\n<!-- /models -->\r\nkept\r\n"
    readme.write_bytes(text)
    written.generate()
    table = once.partition(b"<!-- models -->\n")[2].partition(b"<!-- /models -->")[0]
    assert b"| [`kling-2`]" in table
    assert readme.read_bytes() == text.replace(b"old\r\n", table.replace(b"\n", b"\r\n"))
    assert written.run("check").exit_code == 0


def test_check_finds_a_table_and_a_page_that_are_not_current(written: Project) -> None:
    readme = written.folder / "README.md"
    readme.write_bytes(readme.read_bytes().replace(b"60 s", b"61 s"))
    page = written.folder / "docs" / "models" / "kling-2.md"
    page.write_text(page.read_text("utf-8") + "\nBy hand.\n", "utf-8")
    (page.parent / "old.md").write_text("left over")
    differs = "differs from its spec (edited by hand, or a spec changed without `make generate`)"
    result = written.run("check")
    assert result.exit_code == 1
    assert [line for line in result.output.splitlines() if not line.startswith("    ")][:-1] == [
        f"README.md: {differs}",
        f"docs/models/kling-2.md: {differs}",
        "docs/models/old.md: no spec asks for this file",
    ]
    assert written.generate().splitlines() == [
        "wrote docs/models/kling-2.md",
        "wrote README.md",
        "removed docs/models/old.md",
        "wrote 2, removed 1, unchanged 8",
    ]
    assert written.run("check").exit_code == 0


def test_a_readme_without_marks_is_left_alone(written: Project) -> None:
    readme = written.folder / "README.md"
    readme.write_text("<!-- models --> no table")
    assert written.generate() == "wrote 0, removed 0, unchanged 9\n"
    assert readme.read_text() == "<!-- models --> no table"


def test_a_folder_of_documents_of_somebody_else_is_left_alone(project: Project) -> None:
    project.spec("kling-2", "prompt: {type: string}")
    folder = project.folder / "docs" / "models"
    folder.mkdir(parents=True)
    (folder / "mine.md").write_text("# Mine")
    result = project.run("generate")
    assert result.exit_code == 2
    assert "docs/models holds files that kling-codegen has not written" in result.stderr
    assert not project.models.exists()
    assert [path.name for path in folder.iterdir()] == ["mine.md"]


def test_the_core_needs_its_gateway(project: Project) -> None:
    project.spec("kling-2", "prompt: {type: string}")
    (project.specs / "gateway.yaml").unlink()
    assert project.errors() == ["specs/gateway.yaml:1:1: cannot be read: No such file or directory"]


@pytest.mark.parametrize("out", ["my-models", "class", "9"])
def test_a_package_of_its_own_needs_a_name(project: Project, out: str) -> None:
    project.spec("acme-1", "prompt: {type: string}")
    (project.specs / "gateway.yaml").unlink()
    result = project.run("generate", "--out", out)
    assert result.exit_code == 2
    assert f"--out {out}: {out} is no name of a Python package" in result.stderr
