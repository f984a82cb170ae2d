"""Limits and rules of parameters: what a model reports about several of them, and in lists and objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import MISSING, Field, TypeAdapter, ValidationError, model_validator

from kling_adapters import Params, ParamsInvalid
from kling_adapters.models import Kling3ProImage2video, Kling25Turbo, KlingO1
from kling_adapters.models.kling_3_pro_image2video import Element
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.param_types import BoolOnly, IntOrStr, Media, TextOr
from kling_adapters.schema.params import Part
from kling_adapters.schema.rules import AtLeastOneOf, MaxBytes, MutuallyExclusive, Requires
from tests.schema.conftest import MEDIA, URL, list_problems
from tests.support.media import make_png


def test_limits_of_the_prose_hold() -> None:
    required = {"prompt": "x", "start_image_url": URL}
    reported = list_problems(
        "kling-3-pro-image2video",
        **required,
        elements=[{}, {"reference_image_urls": [URL] * 4}, {}, {}],
        multi_prompt=[{"prompt": "x" * 513}, {}] * 3,
        voice_ids=["a", "b", "c"],
    )
    too_long = "prompt: too many characters (513); allowed: at most 512"
    assert sorted(reported) == [
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


def test_tail_image_requires_an_image() -> None:
    assert list_problems("kling-2.5-turbo", prompt="x", tail_image_url=URL) == [
        "tail_image_url: requires image_url, which is not set"
    ]
    assert list_problems("kling-2.5-turbo", prompt="x", tail_image_url=URL, image_url=None)
    Kling25Turbo(prompt="x", tail_image_url=URL, image_url=URL)
    Kling25Turbo(prompt="x", tail_image_url=URL, image_url=URL, mode="pro")
    Kling25Turbo(prompt="x", tail_image_url=None)


def test_references_must_have_an_item() -> None:
    assert list_problems("kling-o1", prompt="@Image1 @Image2 @Image10 @Image0", image_urls=[URL]) == [
        "prompt: refers to @Image2, but image_urls has 1 item",
        "prompt: refers to @Image10, but image_urls has 1 item",
        "prompt: refers to @Image0, but image_urls has 1 item",
    ]
    KlingO1(prompt="@Image1, @Image01 and @Imagex", image_urls=[URL])
    assert list_problems(
        "kling-3-pro-image2video", prompt="@Element1 <<<voice_1>>>", start_image_url=URL
    ) == [
        "prompt: refers to @Element1, but elements has no items",
        "prompt: refers to <<<voice_1>>>, but voice_ids has no items",
    ]
    Kling3ProImage2video(
        prompt="@Element1 <<<voice_2>>>", start_image_url=URL, elements=[Element()], voice_ids=["a", "b"]
    )


def test_rules_and_fields_are_reported_together() -> None:
    reported = list_problems(
        "kling-2.5-turbo", prompt="x", duration=7, tail_image_url="nowhere", apsect_ratio="16:9"
    )
    assert reported == [
        "duration: 7 is not allowed; allowed: 5, 10",
        f"tail_image_url: 'nowhere' is not an http or https URL; allowed: {MEDIA}",
        "apsect_ratio: unknown parameter; did you mean aspect_ratio?",
        "tail_image_url: requires image_url, which is not set",
    ]


class Limited(Params):
    """Lower limits, which no model has yet."""

    adapter: ClassVar[Adapter] = Adapter("limited-1", "Limited 1", "video")
    text: Annotated[str, Field(min_length=2)]
    seed: Annotated[int, Field(ge=1)] = 1
    tokens: Annotated[Sequence[Annotated[str, Field(min_length=1)]], Field(min_length=2, max_length=3)]


def test_short_list_is_reported_with_its_items() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Limited.model_validate({"text": "a", "seed": 1.5, "tokens": [""]})
    assert sorted(map(str, caught.value.problems)) == [
        "seed: 1.5 is not an integer",
        "text: too few characters (1); allowed: at least 2",
        "tokens: too few items (1); allowed: at least 2",
        "tokens[0]: too few characters (0); allowed: at least 1",
    ]


def test_short_list_alone_is_one_problem() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Limited.model_validate({"text": "ab", "tokens": ["a"]})
    assert [str(problem) for problem in caught.value.problems] == [
        "tokens: too few items (1); allowed: at least 2"
    ]


def test_int_or_str_takes_only_a_literal() -> None:
    with pytest.raises(TypeError, match="IntOrStr takes a Literal"):
        TypeAdapter(IntOrStr[int])


class Aliased(Params):
    """A rule about a parameter whose name is a Python keyword; no model of the catalog has one."""

    adapter: ClassVar[Adapter] = Adapter(
        slug="aliased",
        title="Aliased",
        returns="image",
        rules=(Requires("extra", equals={"class": "a"}), MaxBytes("picture", bytes=10)),
    )

    class_: Annotated[str, Field(alias="class")] = "a"
    extra: Annotated[str | MISSING, Field()] = MISSING
    picture: Annotated[Media | MISSING, Field()] = MISSING


def test_default_of_an_aliased_parameter_counts_in_a_rule() -> None:
    assert Aliased(extra="x").wire() == {"extra": "x"}
    assert Aliased(extra="x", class_="a").wire() == {"extra": "x", "class": "a"}
    with pytest.raises(ParamsInvalid, match="extra: requires class='a', but class is 'b'"):
        Aliased(extra="x", class_="b")


def test_file_size_limit_is_inclusive() -> None:
    assert "picture" in Aliased(picture=make_png(b"12")).model_fields_set
    with pytest.raises(ParamsInvalid, match=r"too many bytes \(11\)"):
        Aliased(picture=make_png(b"123"))


def test_parameter_set_to_missing_is_not_sent() -> None:
    assert Aliased(extra=MISSING, class_="b").wire() == {"class": "b"}


class Inner(Part):
    """An object."""

    of_: Annotated[str | MISSING, Field(alias="of")] = MISSING
    colour: Annotated[Literal["red", "blue"] | MISSING, Field()] = MISSING


class Nested(Params):
    """Nested lists, and values in alternate forms, beside invalid ones."""

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
    lines: Annotated[TextOr[Sequence[str]] | MISSING, Field(max_length=1)] = MISSING
    colours_: Annotated[Sequence[Literal["red", "blue"]] | MISSING, Field(alias="colours")] = MISSING
    inner: Annotated[Inner | MISSING, Field()] = MISSING


def reported(**params: Any) -> set[str]:
    """Return what is said to be wrong, and where."""
    with pytest.raises(ParamsInvalid) as caught:
        Nested.model_validate(params)
    return {f"{problem.path}: {problem.message}" for problem in caught.value.problems}


def test_list_lengths_are_reported_at_every_depth() -> None:
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
    assert reported(lines=["a", 2]) == {"lines: too many items (2)", "lines[1]: 2 is not text"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7, "7 is neither text nor a list"),
        ("\ud800", r"'\ud800' contains a lone surrogate"),
        ((1,), "1 is not text"),
    ],
)
def test_text_or_list_is_neither(value: Any, message: str) -> None:
    [problem] = reported(lines=value)
    assert problem.endswith(f": {message}")


def test_rules_coerce_values_beside_invalid_ones() -> None:
    assert reported(name="x", level="1", text=1, class_="a", tags=[2]) == {"tags[0]: 2 is not text"}
    assert reported(name="x", level="2", text=2, **{"class": "b"}, tags=[2]) == {
        "tags[0]: 2 is not text",
        "name: requires level=1, but level is 2",
        "name: requires text='1', but text is '2'",
        "name: requires class='a', but class is 'b'",
    }


def test_suggestion_within_a_nested_object() -> None:
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
    for name in ("colours", "colours_"):
        with pytest.raises(ParamsInvalid) as caught:
            Nested.model_validate({name: ["red", "rde"]})
        assert [(problem.path, problem.suggestion) for problem in caught.value.problems] == [
            (f"{name}[1]", "red")
        ]


class Chosen(Params):
    """Exactly one parameter must be set, and values of another type may be equal to allowed ones."""

    adapter: ClassVar[Adapter] = Adapter(
        slug="chosen",
        title="Chosen",
        returns="image",
        rules=(AtLeastOneOf("first", "second"), MutuallyExclusive("first", "second")),
    )

    first: Annotated[BoolOnly[Literal[True]] | MISSING, Field()] = MISSING
    second: Annotated[float | MISSING, Field()] = MISSING


def test_group_rules_need_exactly_one() -> None:
    assert Chosen(first=True).wire() == {"first": True}
    assert Chosen(second=0.5).wire() == {"second": 0.5}
    for params in ({}, {"first": True, "second": 0.5}):
        with pytest.raises(ParamsInvalid):
            Chosen.model_validate(params)


@pytest.mark.parametrize(
    "params",
    [
        {"first": 1},
        {"first": False},
        {"first": "true"},
        {"second": math.inf},
        {"second": math.nan},
        {"second": "1"},
    ],
)
def test_equal_values_of_another_type_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ParamsInvalid):
        Chosen.model_validate(params)


def test_rules_are_checked_in_a_subclass_with_a_validator() -> None:
    class Branded(Kling25Turbo):
        adapter: ClassVar = Kling25Turbo.adapter

        @model_validator(mode="after")
        def _check_brand(self) -> Branded:
            return self

    assert Branded(prompt="x").wire() == {"prompt": "x"}
    with pytest.raises(ParamsInvalid, match="tail_image_url: requires image_url"):
        Branded(prompt="x", tail_image_url=URL)


def test_models_are_closed_and_frozen() -> None:
    with pytest.raises(ParamsInvalid, match="third: unknown parameter"):
        Chosen.model_validate({"first": True, "third": 1})
    with pytest.raises(ValidationError, match="frozen"):
        Chosen(first=True).first = MISSING
