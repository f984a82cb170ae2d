"""The generated models as a caller meets them: what they take, what they refuse and how they say it."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import jsonschema_rs
import pytest
from pydantic import MISSING, Field, TypeAdapter, ValidationError

from kling_adapters import Params, ParamsInvalid, load_catalog
from kling_adapters.models import Kling2, Kling3ProImage2video, Kling25Turbo, KlingBloombloom, KlingO1
from kling_adapters.models.kling_3_pro_image2video import Element
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.param_types import BoolOnly, IntOrStr, Media
from kling_adapters.schema.params import Part
from kling_adapters.schema.rules import AtLeastOneOf, MaxBytes, MutuallyExclusive, Requires
from tests.support.media import make_png

CATALOG = load_catalog()
URL = "https://example.com/a.png"
MEDIA = "a URL such as https://example.com/cat.png, a Path, bytes, or a file opened in mode 'rb'"

# The example of each documentation page: its values and the types they are sent as, with prompts of our own.
# What a page leaves out or empties against its own table is repaired, and nothing else.
PAGE_EXAMPLES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("kling-bloombloom", {"image": URL, "mode": "pro", "duration": "5"}, {"duration": 5}),
    (
        "kling-2",
        {"prompt": "a", "duration": 5, "cfg_scale": 0.5, "start_image": URL, "aspect_ratio": "16:9"},
        {},
    ),
    (
        "kling-o1",
        {
            "prompt": "Put @Image1 into @Image2",
            "resolution": "1K",
            "aspect_ratio": "auto",
            "output_format": "png",
            "image_urls": [URL, URL],
        },
        {},
    ),
    (
        "kling-3-pro-image2video",
        {
            "prompt": "a",
            "duration": "5",
            "cfg_scale": 0.5,
            "aspect_ratio": "16:9",
            "generate_audio": True,
            "negative_prompt": "blur",
            "start_image_url": URL,
        },
        {},
    ),
    (
        "kling-2.5-turbo",
        {
            "prompt": "a",
            "negative_prompt": "blur",
            "cfg_scale": 0.7,
            "duration": "10",
            "mode": "pro",
            "aspect_ratio": "16:9",
        },
        {"duration": 10},
    ),
]


def model(slug: str) -> type[Params]:
    return CATALOG[slug].load()


def problems(slug: str, **params: Any) -> list[str]:
    with pytest.raises(ParamsInvalid) as caught:
        model(slug).model_validate(params)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(("slug", "example", "changed"), PAGE_EXAMPLES, ids=[row[0] for row in PAGE_EXAMPLES])
def test_the_example_of_the_page_is_taken_and_sent_in_the_declared_types(
    slug: str, example: dict[str, Any], changed: dict[str, Any]
) -> None:
    body = model(slug).model_validate(example).wire()
    assert body == example | changed
    assert jsonschema_rs.is_valid(CATALOG[slug].json_schema(), body)


@pytest.mark.parametrize("slug", sorted(CATALOG))
def test_every_example_of_a_spec_goes_over_the_wire_unchanged(slug: str) -> None:
    for example in CATALOG[slug].json_schema()["examples"]:
        assert model(slug).model_validate(copy.deepcopy(example)).wire() == example


@pytest.mark.parametrize("slug", sorted(CATALOG))
def test_a_missing_required_parameter_is_named_and_an_unknown_one_refused(slug: str) -> None:
    schema = CATALOG[slug].json_schema()
    for name in schema["required"]:
        example = {key: value for key, value in schema["examples"][0].items() if key != name}
        assert f"{name}: required, but missing" in problems(slug, **example)
    assert problems(slug, **schema["examples"][0], zzz=1) == ["zzz: unknown parameter"]


def test_only_what_was_set_is_sent() -> None:
    assert Kling2(prompt="x").wire() == {"prompt": "x"}
    assert Kling2(prompt="x", duration=5).wire() == {"prompt": "x", "duration": 5}
    assert Kling3ProImage2video(prompt="x", start_image_url=URL, elements=[{}]).wire()["elements"] == [{}]  # type: ignore[list-item]


def test_a_documented_default_can_be_read_but_is_not_sent() -> None:
    params = Kling25Turbo(prompt="x")
    assert (params.duration, params.cfg_scale, params.mode, params.image_url) == (10, 0.7, "pro", None)
    assert params.wire() == {"prompt": "x"}


@pytest.mark.parametrize("value", [" 5", "05", "5.0", "5 ", True, 5.5, 7, "7", None, [5], "\u0665"])
def test_only_the_exact_text_of_an_integer_counts_as_it(value: Any) -> None:
    [problem] = problems("kling-2", prompt="x", duration=value)
    assert problem.startswith("duration: ")
    assert "allowed: 5, 10" in problem


@pytest.mark.parametrize("value", [5.5, True, "05", "2", 16, "16"])
def test_only_the_exact_integer_counts_as_its_text(value: Any) -> None:
    [problem] = problems("kling-3-pro-image2video", prompt="x", start_image_url=URL, duration=value)
    assert problem.startswith("duration: ")


def test_the_integer_form_of_a_text_duration_is_sent_as_text() -> None:
    params = model("kling-3-pro-image2video").model_validate(
        {"prompt": "x", "start_image_url": URL, "duration": 15}
    )
    assert params.wire()["duration"] == "15"


@pytest.mark.parametrize(
    "value", ["", "ftp://a/b", "example.com/a.png", "https://", "data:image/png;base64,AA", "http:// a/b", 3]
)
def test_a_url_is_http_or_https_and_never_empty(value: Any) -> None:
    [problem] = problems("kling-bloombloom", image=value)
    assert problem.startswith("image: ")


def test_a_url_is_sent_as_the_text_it_is() -> None:
    url = "https://EXAMPLE.com:443/a/../b?sig=%2f%2F+x"
    assert KlingBloombloom(image=url).wire() == {"image": url}


def test_null_is_taken_only_where_the_page_says_null() -> None:
    assert Kling25Turbo(prompt="x", image_url=None).wire() == {"prompt": "x", "image_url": None}
    assert problems("kling-2", prompt="x", start_image=None) == [
        f"start_image: None is not an http or https URL; allowed: {MEDIA}"
    ]


def test_limits_told_in_prose_hold() -> None:
    required = {"prompt": "x", "start_image_url": URL}
    found = problems(
        "kling-3-pro-image2video",
        **required,
        elements=[{}, {"reference_image_urls": [URL] * 4}, {}, {}],
        multi_prompt=[{"prompt": "x" * 513}, {}] * 3,
        voice_ids=["a", "b", "c"],
    )
    too_long = "prompt: too many characters (513); allowed: at most 512"
    assert sorted(found) == [
        "elements: too many items (4); allowed: at most 3",
        "elements[1].reference_image_urls: too many items (4); allowed: at most 3",
        "multi_prompt: too many items (6); allowed: at most 5",
        f"multi_prompt[0].{too_long}",
        "multi_prompt[1].prompt: required, but missing",
        f"multi_prompt[2].{too_long}",
        "multi_prompt[3].prompt: required, but missing",
        f"multi_prompt[4].{too_long}",
        "multi_prompt[5].prompt: required, but missing",
        "voice_ids: too many items (3); allowed: at most 2",
    ]


def test_a_tail_image_needs_an_image() -> None:
    assert problems("kling-2.5-turbo", prompt="x", tail_image_url=URL) == [
        "tail_image_url: requires image_url, which is not set"
    ]
    assert problems("kling-2.5-turbo", prompt="x", tail_image_url=URL, image_url=None)
    Kling25Turbo(prompt="x", tail_image_url=URL, image_url=URL)
    Kling25Turbo(prompt="x", tail_image_url=URL, image_url=URL, mode="pro")
    Kling25Turbo(prompt="x", tail_image_url=None)


def test_references_name_what_is_there() -> None:
    assert problems("kling-o1", prompt="@Image1 @Image2 @Image10 @Image0", image_urls=[URL]) == [
        "prompt: refers to @Image2, but image_urls has 1 item",
        "prompt: refers to @Image10, but image_urls has 1 item",
        "prompt: refers to @Image0, but image_urls has 1 item",
    ]
    KlingO1(prompt="@Image1, @Image01 and @Imagex", image_urls=[URL])
    assert problems("kling-3-pro-image2video", prompt="@Element1 <<<voice_1>>>", start_image_url=URL) == [
        "prompt: refers to @Element1, but elements has no items",
        "prompt: refers to <<<voice_1>>>, but voice_ids has no items",
    ]
    Kling3ProImage2video(
        prompt="@Element1 <<<voice_2>>>", start_image_url=URL, elements=[Element()], voice_ids=["a", "b"]
    )


def test_broken_rules_are_reported_beside_broken_parameters() -> None:
    found = problems("kling-2.5-turbo", prompt="x", duration=7, tail_image_url="nowhere", apsect_ratio="16:9")
    assert found == [
        "duration: 7 is not allowed; allowed: 5, 10",
        f"tail_image_url: 'nowhere' is not an http or https URL; allowed: {MEDIA}",
        "apsect_ratio: unknown parameter; did you mean aspect_ratio?",
        "tail_image_url: requires image_url, which is not set",
    ]


def test_parameters_cannot_be_changed_into_something_invalid() -> None:
    params = Kling2(prompt="x")
    with pytest.raises(ValueError, match="frozen"):
        params.duration = 7  # type: ignore[assignment]


def test_a_long_value_is_shortened_in_the_report() -> None:
    [problem] = problems("kling-2", prompt="x", aspect_ratio="y" * 10_000)
    assert len(problem) < 300


def test_what_is_no_object_at_all_is_one_problem() -> None:
    for given in (3, "kling-2", None, ["prompt"]):
        with pytest.raises(ParamsInvalid) as caught:
            Kling2.model_validate(given)
        assert [str(problem) for problem in caught.value.problems] == [
            f"parameters: {given!r} is not an object with parameters"
        ]


def test_a_number_too_long_to_be_written_is_refused_like_any_other() -> None:
    endless = 10**5000
    for name in ("prompt", "cfg_scale", "aspect_ratio", "duration", "start_image"):
        [problem] = problems("kling-2", **{"prompt": "x", name: endless})
        assert problem.startswith(f"{name}: a value of type int that cannot be shown")
    assert problems("kling-o1", prompt="x", image_urls=[[endless]])


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Kling2.model_validate({"prompt": "x", 1: 2})
    assert [str(problem) for problem in caught.value.problems] == ["[1]: 1: keys should be strings"]


class Limited(Params):
    """Limits from below, which no model has yet."""

    adapter: ClassVar[Adapter] = Adapter("limited-1", "Limited 1", "video")
    text: Annotated[str, Field(min_length=2)]
    seed: Annotated[int, Field(ge=1)] = 1
    words: Annotated[Sequence[Annotated[str, Field(min_length=1)]], Field(min_length=2, max_length=3)]


def test_limits_from_below_and_broken_items_of_a_list_that_is_too_short() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Limited.model_validate({"text": "a", "seed": 1.5, "words": [""]})
    assert sorted(map(str, caught.value.problems)) == [
        "seed: 1.5 is not an integer",
        "text: too few characters (1); allowed: at least 2",
        "words: too few items (1); allowed: at least 2",
        "words[0]: too few characters (0); allowed: at least 1",
    ]


def test_a_list_that_is_only_too_short() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Limited.model_validate({"text": "ab", "words": ["a"]})
    assert [str(problem) for problem in caught.value.problems] == [
        "words: too few items (1); allowed: at least 2"
    ]


def test_only_a_literal_can_be_lenient() -> None:
    with pytest.raises(TypeError, match="IntOrStr takes a Literal"):
        TypeAdapter(IntOrStr[int])


class Aliased(Params):
    """What the catalogue has no model for: a rule about a parameter whose name is a word of Python."""

    adapter: ClassVar[Adapter] = Adapter(
        slug="aliased",
        title="Aliased",
        returns="image",
        rules=(Requires("extra", equals={"class": "a"}), MaxBytes("picture", bytes=10)),
    )

    class_: Annotated[str, Field(alias="class")] = "a"
    extra: Annotated[str | MISSING, Field()] = MISSING
    picture: Annotated[Media | MISSING, Field()] = MISSING


def test_the_default_of_a_parameter_with_another_name_counts_in_a_rule() -> None:
    assert Aliased(extra="x").wire() == {"extra": "x"}
    assert Aliased(extra="x", class_="a").wire() == {"extra": "x", "class": "a"}
    with pytest.raises(ParamsInvalid, match="extra: requires class='a', but class is 'b'"):
        Aliased(extra="x", class_="b")


def test_a_file_may_have_as_many_bytes_as_the_rule_says_and_no_more() -> None:
    assert "picture" in Aliased(picture=make_png(b"12")).model_fields_set
    with pytest.raises(ParamsInvalid, match=r"too many bytes \(11\)"):
        Aliased(picture=make_png(b"123"))


def test_a_parameter_that_is_said_to_be_missing_is_not_sent() -> None:
    assert Aliased(extra=MISSING, class_="b").wire() == {"class": "b"}


class Inner(Part):
    """An object."""

    of_: Annotated[str | MISSING, Field(alias="of")] = MISSING
    colour: Annotated[Literal["red", "blue"] | MISSING, Field()] = MISSING


class Nested(Params):
    """Lists in lists, and twins, beside something that is wrong."""

    adapter: ClassVar[Adapter] = Adapter(
        slug="nested",
        title="Nested",
        returns="image",
        rules=(Requires("name", equals={"level": 1, "text": "1", "class": "a"}),),
    )

    name: Annotated[str | MISSING, Field()] = MISSING
    level: Annotated[IntOrStr[Literal[1, 2]] | MISSING, Field()] = 1
    text: Annotated[IntOrStr[Literal["1", "2"]], Field()] = "1"
    class_: Annotated[str, Field(alias="class")] = "a"
    rows: Annotated[
        Sequence[Annotated[Sequence[str], Field(min_length=1, max_length=2)]] | MISSING, Field(max_length=2)
    ] = MISSING
    tags: Annotated[Sequence[str] | None, Field(max_length=1)] = None
    inner: Annotated[Inner | MISSING, Field()] = MISSING


def reported(**params: Any) -> set[str]:
    """Return what is said to be wrong, and where."""
    with pytest.raises(ParamsInvalid) as caught:
        Nested.model_validate(params)
    return {f"{problem.path}: {problem.message}" for problem in caught.value.problems}


def test_a_list_is_reported_as_too_long_beside_its_wrong_items_at_every_depth() -> None:
    assert reported(rows=[["a", "b", 3], ["a"], []]) == {
        "rows: too many items (3)",
        "rows[0]: too many items (3)",
        "rows[0][2]: 3 is not text",
        "rows[2]: too few items (0)",
    }
    assert reported(rows=(("a", 2, "c"), ())) == {
        "rows[0]: too many items (3)",
        "rows[0][1]: 2 is not text",
        "rows[1]: too few items (0)",
    }
    assert reported(tags=["a", 2]) == {"tags: too many items (2)", "tags[1]: 2 is not text"}


def test_rules_read_twins_and_other_names_beside_what_is_wrong() -> None:
    assert reported(name="x", level="1", text=1, class_="a", tags=[2]) == {"tags[0]: 2 is not text"}
    assert reported(name="x", level="2", text=2, **{"class": "b"}, tags=[2]) == {
        "tags[0]: 2 is not text",
        "name: requires level=1, but level is 2",
        "name: requires text='1', but text is '2'",
        "name: requires class='a', but class is 'b'",
    }


def test_what_was_meant_is_suggested_within_an_object_too() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Kling3ProImage2video.model_validate(
            {"prompt": "x", "start_image_url": URL, "elements": [{"frontal_image": URL}], "duratio": "5"}
        )
    assert {(problem.path, problem.suggestion) for problem in caught.value.problems} == {
        ("elements[0].frontal_image", "frontal_image_url"),
        ("duratio", "duration"),
    }
    with pytest.raises(ParamsInvalid) as caught:
        Nested.model_validate({"inner": {"off": 1, "colour": "bluee"}, "clas": "a"})
    assert {(problem.path, problem.suggestion, problem.allowed) for problem in caught.value.problems} == {
        ("inner.off", "of", None),
        ("inner.colour", "blue", "'red', 'blue'"),
        ("clas", "class", None),
    }


class Chosen(Params):
    """Parameters of which one must be given and only one may, and what is compared by more than `==`."""

    adapter: ClassVar[Adapter] = Adapter(
        slug="chosen",
        title="Chosen",
        returns="image",
        rules=(AtLeastOneOf("one", "other"), MutuallyExclusive("one", "other")),
    )

    one: Annotated[BoolOnly[Literal[True]] | MISSING, Field()] = MISSING
    other: Annotated[float | MISSING, Field()] = MISSING


def test_one_of_two_must_be_given_and_only_one_may() -> None:
    assert Chosen(one=True).wire() == {"one": True}
    assert Chosen(other=0.5).wire() == {"other": 0.5}
    for params in ({}, {"one": True, "other": 0.5}):
        with pytest.raises(ParamsInvalid):
            Chosen.model_validate(params)


@pytest.mark.parametrize(
    "params",
    [{"one": 1}, {"one": False}, {"one": "true"}, {"other": math.inf}, {"other": math.nan}, {"other": "1"}],
)
def test_nothing_is_taken_that_only_looks_alike(params: dict[str, Any]) -> None:
    with pytest.raises(ParamsInvalid):
        Chosen.model_validate(params)


def test_a_parameter_that_nobody_knows_is_refused_and_none_can_be_changed() -> None:
    with pytest.raises(ParamsInvalid, match="third: unknown parameter"):
        Chosen.model_validate({"one": True, "third": 1})
    with pytest.raises(ValidationError, match="frozen"):
        Chosen(one=True).one = MISSING


@pytest.mark.parametrize("slug", sorted(CATALOG))
def test_an_adapter_says_of_itself_what_the_catalogue_says(slug: str) -> None:
    entry = CATALOG[slug]
    adapter = entry.load().adapter
    assert (adapter.slug, adapter.title) == (slug, entry.title)
    assert (adapter.returns, adapter.latency) == (entry.returns, entry.latency)


@pytest.mark.parametrize("slug", sorted(CATALOG))
def test_what_may_be_left_out_may_be_said_to_be_missing(slug: str) -> None:
    model, example = CATALOG[slug].load(), CATALOG[slug].json_schema()["examples"][0]
    missing = {
        name: MISSING
        for name, field in model.model_fields.items()
        if field.default is MISSING and (field.alias or name) not in example
    }
    assert model.model_validate({**example, **missing}).wire() == example
    assert Element(frontal_image_url=MISSING, reference_image_urls=MISSING).model_fields_set
