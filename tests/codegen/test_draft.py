"""A page becomes a draft that loads, and everything the page only implies is said with its line.

Each page in pages/ has the draft and the list that are expected of it beside it. To renew them after a change that
is meant: UPDATE_DRAFTS=1 pytest tests/codegen/test_draft.py, then review the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kling_codegen.draft.compose import draft_spec
from ruamel.yaml import YAML

from tests.codegen.model_pages import CONDENSED, DAY, NAMES, PAGES, SPACED, load_draft, run_draft


@pytest.mark.parametrize("name", NAMES)
def test_page_gives_expected_draft_and_doubts(name: str, tmp_path: Path) -> None:
    result = run_draft(PAGES / f"{name}.txt", "--read", "2026-01-31")
    assert result.exit_code == 0, result.output
    for suffix, text in (("yaml", result.stdout), ("doubts", result.stderr)):
        expected = PAGES / f"{name}.{suffix}"
        if "UPDATE_DRAFTS" in os.environ:
            expected.write_text(text, encoding="utf-8")
        assert text == expected.read_text(encoding="utf-8")
    load_draft(result.stdout, tmp_path / "specs")


@pytest.mark.parametrize("name", NAMES)
def test_no_sentence_of_the_page_enters_the_draft(name: str) -> None:
    draft = draft_spec((PAGES / f"{name}.txt").read_text(encoding="utf-8"), f"{name}.txt", DAY)
    words = [note.text for note in draft.notes if note.sort == "words"]
    assert words
    assert not [text for text in words if text in draft.yaml]
    assert "https://files.example.org" not in draft.yaml


@pytest.mark.parametrize(
    ("type_", "sent", "text", "values", "expected", "doubt"),
    [
        # Numbers that are run together.
        ("integer", "5", "Short or long.", "5510", {"enum": [5, 10], "default": 5}, "'5510' is read as default 5, allowed 5, 10; it could be default 5510, no list"),
        ("integer", "7", "Height.", "55", {}, "'55' is not decided; it could be default 5, allowed 5; default 55, no list; left out"),
        ("integer", "5", "Height.", "55", {"enum": [5], "default": 5}, "'55' is read as default 5, allowed 5; it could be default 55, no list"),
        ("integer", "25", "Height.", "25", {"default": 25}, ""),
        ("integer", "20", "Height.", "1020", {}, "'1020' is not decided"),
        ("integer", "1", "Height.", "20Range: 1 - 50", {"default": 20, "minimum": 1, "maximum": 50}, ""),
        ("integer", "15", "Height.", "551015Range: 5 - 15", {"enum": [5, 10, 15], "default": 5}, "'551015' is read as default 5, allowed 5, 10, 15"),
        ("integer", "-10", "Height.", "-10-10010", {"enum": [-10, 0, 10], "default": -10}, "'-10-10010' is read as default -10, allowed -10, 0, 10"),
        ("integer", '"5"', "Height.", '"5""5""10"', {"enum": [5, 10], "default": 5}, 'the type is integer, the value is "5"; drafted as 5'),
        ("number", "1", "Height.", "0.50.51.0", {}, "'0.50.51.0' could not be split into values; left out"),
        ("number", "0.5", "Height.", "-1.5", {"default": -1.5}, ""),
        ("number", "5", "5 or 10.", "10510", {"default": 10}, "allowed values 5, 10: the language has none for type number; left out"),
        ("integer", "5", "Height.", "null00", {"default": None, "type": ["integer", "null"]}, "'null00' is not decided; it could be nothing that fits the rest of the page; left out"),
        ("integer", "10", "Height.", "null510", {"enum": [5, 10, None], "default": None, "type": ["integer", "null"]}, "'null510' is read as default null, allowed 5, 10; it could be default null, allowed 510"),
        # Texts and booleans, which their notation separates.
        ("string", '"b"', "Kind.", '"a""a""b"', {"enum": ["a", "b"], "default": "a"}, ""),
        ("string", '"a"', "Kind.", '"a""b"', {"enum": ["a", "b"]}, "the first value 'a' does not come again: all are read as allowed, none as the default"),
        ("string", '"a"', "Kind.", '"""a""b"', {"enum": ["a", "b"]}, 'its default is "", which the table does not allow; drafted: optional, without a default'),
        ("string", '"a"', "Kind.", '"std"Standard"std"Polished"pro"', {"enum": ["std", "pro"], "default": "std"}, 'the example sends "a", which the table does not allow; drafted: as in the table'),
        ("string", '"on"', "Kind.", '"on""on""off"', {"enum": ["on", "off"], "default": "on"}, ""),
        ("string", '"a"', "Kind.", '"odd"', {"default": "odd"}, 'one value "odd" is shown, without a list of allowed values; drafted: it is the default; any text is allowed'),
        ("string", '"3"', "Kind.", '"3""2""4""3"+3 more', {"default": "3"}, "3 allowed values are shown, then +3 more; the remaining ones are unknown; drafted: any value; those shown are described"),
        ("boolean", "True", "Whether.", "falsetruefalse", {"default": False}, ""),
        ("boolean", "True", "Whether.", "null", {"type": ["boolean", "null"], "default": None}, "the type is boolean, the default is null; drafted: null is accepted and counts as not set"),
        ("string[]", "[]", "Marks. Max 3.", "[]", {"default": [], "maxItems": 3}, ""),
        ("string", '"5"', "Kind.", "0.5", {"default": "0.5"}, 'the type is string, the value is 0.5; drafted as "0.5"'),
        ("string", '"a"', "Kind.", '"\\d""\\d""a"', {"enum": ["\\d", "a"], "default": "\\d"}, ""),
        # So many digits could be cut into lists in more ways than can be looked at.
        ("integer", "5", "Height.", "1" + "0" * 39, {"default": 10**39}, ""),
        ("integer", "5", "Height.", "7" * 41, {}, f"'{'7' * 41}' is not decided; it could be nothing that fits the rest of the page; left out"),
        # Types.
        ("string[]", "[]", "URLs of marks.", "", {"items": {"type": "string", "format": "uri"}}, "the table says string[], the description says URL; drafted: each item is a URL"),
        ("string[]", "[]", "URLs or base64 texts.", "", {"items": {"type": "string"}}, ""),
        ("array", "[]", "Marks.", "", {"items": {"type": "string"}}, "the type of its items is not shown; drafted as string"),
        ("hue", "1", "Colour.", "", {"type": "string"}, "the type hue is unknown; drafted as string"),
        ("string (uri)", '"a"', "Picture.", '"https://files.example.org/a.png"', {"format": "uri"}, "a sample URL stands as the default of an optional parameter; drafted: optional, without a default"),
        ("string (uri)", '"a"', "Picture.", '"a""a""b"', {"format": "uri"}, "allowed values beside type string (uri); left out"),
        # Facts in prose.
        ("string", '"a"', "Name. Between 2 and 9 letters.", "", {"type": "string"}, "a limit that is not in the draft: Between 2 and 9 letters."),
        ("string", '"abcd"', "Name. At least 3 characters, up to 40 characters.", "", {"minLength": 3, "maxLength": 40}, ""),
        ("string (uri)", '"a"', "Sound. Max 30 seconds.", "", {"format": "uri"}, "a limit that is not in the draft: Max 30 seconds."),
        ("string", '"a"', "Use @Reed1 here.", "", {"type": "string"}, "@Reed1 does not clearly name an item of one list in one text; no rule is drafted"),
        ("string", '"a"', "Ignored unless a dam is there.", "", {"type": "string"}, "a condition that is not in the draft: Ignored unless a dam is there."),
    ],
)  # fmt: skip
def test_parameter_of_the_condensed_layout(
    type_: str, sent: str, text: str, values: str, expected: dict[str, object], doubt: str
) -> None:
    draft = draft_spec(CONDENSED.format(type=type_, sent=sent, text=text, values=values), "PAGE.txt", DAY)
    drafted = YAML(typ="safe", pure=True).load(draft.yaml)["input"]["properties"]["level"]
    del drafted["description"]
    plain = {
        key: value
        for key, value in drafted.items()
        if key in expected or key not in ("type", "items", "format")
    }
    assert plain == expected
    doubts = [note.text for note in draft.notes if note.sort == "doubt"]
    assert any(doubt in doubt_text for doubt_text in doubts) if doubt else not doubts


