"""Rules, from the spec to the errors of the adapter and the output of `kling show`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from kling_codegen.diff.models import compare_specs
from kling_codegen.load.folder import load_specs
from kling_codegen.rules.rule import KINDS
from kling_sandbox.validation import Validator

from tests.properties.prose_rules import broken_rules

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


def test_default_does_not_count_as_set_in_groups(grouped: Project) -> None:
    printed = grouped.use(f"""
        import json
        from kling_adapters.errors import ParamsInvalid
        from kling_adapters.models import Grouped
        for parameters in {[parameters for parameters, _ in CASES]!r}:
            try:
                Grouped(**parameters)
                print("[]")
            except ParamsInvalid as error:
                print(json.dumps([str(problem) for problem in error.problems]))
    """)
    assert [json.loads(line) for line in printed.splitlines()] == [problems for _, problems in CASES]


def test_show_and_module_have_the_rules(grouped: Project) -> None:
    text = (grouped.models / "grouped.py").read_text(encoding="utf-8")
    assert 'AtLeastOneOf("image", "video", "words"),' in text
    assert 'MutuallyExclusive("image", "video", "mode"),' in text
    shown = grouped.use("""
        import sys
        from kling_adapters.cli import main
        sys.argv = ["kling", "show", "grouped"]
        main()
    """)
    assert "  At least one of image, video, words must be set.\n" in shown
    assert "  At most one of image, video, mode can be set." in shown


def test_default_does_not_count_as_set_for_requires(project: Project) -> None:
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


def test_packaged_schema_has_the_price(project: Project) -> None:
    rest = "pricing: {currency: USD, from: 0.504, to: 8.40, unit: generation}"
    project.spec("dear", "p: {type: string}", rest=rest)
    project.generate()
    schema = json.loads((project.models / "schemas" / "dear.json").read_text(encoding="utf-8"))
    assert schema["x-kling"]["pricing"] == {"currency": "USD", "from": 0.504, "to": 8.4, "unit": "generation"}


# The model of the examples in specs/README.md.
SAMPLE = """
    shots: {type: array, items: {type: object, properties: {duration: {type: integer}}}}
    duration: {type: integer, enum: [5, 10]}
    prompt: {type: string}
    mode: {type: string, enum: [std, pro], default: std}
    image_url: {type: string, format: uri}
    tail_image_url: {type: string, format: uri}
    video_url: {type: string, format: uri}
    image_urls: {type: array, items: {type: string, format: uri}}
"""


@pytest.mark.parametrize("key", KINDS)
def test_kind_of_rule_is_known_everywhere(project: Project, key: str) -> None:
    project.spec("sample", SAMPLE)
    without = load_specs(project.specs)
    project.spec("sample", SAMPLE, rest=f"rules: [{{{key}: {KINDS[key].example}}}]\n")
    project.generate()
    name = project.use(
        "from kling_adapters.models import Sample; print(type(Sample.adapter.rules[0]).__name__)"
    )
    assert name == KINDS[key].__name__
    schema = json.loads((project.models / "schemas" / "sample.json").read_text("utf-8"))
    [rule] = schema["x-kling"]["rules"]
    assert list(rule) == [key, "text"]
    assert f"- {rule['text']}" in (project.folder / "docs" / "models" / "sample.md").read_text("utf-8")
    [change, *_] = compare_specs(without, load_specs(project.specs))
    assert change.level == "breaking"
    Validator(schema)  # of the sandbox, which refuses an unknown kind
    broken_rules(schema, {})  # the oracle, which does so, too
