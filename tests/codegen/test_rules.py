"""The rules of a group, from the spec to what the adapter says and `kling show` prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.codegen.conftest import Project


@pytest.fixture
def grouped(project: Project) -> Project:
    project.spec(
        "grouped",
        """
        image: {type: [string, "null"], format: uri}
        video: {type: string, format: uri}
        words: {type: string, default: none}
        mode: {type: string, enum: [std, pro], default: std}
        """,
        rest="""\
            rules:
              - at_least_one_of: [image, video, words]
              - mutually_exclusive: [image, video, mode]
        """,
    )
    project.generate()
    return project


URL = "https://example.com/a"
NONE = "image: none of image, video, words is set; allowed: at least one of image, video, words"
CASES: list[tuple[dict[str, object], list[str]]] = [
    ({"image": URL}, []),
    ({"words": "x"}, []),
    ({"words": "none", "mode": "std"}, []),
    ({"video": URL, "words": "x"}, []),
    ({"image": None, "video": URL}, []),
    ({}, [NONE]),
    ({"image": None}, [NONE]),
    ({"mode": "pro"}, [NONE]),
    (
        {"image": URL, "video": URL, "mode": "std"},
        [
            "video: cannot be combined with image; allowed: only one of image, video, mode",
            "mode: cannot be combined with image; allowed: only one of image, video, mode",
        ],
    ),
]


def test_the_adapter_says_what_is_allowed_and_a_default_is_not_given(grouped: Project) -> None:
    printed = grouped.use(f"""
        import json
        from kling_adapters.errors import ParamsInvalid
        from kling_adapters.models import Grouped
        for given in {[given for given, _ in CASES]!r}:
            try:
                Grouped(**given)
                print("[]")
            except ParamsInvalid as error:
                print(json.dumps([str(problem) for problem in error.problems]))
    """)
    assert [json.loads(line) for line in printed.splitlines()] == [said for _, said in CASES]


def test_show_and_the_module_have_the_rules(grouped: Project) -> None:
    text = (grouped.models / "grouped.py").read_text(encoding="utf-8")
    assert 'AtLeastOneOf("image", "video", "words"),' in text
    assert 'MutuallyExclusive("image", "video", "mode"),' in text
    shown = grouped.use("""
        import sys
        from kling_adapters.cli import main
        sys.argv = ["kling", "show", "grouped"]
        main()
    """)
    assert "  at least one of image, video, words is needed\n" in shown
    assert "  only one of image, video, mode can be given" in shown


def test_a_default_is_not_given_for_requires_either(project: Project) -> None:
    project.spec(
        "needy",
        "a: {type: string, default: x}\nb: {type: string, default: y}",
        rest="rules: [{requires: {field: a, present: [b]}}]",
    )
    project.generate()
    printed = project.use("""
        from kling_adapters.errors import ParamsInvalid
        from kling_adapters.models import Needy
        print(Needy().wire(), Needy(a="x", b="y").wire())
        try:
            Needy(a="x")
        except ParamsInvalid as error:
            print(error.problems[0])
    """)
    assert printed.splitlines() == ["{} {'a': 'x', 'b': 'y'}", "a: requires b, which is not set"]


def test_a_price_line_is_in_the_packaged_schema(project: Project) -> None:
    rest = "pricing: {currency: USD, from: 0.504, to: 8.40, unit: generation}"
    project.spec("dear", "p: {type: string}", rest=rest)
    project.generate()
    schema = json.loads((project.models / "schemas" / "dear.json").read_text(encoding="utf-8"))
    assert schema["x-kling"]["pricing"] == {"currency": "USD", "from": 0.504, "to": 8.4, "unit": "generation"}