@pytest.mark.parametrize(
    ("type_", "values", "expected", "doubt"),
    [
        ("integer", "Default: 5\nAllowed values :\n51015", {"enum": [5, 10, 15], "default": 5}, "'51015' is read as default 5, allowed 5, 10, 15; it could be default 5, allowed 5, 1015"),
        ("integer", "Allowed values (3 total):\n51015", {"enum": [5, 10, 15]}, "'51015' is read as no default, allowed 5, 10, 15"),
        ("integer", "Allowed values (4 total):\n5\n10\n15", {"enum": [5, 10, 15]}, "4 allowed values are announced, 3 were found"),
        ("integer", "Default: 3\nRange: 1 - 2", {"minimum": 1, "maximum": 2}, "its default is 3, which the table does not allow; drafted: optional, without a default"),
        ("string", 'Default: "a"Range: 1 - 3', {"default": "a"}, "a range 1 to 3 beside type string; left out"),
        ("integer", 'Default: ""', {}, 'the type is integer, the value is ""; left out'),
        ("string", "Default: plain", {"default": "plain"}, ""),
        ("string", 'Default: "two\\nlines: \\"here\\""', {"default": 'two\nlines: "here"'}, ""),
        ("string", 'Default: null\nAllowed values :\n"a""b"', {"type": ["string", "null"], "enum": ["a", "b", None], "default": None}, "the type is string, the default is null"),
        ("integer", "Default: 5\nAllowed values :\n5812", {"enum": [5, 8, 12], "default": 5}, "'5812' is read as default 5, allowed 5, 8, 12; it could be default 5, allowed 5, 812"),
        ("integer", "Default: 0\nAllowed values :\n1-", {"default": 0}, "'1-' is not decided; it could be nothing that fits the rest of the page; left out"),
        ("", 'Default: "a"', {"default": "a"}, "no type is shown; drafted as string"),
    ],
)  # fmt: skip
def test_parameter_of_the_spaced_layout(
    type_: str, values: str, expected: dict[str, object], doubt: str
) -> None:
    draft = draft_spec(SPACED.format(type=type_, sent="10", text="", values=values), "PAGE.txt", DAY)
    drafted = YAML(typ="safe", pure=True).load(draft.yaml)["input"]["properties"]["level"]
    assert {key: drafted.get(key) for key in expected} == expected
    assert drafted.keys() <= expected.keys() | {"type", "description"}
    assert not doubt or any(doubt in note.text for note in draft.notes)


