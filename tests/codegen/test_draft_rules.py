"""Sentences of a page about several parameters become rules, or doubts with their line."""

from __future__ import annotations

import pytest
from kling_codegen.draft.compose import draft_spec
from kling_codegen.draft.notes import Note
from ruamel.yaml import YAML

from tests.codegen.model_pages import DAY

BASIN = """\
Brook Serverless API

POST /v2/brook · submit + poll
1payload = {{
2    "level": "high",
3    {sent}
4}}

API Endpoint

Parameters

levelrequired
string

How high it stands.

inlet_urloptional
string (uri)

{text}

Default: null
inlet_urlsoptional
string[]

Where all of it comes from.

moodoptional
string

How it moves.

Default: "calm"
Allowed values :
"calm""wild"
outlet_urloptional
string (uri)

Where it goes.

quietoptional
boolean

Whether it is heard.

Response Type

Returns: Video
"""
AT_MOST, AT_LEAST, EXACTLY = "mutually_exclusive", "at_least_one_of", "exactly_one_of"
INLETS = ["inlet_url", "inlet_urls"]


def draft_rules(text: str, sent: str = '"inlet_url": "",') -> tuple[list[dict[str, object]], list[Note]]:
    draft = draft_spec(BASIN.format(text=text, sent=sent), "PAGE.txt", DAY)
    spec = YAML(typ="safe", pure=True).load(draft.yaml)
    assert not [note for note in draft.notes if "does not load" in note.text]
    notes = [note for note in draft.notes if note.text.startswith(("taken to", "a condition", "a limit"))]
    assert {(note.line, note.about) for note in notes} <= {(21, "inlet_url")}
    return spec.get("rules", []), notes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Either inlet_url or inlet_urls.", [{AT_MOST: INLETS}]),
        ("The way to come: either inlet_urls or inlet_url can be used.", [{AT_MOST: INLETS}]),
        ("Either inlet_url or inlet_urls, but not both.", [{AT_MOST: INLETS}]),
        ("Only one of inlet_url, inlet_urls and outlet_url may be given.", [{AT_MOST: [*INLETS, "outlet_url"]}]),
        ("At most one of inlet_url, inlet_urls can be set.", [{AT_MOST: INLETS}]),
        ("The inlet, not with inlet_urls.", [{AT_MOST: INLETS}]),
        ("The inlet (incompatible with 'inlet_urls').", [{AT_MOST: INLETS}]),
        ("The inlet. It cannot be used together with inlet_urls. Mutually exclusive with inlet_urls.", [{AT_MOST: INLETS}]),
        ("Cannot be combined with inlet_urls or outlet_url.", [{AT_MOST: INLETS}, {AT_MOST: ["inlet_url", "outlet_url"]}]),
        ("inlet_url and inlet_urls cannot be used together.", [{AT_MOST: INLETS}]),
        ("inlet_url, inlet_urls and outlet_url are mutually exclusive.", [{AT_MOST: [*INLETS, "outlet_url"]}]),
        ("At least one of inlet_url, inlet_urls is required.", [{AT_LEAST: INLETS}]),
        ("Provide either inlet_url or inlet_urls.", [{AT_LEAST: INLETS}]),
        ("Either inlet_url or inlet_urls must be provided.", [{AT_LEAST: INLETS}]),
        ("You must provide either inlet_url or inlet_urls, not both.", [{EXACTLY: INLETS}]),
        ("Exactly one of inlet_url, inlet_urls is required.", [{EXACTLY: INLETS}]),
    ],
)  # fmt: skip
def test_sentence_about_several_parameters_becomes_a_rule(
    text: str, expected: list[dict[str, list[str]]]
) -> None:
    rules, notes = draft_rules(text)
    assert rules == expected
    readings = {
        AT_LEAST: "taken to need at least one of",
        AT_MOST: "taken to allow at most one of",
        EXACTLY: "taken to need exactly one of",
    }
    doubts_expected = {
        f"{readings[key]} {', '.join(names)}" for rule in expected for key, names in rule.items()
    }
    assert {note.text for note in notes} == doubts_expected


@pytest.mark.parametrize(
    "text",
    [
        "In wild mood, cannot be used together with outlet_url.",
        "Cannot be used together with outlet_url in wild mood.",
        "Cannot be used together with wild mood.",
        "Cannot be used together with outlet_url; in wild mood alone.",
        "Cannot be used together with inlet_urls and outlet_url.",
        "Cannot be used together with another inlet.",
        "Cannot be used together with inlet_url.",
        "Not with inlet_urls alone.",
        "outlet_url, not with inlet_urls.",
        "Goes to either outlet_url or inlet_urls.",
        "Either inlet_url or inlet_urls if mood is wild.",
        "Provide either inlet_url or a drawing.",
        "Requires either inlet_urls or outlet_url.",
        "Requires outlet_url, cannot be used with inlet_urls.",
        "It never requires outlet_url.",
        "Only in calm or wild mood.",
        "At most 5 items if mood is wild or something.",
        "If mood is angry, inlet_urls must have at most 2 items.",
        "If mood is wild, level must be at most 5.",
        "If mood is wild, level must not be set.",
        "If mood is wild, inlet_urls must have at most 2 items and more.",
        "If the mood of the day is wild, inlet_urls must have at most 2 items.",
        "Requires outlet_url if mood is wild.",
        "Unless mood is wild, at most 5 items.",
    ],
)
def test_unclear_sentence_is_a_doubt(text: str) -> None:
    rules, notes = draft_rules(text)
    assert not rules
    assert any(note.text.startswith("a condition that is not in the draft: ") for note in notes)


