"""`kling-codegen lint`: what is legal in a spec, but wrong or odd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from click.testing import CliRunner
from kling_codegen.cli import main
from kling_codegen.language import LintRule
from kling_codegen.lint.command import LEVELS

import kling_adapters

if TYPE_CHECKING:
    from tests.codegen.conftest import Project

SPECS = Path(kling_adapters.__file__).parent.parent / "specs"
GOOD = "p: {type: string, description: What to show.}\n"
EXAMPLE = "examples: [{name: one, input: {p: x}}]\n"


def lint_spec(project: Project, properties: str, rest: str = EXAMPLE, *, required: str = "") -> list[str]:
    """Return the findings about a spec, without the file, which has a real page."""
    path = project.spec("demo", properties, rest=rest, required=required)
    text = path.read_text(encoding="utf-8").replace("example.com/demo", "models.example/demo")
    path.write_text(text, encoding="utf-8")
    result = project.run("lint")
    assert result.stdout == ""
    lines = [line.removeprefix("specs/demo.yaml:") for line in result.stderr.splitlines()]
    loud = any(": note: " not in line for line in lines)
    assert result.exit_code == int(loud), result.output
    return lines


def test_specs_of_this_repository_are_clean() -> None:
    result = CliRunner().invoke(main, ["lint", "--specs", str(SPECS)])
    assert (result.exit_code, result.output) == (0, "")


def test_every_rule_has_a_level() -> None:
    assert set(LEVELS) == set(get_args(LintRule))


# (what stands for `p`; what is said of it: line 10)
PARAMETERS: list[tuple[str, str]] = [
    ("{type: string}", "8: warning: the description is missing, at input.properties.p [no-description]"),
    (
        "{type: string, description: The p.}",
        "36: warning: the description only repeats the name, at input.properties.p.description [no-description]",
    ),
    (
        "{type: string, format: uri, default: https://e.com/a, description: URL of a cat.}",
        "45: error: the default is a URL: a sample of the page, not what the gateway uses for an unset parameter, at input.properties.p.default [sample-default]",
    ),
    (
        '{type: [string, "null"], description: What to show.}',
        "15: warning: null is allowed, and no discrepancy says why; no page lists null as a type, at input.properties.p.type [unexplained]",
    ),
    (
        '{type: string, default: "5", description: Length in seconds.}',
        "32: warning: a number in a text, and no discrepancy says why, at input.properties.p.default [unexplained]",
    ),
    (
        "{type: string, description: URL of a cat.}",
        "15: warning: the description mentions a URL, but the format is missing, at input.properties.p.type; did you mean format: uri? [unexplained]",
    ),
    (
        "{type: string, description: What to show; this is required.}",
        "36: warning: it is optional, and the description says required, at input.properties.p.description [unexplained]",
    ),
    (
        "{type: string, description: TODO}",
        "36: error: TODO stands for something that is not written yet, at input.properties.p.description [placeholder]",
    ),
    (
        "{type: string, minLength: 0, description: What to show.}",
        "34: note: minLength 0 has no effect, at input.properties.p.minLength [odd-form]",
    ),
    (
        "{type: object, required: [], description: A part., properties: {q: {type: string, description: What to show.}}}",
        "33: note: an empty list has no effect, at input.properties.p.required [odd-form]",
    ),
    (
        "{type: boolean, enum: [true, false], description: Whether it rains.}",
        "30: note: a boolean has two values anyway, at input.properties.p.enum [odd-form]",
    ),
    (
        "{type: string, description: What @Image1 shows.}",
        "36: warning: the description names items as @Image1, but no rule references has that token, at input.properties.p.description [rule-in-prose]",
    ),
]


@pytest.mark.parametrize(("parameter", "finding"), PARAMETERS, ids=[parameter for parameter, _ in PARAMETERS])
def test_parameter(project: Project, parameter: str, finding: str) -> None:
    values = {"uri": "https://e.com/a", "object": "{q: x}", "boolean": "true"}
    value = next((value for word, value in values.items() if word in parameter), "x")
    assert lint_spec(project, f"p: {parameter}", EXAMPLE.replace("p: x", f"p: {value}")) == [f"10:{finding}"]


# (type and so on; description; the limit that is found; where it should be)
LIMITS: list[tuple[str, str, str, str]] = [
    ("type: array, items: {type: string}", "Elements. Max 3", "Max 3", "maxItems: 3"),
    ("type: array, items: {type: string}", "Up to three views.", "Up to three views", "maxItems: 3"),
    (
        "type: array, items: {type: string}",
        "Names of at most 9 letters.",
        "at most 9 letters",
        "maxLength: 9",
    ),
    ("type: array, maxItems: 2, items: {type: string}", "Max 3 views.", "Max 3 views", "maxItems: 3"),
    ("type: string", "Text of up to 512 characters.", "up to 512 characters", "maxLength: 512"),
    ("type: string", "At least 1,000 characters.", "At least 1,000 characters", "minLength: 1000"),
    ("type: string, format: uri", "URL, at most 50 MB.", "at most 50 MB", "the rule max_bytes"),
    ("type: number, maximum: 1", "Between 0 and 1.", "Between 0 and 1", "minimum: 0"),
    ("type: number, minimum: 0", "Range: 0 - 1", "Range: 0 - 1", "maximum: 1"),
    ("type: string", "Up to 2,500,000 characters.", "Up to 2,500,000 characters", "maxLength: 2500000"),
    (
        "type: boolean",
        "Whether up to 3 views are mixed.",
        "up to 3 views",
        "a silence with the reason, as no keyword can express it",
    ),
    ("type: integer, enum: [5, 10]", "Up to 15 seconds.", "Up to 15 seconds", "enum"),
    (
        "type: string, format: uri",
        "URL of a video of up to 10 seconds.",
        "up to 10 seconds",
        "a silence with the reason, as no keyword can express it",
    ),
]


@pytest.mark.parametrize(("schema", "about", "limit", "suggestion"), LIMITS, ids=[row[1] for row in LIMITS])
def test_limit_in_prose(project: Project, schema: str, about: str, limit: str, suggestion: str) -> None:
    lines = lint_spec(
        project, f'q: {{type: string, description: x y}}\np: {{{schema}, description: "{about}"}}', ""
    )
    [line] = [line for line in lines if "[limit-in-prose]" in line]
    assert line.split(": ", 2)[2] == (
        f'the description states a limit, "{limit}", that the spec does not have, at input.properties.p.description; '
        f"did you mean {suggestion}? [limit-in-prose]"
    )


@pytest.mark.parametrize(
    "parameter",
    [
        "{type: array, maxItems: 3, items: {type: string}, description: Max 3 views.}",
        "{type: number, minimum: 0, maximum: 1, description: Between 0 and 1; 0.5 is neutral.}",
        "{type: integer, enum: [5, 10], description: From 5 to 10 seconds.}",
        '{type: string, enum: ["3", "15"], description: Up to 15 seconds.}',
        "{type: string, enum: [1K, 4K], description: Up to 4K.}",
        "{type: string, maxLength: 512, description: Max. 512 characters.}",
        "{type: string, description: 1280x720 suits 16:9 best.}",
        "{type: array, items: {type: string}, description: Up to sixteen views.}",
    ],
)
def test_no_finding_where_the_schema_has_the_limit(project: Project, parameter: str) -> None:
    lines = lint_spec(project, f"p: {parameter}", "")
    assert lines == ["1:1: warning: an example is missing [no-example]"]


def test_default_with_several_samples_is_one_finding(project: Project) -> None:
    urls = (
        "p: {type: array, items: {type: string}, default: [http://a.b, http://c.d], description: Some cats.}"
    )
    [line] = lint_spec(project, urls, EXAMPLE.replace("p: x", "p: []"))
    assert "[sample-default]" in line


def test_sample_as_the_default_of_a_prompt(project: Project) -> None:
    prompts = "prompt: {type: string, default: A cat., description: What to show.}"
    [line] = lint_spec(project, prompts, EXAMPLE.replace("p: x", "prompt: x"))
    assert line == (
        "10:37: error: the default of a prompt is a sample of the page, at input.properties.prompt.default [sample-default]"
    )


def test_required_parameter_described_as_optional(project: Project) -> None:
    [line] = lint_spec(project, "p: {type: string, description: Optional text.}", required="p")
    assert line == (
        "10:36: warning: it is required, and the description says optional, at input.properties.p.description [unexplained]"
    )


def test_rule_of_a_parameter_that_needs_itself(project: Project) -> None:
    rule = "rules: [{requires: {field: p, present: [p]}}]\n"
    assert lint_spec(project, GOOD, rule + EXAMPLE) == [
        "11:41: note: p needs itself, at rules[0].requires.present[0] [odd-form]"
    ]


def test_parameter_that_no_example_uses(project: Project) -> None:
    assert lint_spec(project, GOOD + "q: {type: string, description: What to hear.}") == [
        "11:8: warning: no example uses q, at input.properties.q [no-example]"
    ]


def test_limit_on_bytes_is_in_a_rule(project: Project) -> None:
    properties = "p: {type: string, format: uri, description: URL of at most 50 MB.}"
    for size in (50_000_000, 52_428_800):
        rest = f"rules: [{{max_bytes: {{field: p, bytes: {size}}}}}]\n" + EXAMPLE.replace(
            "p: x", "p: https://e.com/a"
        )
        assert lint_spec(project, properties, rest) == []


def test_limit_under_a_condition_is_in_a_rule(project: Project) -> None:
    properties = "p: {type: string, enum: [a, b], description: What it is.}\nq: {type: integer, description: At most 5 if p is a.}"
    example = EXAMPLE.replace("p: x", "p: a, q: 5")
    assert "limit-in-prose" in lint_spec(project, properties, example)[0]
    rule = "rules: [{when: {equals: {p: a}, then: {maximum: {q: 5}}}}]\n"
    assert lint_spec(project, properties, rule + example) == []


def test_condition_in_prose(project: Project) -> None:
    properties = (
        GOOD
        + "tail_url: {type: string, description: The end; needs start_url.}\nstart_url: {type: string, description: Where it starts.}"
    )
    example = "examples: [{name: one, input: {p: x, tail_url: a, start_url: b}}]\n"
    assert lint_spec(project, properties, example) == [
        "11:43: warning: the description states a condition with start_url that no rule has, at input.properties.tail_url.description [rule-in-prose]"
    ]
    assert (
        lint_spec(
            project, properties, example + "rules: [{requires: {field: tail_url, present: [start_url]}}]"
        )
        == []
    )


def test_spec_as_a_whole(project: Project) -> None:
    path = project.spec(
        "demo",
        GOOD + "q: {type: array, default: [], description: Some words., items: {type: string}}",
        required="p",
        rest="""\
            rules:
              - requires: {field: q, present: [p]}
              - requires: {field: q, present: [p]}
            discrepancies:
              - {about: "p, r", page: it says a, decision: it says a}
            examples: []
        """,
    )
    path.write_text(path.read_text(encoding="utf-8").replace("demo.txt", "unknown"), encoding="utf-8")
    result = project.run("lint")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"specs/demo.yaml:{line}"
        for line in [
            "1:1: warning: an example is missing [no-example]",
            "6:16: error: example.com is not the page of a model, at source.page [no-source]",
            '6:52: error: "unknown" is not a stored copy of a page, at source.document [no-source]',
            "13:36: note: p is required, so it is always set, at rules[0].requires.present[0] [odd-form]",
            "14:5: note: this rule is listed twice, at rules[1] [odd-form]",
            "14:36: note: p is required, so it is always set, at rules[1].requires.present[0] [odd-form]",
            "16:13: warning: r is not a parameter of this model, at discrepancies[0].about [unknown-about]",
            "16:48: note: the decision is the same as the page, at discrepancies[0].decision [odd-form]",
            "17:11: note: an empty list has no effect, at examples [odd-form]",
        ]
    ]


def test_discrepancy_explains(project: Project) -> None:
    rest = "discrepancies: [{about: p, page: its default is null, decision: null is taken}]\n" + EXAMPLE
    assert lint_spec(project, 'p: {type: [string, "null"], description: What to show.}', rest) == []


def test_silences_hide_findings_and_unused_ones_are_reported(project: Project) -> None:
    silences = """\
        lint:
          - {silence: no-description, about: p.q, reason: the page has none}
          - {silence: no-description, about: p, reason: it had none}
          - {silence: no-example, reason: the page has none}
    """
    properties = "p: {type: object, description: A part., properties: {q: {type: string}}}"
    assert lint_spec(project, properties, silences) == [
        "13:5: warning: nothing is silenced here: no-description finds nothing about this, at lint[1] [unused-silence]"
    ]


@pytest.mark.parametrize(("about", "properties"), [
    ("p", "p: {type: string, description: TODO}"),
    ("p.q", "p: {type: array, description: A part., items: {type: object, properties: {q: {type: string, description: TODO}}}}"),
    ("properties", "properties: {type: string, description: TODO}\np: {type: string, description: What to show.}"),
])  # fmt: skip
def test_placeholder_is_about_the_parameter_it_is_in(project: Project, about: str, properties: str) -> None:
    silences = f"""\
        lint:
          - {{silence: placeholder, about: {about}, reason: the gateway knows it by this word}}
          - {{silence: no-example, reason: the page has none}}
    """
    assert lint_spec(project, properties, silences) == []
    [line] = lint_spec(project, properties, silences.replace(f"about: {about}, ", ""))[:-1]
    assert line.endswith("[placeholder]")


def test_notes_do_not_fail_and_have_a_level_in_all_forms(project: Project) -> None:
    assert len(lint_spec(project, "p: {type: string, minLength: 0, description: What to show.}")) == 1
    assert project.run("lint --format github").stdout == (
        "::notice file=specs/demo.yaml,line=10,col=34,title=kling-codegen::"
        "note: minLength 0 has no effect, at input.properties.p.minLength [odd-form]\n"
    )
    [problem] = json.loads(project.run("lint --format json").stdout)["problems"]
    assert (problem["level"], problem["rule"]) == ("note", "odd-form")