def test_parameters_in_no_order_are_drafted_side_by_side() -> None:
    text = CONDENSED.format(type="object[]", sent="[]", text="Depths.", values="").replace(
        "Response Type",
        "zoneoptionalstringOne.\nareaoptionalstringTwo.\nzoneoptionalstringThree.\nResponse Type",
    )
    draft = draft_spec(text, "PAGE.txt", DAY)
    doubts = [(note.about, note.text) for note in draft.notes if note.sort == "doubt"]
    assert ("zone", "it is listed twice; the second is left out") in doubts
    assert any(
        about == "input"
        and doubt_text.startswith("the order from A to Z does not show which parameters belong to a list")
        for about, doubt_text in doubts
    )


def test_page_without_its_head_has_a_title_made_from_the_slug() -> None:
    text = CONDENSED.format(type="integer", sent="5", text="Height.", values="5").partition("\n")[2]
    draft = draft_spec(
        text.replace("https://api.segmind.com/v1/brook", "https://api.segmind.com/v1/brook /v1/pond"),
        "PAGE.txt",
        DAY,
    )
    assert YAML(typ="safe", pure=True).load(draft.yaml)["title"] == "Brook"
    doubts = {(note.line, note.about, note.text) for note in draft.notes if note.sort == "doubt"}
    assert (1, "title", "no title was found; Brook is made from the slug") in doubts
    assert (6, "slug", "this address says pond, most addresses say brook") in doubts


def test_example_can_be_a_call_that_runs_the_model() -> None:
    text = CONDENSED.format(type="integer", sent="5", text="Height.", values="5")
    called = text.replace("1payload = {", '1result = segmind.run(\n "brook",').replace(
        '"level": 5,', "level=7,"
    )
    draft = draft_spec(called.replace("3}", "3)"), "PAGE.txt", DAY)
    spec = YAML(typ="safe", pure=True).load(draft.yaml)
    assert spec["examples"] == [{"name": "as on the page", "input": {"level": 7}}]
    assert not [note for note in draft.notes if note.sort == "doubt"]


def test_text_of_our_own_is_as_long_as_the_page_allows() -> None:
    text = CONDENSED.format(type="string", sent='"three words here"', text="Max 9 characters.", values="")
    draft = draft_spec(text.replace("leveloptional", "levelrequired"), "PAGE.txt", DAY)
    [example] = YAML(typ="safe", pure=True).load(draft.yaml)["examples"]
    assert example["input"] == {"level": "A paper b"}


def test_name_may_end_like_a_heading_of_a_parameter() -> None:
    text = CONDENSED.format(type="integer", sent="5", text="Height.", values="5")
    draft = draft_spec(text.replace("leveloptional", "is_requiredoptional"), "PAGE.txt", DAY)
    assert list(YAML(typ="safe", pure=True).load(draft.yaml)["input"]["properties"]) == ["is_required"]