@pytest.mark.parametrize(
    ("text", "sent", "why"),
    [
        ("Provide either level or inlet_url.", "", "level is required"),
        ("Incompatible with quiet.", "", "quiet can be set to false"),
        ("Incompatible with mood.", "", "mood has a value when it is not set"),
        ("Not with outlet_url.", '"inlet_url": "a", "outlet_url": "b"', "the example sends inlet_url and outlet_url"),
        ("Provide either inlet_url or inlet_urls.", "", "the example sends none of them"),
        ("Exactly one of inlet_url, inlet_urls.", "", "the example sends none of them"),
        ("Exactly one of inlet_url, inlet_urls.", '"inlet_url": "a", "inlet_urls": ["b"]', "the example sends inlet_url and inlet_urls"),
    ],
)  # fmt: skip
def test_rule_that_the_page_contradicts_is_a_doubt(text: str, sent: str, why: str) -> None:
    rules, notes = draft_rules(text, sent)
    assert not rules
    assert [note.text for note in notes] == [f"a condition that is not in the draft, as {why}: {text}"]


WILD = {"equals": {"mood": "wild"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Required if mood is wild.", {**WILD, "then": {"required": ["inlet_url"]}}),
        ("If mood is wild, it is required.", {**WILD, "then": {"required": ["inlet_url"]}}),
        ("When mood is set to 'wild', then inlet_urls must have at most 2 items.", {**WILD, "then": {"max_items": {"inlet_urls": 2}}}),
        ("If mood is wild and quiet is true, level must have at least 5 characters and outlet_url must not be set.", {
            "equals": {"mood": "wild", "quiet": True}, "then": {"min_length": {"level": 5}, "forbidden": ["outlet_url"]},
        }),
        ("The inlet. If outlet_url is provided, mood must be Calm or wild, and quiet must be false.", {
            "present": ["outlet_url"], "then": {"allowed": {"mood": ["calm", "wild"], "quiet": [False]}},
        }),
        ("Cannot be used if outlet_url is set.", {"present": ["outlet_url"], "then": {"forbidden": ["inlet_url"]}}),
    ],
)  # fmt: skip
def test_sentence_with_a_condition_becomes_a_rule(text: str, expected: dict[str, object]) -> None:
    rules, notes = draft_rules(text)
    assert rules == [{"when": expected}]
    [note] = notes
    assert note.text.startswith('taken to state {"when": ')


def test_limit_under_a_condition_is_not_drafted_as_one_that_always_holds() -> None:
    text = "If mood is wild, at most 5 items."
    draft = draft_spec(
        BASIN.format(text="", sent="").replace("Where all of it comes from.", text), "PAGE.txt", DAY
    )
    spec = YAML(typ="safe", pure=True).load(draft.yaml)
    assert "maxItems" not in spec["input"]["properties"]["inlet_urls"]
    assert [note.text for note in draft.notes if note.about == "inlet_urls" and "condition" in note.text] == [
        f"a condition that is not in the draft: {text}"
    ]


def test_two_descriptions_that_say_the_same_give_one_rule() -> None:
    text = BASIN.format(text="Not with outlet_url.", sent="").replace(
        "Where it goes.", "Where it goes. Not with inlet_url."
    )
    draft = draft_spec(text, "PAGE.txt", DAY)
    rules = YAML(typ="safe", pure=True).load(draft.yaml)["rules"]
    assert rules == [{AT_MOST: ["inlet_url", "outlet_url"]}]
    lines = [
        note.line
        for note in draft.notes
        if note.text == "taken to allow at most one of inlet_url, outlet_url"
    ]
    assert lines == [21, 40]


def test_example_that_breaks_a_drafted_rule_is_left_out() -> None:
    draft = draft_spec(BASIN.format(text="Requires outlet_url.", sent='"inlet_url": "a"'), "PAGE.txt", DAY)
    spec = YAML(typ="safe", pure=True).load(draft.yaml)
    assert spec["rules"] == [{"requires": {"field": "inlet_url", "present": ["outlet_url"]}}]
    assert "examples" not in spec
    assert [note.line for note in draft.notes if note.text.startswith("left out: ")] == [4]


@pytest.mark.parametrize("written", ["wild", "Wild"])
def test_value_in_other_spelling_is_a_discrepancy(written: str) -> None:
    text = BASIN.format(text=f"Needs {written} mood.", sent="")
    draft = draft_spec(text, "PAGE.txt", DAY)
    spec = YAML(typ="safe", pure=True).load(draft.yaml)
    assert spec["rules"] == [{"requires": {"field": "inlet_url", "equals": {"mood": "wild"}}}]
    pages = [entry["page"] for entry in spec.get("discrepancies", []) if entry["about"] == "mood"]
    decision_text = "the description of inlet_url writes Wild, the allowed value is wild"
    assert pages == ([decision_text] if written == "Wild" else [])


def test_empty_value_is_not_read_from_a_sentence() -> None:
    text = BASIN.format(text="Needs mood.", sent="").replace('"calm""wild"', '"calm"""')
    spec = YAML(typ="safe", pure=True).load(draft_spec(text, "PAGE.txt", DAY).yaml)
    assert spec["input"]["properties"]["mood"]["enum"] == ["calm", ""]
    assert spec["rules"] == [{"requires": {"field": "inlet_url", "present": ["mood"]}}]
    assert [entry for entry in spec["discrepancies"] if not entry["decision"]] == []
