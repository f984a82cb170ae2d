"""The generated models as a caller meets them: what they take, what they refuse and how they say it."""

from __future__ import annotations

import copy
import io
import math
import sys
from collections import deque
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import jsonschema_rs
import pytest
from pydantic import MISSING, BaseModel, Field, TypeAdapter, ValidationError, model_validator

from kling_adapters import Params, ParamsInvalid, load_catalog
from kling_adapters.errors import UNCHECKED_ADVICE
from kling_adapters.models import Kling2, Kling3ProImage2video, Kling25Turbo, KlingBloombloom, KlingO1
from kling_adapters.models.kling_3_pro_image2video import Element
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.param_types import BoolOnly, IntOrStr, Media, TextOr
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
def test_page_examples_are_sent_in_declared_types(
    slug: str, example: dict[str, Any], changed: dict[str, Any]
) -> None:
    body = model(slug).model_validate(example).wire()
    assert body == example | changed
    assert jsonschema_rs.is_valid(CATALOG[slug].json_schema(), body)


@pytest.mark.parametrize("slug", sorted(CATALOG))
def test_spec_examples_are_sent_unchanged(slug: str) -> None:
    for example in CATALOG[slug].json_schema()["examples"]:
        assert model(slug).model_validate(copy.deepcopy(example)).wire() == example


@pytest.mark.parametrize("slug", sorted(CATALOG))
def test_missing_and_unknown_parameters_are_problems(slug: str) -> None:
    schema = CATALOG[slug].json_schema()
    for name in schema["required"]:
        example = {key: value for key, value in schema["examples"][0].items() if key != name}
        assert f"{name}: required, but missing" in problems(slug, **example)
    if not schema["additionalProperties"]:
        assert problems(slug, **schema["examples"][0], zzz=1) == ["zzz: unknown parameter"]


def test_only_set_parameters_are_sent() -> None:
    assert Kling2(prompt="x").wire() == {"prompt": "x"}
    assert Kling2(prompt="x", duration=5).wire() == {"prompt": "x", "duration": 5}
    assert Kling3ProImage2video(prompt="x", start_image_url=URL, elements=[{}]).wire()["elements"] == [{}]  # type: ignore[list-item]


def test_default_is_readable_and_not_sent() -> None:
    params = Kling25Turbo(prompt="x")
    assert (params.duration, params.cfg_scale, params.mode, params.image_url) == (10, 0.7, "pro", None)
    assert params.wire() == {"prompt": "x"}


@pytest.mark.parametrize("value", [" 5", "05", "5.0", "5 ", True, 5.5, 7, "7", None, [5], "\u0665"])
def test_other_texts_of_an_integer_are_refused(value: Any) -> None:
    [problem] = problems("kling-2", prompt="x", duration=value)
    assert problem.startswith("duration: ")
    assert "allowed: 5, 10" in problem


@pytest.mark.parametrize("value", [5.5, True, "05", "2", 16, "16"])
def test_other_numbers_of_a_text_are_refused(value: Any) -> None:
    [problem] = problems("kling-3-pro-image2video", prompt="x", start_image_url=URL, duration=value)
    assert problem.startswith("duration: ")


def test_integer_for_a_text_is_sent_as_text() -> None:
    params = model("kling-3-pro-image2video").model_validate(
        {"prompt": "x", "start_image_url": URL, "duration": 15}
    )
    assert params.wire()["duration"] == "15"


@pytest.mark.parametrize(
    "value", ["", "ftp://a/b", "example.com/a.png", "https://", "data:image/png;base64,AA", "http:// a/b", 3]
)
def test_other_urls_are_refused(value: Any) -> None:
    [problem] = problems("kling-bloombloom", image=value)
    assert problem.startswith("image: ")


def test_url_is_sent_unchanged() -> None:
    url = "https://EXAMPLE.com:443/a/../b?sig=%2f%2F+x"
    assert KlingBloombloom(image=url).wire() == {"image": url}


def test_null_needs_a_nullable_parameter() -> None:
    assert Kling25Turbo(prompt="x", image_url=None).wire() == {"prompt": "x", "image_url": None}
    assert problems("kling-2", prompt="x", start_image=None) == [
        f"start_image: None is not an http or https URL; allowed: {MEDIA}"
    ]