@pytest.mark.parametrize("default", ['""', "null", '"deep"'])
def test_required_parameter_has_no_default(default: str) -> None:
    text = SPACED.format(type="string", sent='"a"', text="Kind.", values=f"Default: {default}")
    draft = draft_spec(text.replace("leveloptional", "levelrequired"), "PAGE.txt", DAY)
    assert "default" not in YAML(typ="safe", pure=True).load(draft.yaml)["input"]["properties"]["level"]
    doubts_expected = [note.text for note in draft.notes if note.about == "level" and "required" in note.text]
    value = "it is required, yet a value stands as its default; drafted: required, without a default"
    assert doubts_expected == ([value] if default == '"deep"' else [])


def test_text_of_our_own_is_as_long_as_the_page_asks() -> None:
    text = SPACED.format(type="string", sent='"a few words"', text="At least 100 characters.", values="")
    spec = YAML(typ="safe", pure=True).load(draft_spec(text, "PAGE.txt", DAY).yaml)
    assert spec["input"]["properties"]["level"]["minLength"] == 100
    [example] = spec["examples"]
    assert len(example["input"]["level"]) == 100


@pytest.mark.parametrize(
    ("removed", "line", "doubt_text"),
    [
        ("Parameters\n", 1, "no heading Parameters; the page may be incomplete"),
        ("Response Type\n", 11, "no heading Response Type after the parameters; the page may be cut off"),
        ("payload = {", 1, "no example was found; the draft has one of made-up values"),
    ],
)
def test_part_of_the_page_that_is_missing_is_a_doubt(removed: str, line: int, doubt_text: str) -> None:
    text = CONDENSED.format(type="integer", sent="5", text="Height.", values="5\n")
    draft = draft_spec(text.replace(removed, "\n" if removed.endswith("\n") else ""), "PAGE.txt", DAY)
    assert (line, doubt_text) in {(note.line, note.text) for note in draft.notes}


def test_example_decides_where_the_order_contradicts_it() -> None:
    # By the order alone, label and weight could be parameters of the model.
    text = (PAGES / "unordered.txt").read_text(encoding="utf-8")
    ordered = text.replace("weightoptional", "treoptional").replace("labelrequired", "zooptional")
    ordered = ordered.replace('"weight": 3, "label": "old pear"', '"tre": 3, "zo": "old pear"')
    properties = read_properties(ordered.replace("breezeoptional", "zzoptional").replace("season", "zs"))
    assert list(properties) == ["prompt", "trees", "zs", "zz"]


def test_example_in_javascript_with_values_outside_of_json_is_left_out() -> None:
    text = (PAGES / "oldest.txt").read_text(encoding="utf-8")
    draft = draft_spec(text.replace('"pace": 2', '"pace": NaN'), "PAGE.txt", DAY)
    assert "no example was found; the draft has one of made-up values" in {note.text for note in draft.notes}


def read_properties(text: str) -> dict[str, object]:
    properties: dict[str, object] = YAML(typ="safe", pure=True).load(draft_spec(text, "PAGE.txt", DAY).yaml)[
        "input"
    ]["properties"]
    return properties


def test_kind_of_result_is_in_the_name_where_the_page_has_no_response_type() -> None:
    text = CONDENSED.format(type="integer", sent="5", text="Height.", values="5")
    image = text.replace("Returns: Video", "").replace("/brook", "/brook-video2image")
    assert YAML(typ="safe", pure=True).load(draft_spec(image, "PAGE.txt", DAY).yaml)["returns"] == "image"


@pytest.mark.parametrize(
    ("line", "low", "high", "doubt"),
    [
        ("$0.504 - $8.40 per generation", 0.504, 8.4, ""),
        ("$0.05 per second", 0.05, 0.05, ""),
        (
            "~$0.967",
            0.967,
            0.967,
            "the page asks ~$0.967 without saying for what; drafted as for a generation",
        ),
        ("$2 or so", None, None, "the page asks $2 or so; left out of the draft"),
    ],
)
def test_price_line(line: str, low: float | None, high: float | None, doubt: str) -> None:
    text = CONDENSED.format(type="integer", sent="5", text="Height.", values="5")
    draft = draft_spec(text.replace("POST", f"{line}\nPOST", 1), "PAGE.txt", DAY)
    spec = YAML(typ="safe", pure=True).load(draft.yaml)
    doubts = [note.text for note in draft.notes if note.about == "pricing"]
    assert doubts == ([doubt] if doubt else [])
    assert ("pricing" in spec) == (low is not None)
    if low is not None:
        unit = "second" if "second" in line else "generation"
        about = {"approximate": True} if line.startswith("~") else {}
        assert spec["pricing"] == {"currency": "USD", "from": low, "to": high, "unit": unit, **about}
