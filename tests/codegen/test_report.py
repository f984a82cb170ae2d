"""Problems for people, for programs and as annotations on GitHub; parameters that are words of Python."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.codegen.conftest import Project

MESSAGE = "unknown key minLenght, at input.properties.p.minLenght; allowed: format, media, enum, default, minLength, maxLength, or, description, renamed_from, deprecated; did you mean minLength?"


@pytest.fixture
def wrong(project: Project) -> Project:
    project.spec("a,b", "p: {type: string, minLenght: 3}")
    return project


@pytest.mark.parametrize("command", ["generate", "check", "lint"])
def test_spec_that_is_wrong(wrong: Project, command: str) -> None:
    (wrong.specs / "a,b.yaml").rename(wrong.specs / "kling-2.yaml")
    path = wrong.specs / "kling-2.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("a,b", "kling-2"), encoding="utf-8")
    text = wrong.run(command)
    assert (text.exit_code, text.stdout, text.stderr) == (2, "", f"specs/kling-2.yaml:10:23: {MESSAGE}\n")
    annotation = wrong.run(f"{command} --format github")
    assert (annotation.exit_code, annotation.stderr) == (2, "")
    assert annotation.stdout == (
        f"::error file=specs/kling-2.yaml,line=10,col=23,title=kling-codegen::{MESSAGE}\n"
    )
    as_json = wrong.run(f"{command} --format json")
    assert (as_json.exit_code, as_json.stderr) == (2, "")
    assert json.loads(as_json.stdout) == {
        "problems": [
            {
                "file": "specs/kling-2.yaml",
                "line": 10,
                "column": 23,
                "text": "unknown key minLenght",
                "where": "input.properties.p.minLenght",
                "allowed": "format, media, enum, default, minLength, maxLength, or, description, renamed_from, deprecated",
                "suggestion": "minLength",
                "level": "error",
                "rule": "",
            }
        ]
    }


def test_annotations_are_escaped(wrong: Project) -> None:
    wrong.write("c.yaml", 'slug: "100%\\n::"\n')
    lines = wrong.run("generate --format github").stdout.splitlines()
    assert all(line.startswith("::error file=specs/") for line in lines)
    assert lines[0].startswith("::error file=specs/a%2Cb.yaml,line=1,col=7,")
    assert any(r'"100%25\n::" is not allowed' in line for line in lines)


def test_generate_and_check_in_json(project: Project) -> None:
    project.spec("kling-2", "p: {type: string}")
    report = json.loads(project.run("generate --format json").stdout)
    assert report["problems"] == report["removed"] == []
    assert "kling_adapters/models/kling_2.py" in report["written"]
    assert project.run("check --format json").exit_code == 0
    (project.models / "kling_2.py").unlink()
    result = project.run("check --format json")
    [problem] = json.loads(result.stdout)["problems"]
    assert (result.exit_code, problem["file"], problem["text"]) == (
        1,
        "kling_adapters/models/kling_2.py",
        "missing",
    )
    assert project.run("check --format github").stdout == (
        "::error file=kling_adapters/models/kling_2.py,line=1,col=1,title=kling-codegen::missing\n"
    )


def test_parameters_called_class_and_self_work(project: Project) -> None:
    project.spec(
        "odd",
        """
        class: {type: string}
        self: {type: string}
        cls: {type: string}
        model: {type: string}
        part: {type: object, properties: {self: {type: string}}}
        """,
        required="self",
    )
    project.generate()
    printed = project.use("""
        import json
        import httpx
        from kling_adapters import Kling
        from kling_adapters.models import Odd

        def answer(request):
            return httpx.Response(200, json={"request_id": "id", "sent": bodies.append(json.loads(request.content))})

        bodies = []
        params = {"self": "a", "class": "b", "cls": "c", "model": "d", "part": {"self": "e"}}
        with Kling(api_key="SG_1", journal=None, transport=httpx.MockTransport(answer)) as kling:
            kling.submit("odd", **params)
        print(bodies == [Odd(**params).wire()] == [params])
        print(Odd(self_="a", class_="b").wire())
    """)
    assert printed.splitlines() == ["True", "{'class': 'b', 'self': 'a'}"]