def test_limits_of_the_prose_hold() -> None:
    required = {"prompt": "x", "start_image_url": URL}
    reported = problems(
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
    assert problems("kling-2.5-turbo", prompt="x", tail_image_url=URL) == [
        "tail_image_url: requires image_url, which is not set"
    ]
    assert problems("kling-2.5-turbo", prompt="x", tail_image_url=URL, image_url=None)
    Kling25Turbo(prompt="x", tail_image_url=URL, image_url=URL)
    Kling25Turbo(prompt="x", tail_image_url=URL, image_url=URL, mode="pro")
    Kling25Turbo(prompt="x", tail_image_url=None)


def test_references_must_have_an_item() -> None:
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


def test_rules_and_fields_are_reported_together() -> None:
    reported = problems(
        "kling-2.5-turbo", prompt="x", duration=7, tail_image_url="nowhere", apsect_ratio="16:9"
    )
    assert reported == [
        "duration: 7 is not allowed; allowed: 5, 10",
        f"tail_image_url: 'nowhere' is not an http or https URL; allowed: {MEDIA}",
        "apsect_ratio: unknown parameter; did you mean aspect_ratio?",
        "tail_image_url: requires image_url, which is not set",
    ]


def test_parameters_are_frozen() -> None:
    params = Kling2(prompt="x")
    with pytest.raises(ValueError, match="frozen"):
        params.duration = 7  # type: ignore[assignment]


def test_long_value_is_shortened_in_the_message() -> None:
    [problem] = problems("kling-2", prompt="x", aspect_ratio="y" * 10_000)
    assert len(problem) < 300


def test_value_of_another_type_is_one_problem() -> None:
    for value in (3, "kling-2", None, ["prompt"]):
        with pytest.raises(ParamsInvalid) as caught:
            Kling2.model_validate(value)
        assert [str(problem) for problem in caught.value.problems] == [
            f"parameters: {value!r} is not an object with parameters"
        ]
        # There is no parameter to pass without a check.
        assert UNCHECKED_ADVICE not in str(caught.value)


def test_number_with_too_many_digits_is_refused() -> None:
    endless = 10**5000
    for name in ("prompt", "cfg_scale", "aspect_ratio", "duration", "start_image"):
        [problem] = problems("kling-2", **{"prompt": "x", name: endless})
        assert problem.startswith(f"{name}: a value of type int that cannot be shown")
    assert problems("kling-o1", prompt="x", image_urls=[[endless]])


def test_name_that_is_not_text_is_refused() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Kling2.model_validate({"prompt": "x", 1: 2})
    assert [str(problem) for problem in caught.value.problems] == ["[1]: 1: keys should be strings"]


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


def test_text_that_cannot_be_sent_is_refused() -> None:
    for params in ({"prompt": "\ud800"}, {"prompt": "x", "negative_prompt": "\udfff"}):
        with pytest.raises(ParamsInvalid, match="contains a lone surrogate"):
            Kling25Turbo.model_validate(params)


def test_model_is_checked_once_in_another_model() -> None:
    class Order(BaseModel):
        job: Kling25Turbo

    assert str(Order.__pydantic_core_schema__).count("checks.Checks object") == 1


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


@pytest.mark.parametrize("slug", sorted(CATALOG))
def test_optional_parameters_accept_missing(slug: str) -> None:
    model, example = CATALOG[slug].load(), CATALOG[slug].json_schema()["examples"][0]
    missing = {
        name: MISSING
        for name, field in model.model_fields.items()
        if field.default is MISSING and (field.alias or name) not in example
    }
    assert model.model_validate({**example, **missing}).wire() == example
    assert Element(frontal_image_url=MISSING, reference_image_urls=MISSING).model_fields_set


@pytest.mark.parametrize("options", [{}, {"strict": True}, {"strict": False}])
@pytest.mark.parametrize("urls", [[URL, URL], (URL, URL)], ids=["list", "tuple"])
def test_list_and_tuple_are_sent_as_lists(urls: Sequence[str], options: dict[str, Any]) -> None:
    params = KlingO1.model_validate({"prompt": "x", "image_urls": urls}, **options)
    assert params.wire()["image_urls"] == [URL, URL]


@pytest.mark.parametrize("value", [URL, {URL}, {URL: 1}, iter([URL]), deque([URL]), URL.encode(), 7, None])
def test_other_collections_are_refused(value: Any) -> None:
    [problem] = problems("kling-o1", prompt="x", image_urls=value)
    assert problem.startswith("image_urls: ")
    assert problem.endswith(" is not a list")


class CountedFile(io.BytesIO):
    """A file that counts its reads."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        return super().read(size)


def test_file_of_an_invalid_call_is_read_once() -> None:
    file = CountedFile(make_png())
    assert len(problems("kling-3-pro-image2video", prompt=5, start_image_url=file, cfg_scale=2.0, zzz=1)) == 3
    assert file.reads == 1


def test_pydantic_calls_no_function_for_a_list() -> None:
    example = max(CATALOG["kling-3-pro-image2video"].json_schema()["examples"], key=len)
    called: set[str] = set()
    sys.setprofile(lambda frame, event, _: called.add(frame.f_code.co_name) if event == "call" else None)
    try:
        Kling3ProImage2video.model_validate(example)
    finally:
        sys.setprofile(None)
    assert "model_validate" in called
    assert "sequence_validator" not in called
