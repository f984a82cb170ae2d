"""The generated models as a caller meets them: what they take, what they refuse and how they say it."""

from __future__ import annotations

import copy
import io
import sys
from collections import deque
from collections.abc import Sequence
from typing import Any

import jsonschema_rs
import pytest
from pydantic import MISSING, BaseModel

from kling_adapters import ParamsInvalid
from kling_adapters.errors import UNCHECKED_ADVICE
from kling_adapters.models import Kling2, Kling3ProImage2video, Kling25Turbo, KlingBloombloom, KlingO1
from kling_adapters.models.kling_3_pro_image2video import Element
from tests.schema.conftest import CATALOG, MEDIA, URL, list_problems, load_model
from tests.support.media import make_png

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


@pytest.mark.parametrize(("slug", "example", "changed"), PAGE_EXAMPLES, ids=[row[0] for row in PAGE_EXAMPLES])
def test_page_examples_are_sent_in_declared_types(
    slug: str, example: dict[str, Any], changed: dict[str, Any]
) -> None:
    body = load_model(slug).model_validate(example).wire()
    assert body == example | changed
    assert jsonschema_rs.is_valid(CATALOG[slug].json_schema(), body)


@pytest.mark.parametrize("slug", sorted(CATALOG))
def test_spec_examples_are_sent_unchanged(slug: str) -> None:
    for example in CATALOG[slug].json_schema()["examples"]:
        assert load_model(slug).model_validate(copy.deepcopy(example)).wire() == example


@pytest.mark.parametrize("slug", sorted(CATALOG))
def test_missing_and_unknown_parameters_are_problems(slug: str) -> None:
    schema = CATALOG[slug].json_schema()
    for name in schema["required"]:
        example = {key: value for key, value in schema["examples"][0].items() if key != name}
        assert f"{name}: required, but missing" in list_problems(slug, **example)
    if not schema["additionalProperties"]:
        assert list_problems(slug, **schema["examples"][0], zzz=1) == ["zzz: unknown parameter"]


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
    [problem] = list_problems("kling-2", prompt="x", duration=value)
    assert problem.startswith("duration: ")
    assert "allowed: 5, 10" in problem


@pytest.mark.parametrize("value", [5.5, True, "05", "2", 16, "16"])
def test_other_numbers_of_a_text_are_refused(value: Any) -> None:
    [problem] = list_problems("kling-3-pro-image2video", prompt="x", start_image_url=URL, duration=value)
    assert problem.startswith("duration: ")


def test_integer_for_a_text_is_sent_as_text() -> None:
    params = load_model("kling-3-pro-image2video").model_validate(
        {"prompt": "x", "start_image_url": URL, "duration": 15}
    )
    assert params.wire()["duration"] == "15"


@pytest.mark.parametrize(
    "value", ["", "ftp://a/b", "example.com/a.png", "https://", "data:image/png;base64,AA", "http:// a/b", 3]
)
def test_other_urls_are_refused(value: Any) -> None:
    [problem] = list_problems("kling-bloombloom", image=value)
    assert problem.startswith("image: ")


def test_url_is_sent_unchanged() -> None:
    url = "https://EXAMPLE.com:443/a/../b?sig=%2f%2F+x"
    assert KlingBloombloom(image=url).wire() == {"image": url}


def test_null_needs_a_nullable_parameter() -> None:
    assert Kling25Turbo(prompt="x", image_url=None).wire() == {"prompt": "x", "image_url": None}
    assert list_problems("kling-2", prompt="x", start_image=None) == [
        f"start_image: None is not an http or https URL; allowed: {MEDIA}"
    ]


def test_parameters_are_frozen() -> None:
    params = Kling2(prompt="x")
    with pytest.raises(ValueError, match="frozen"):
        params.duration = 7  # type: ignore[assignment]


def test_long_value_is_shortened_in_the_message() -> None:
    [problem] = list_problems("kling-2", prompt="x", aspect_ratio="y" * 10_000)
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
        [problem] = list_problems("kling-2", **{"prompt": "x", name: endless})
        assert problem.startswith(f"{name}: a value of type int that cannot be shown")
    assert list_problems("kling-o1", prompt="x", image_urls=[[endless]])


def test_name_that_is_not_text_is_refused() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Kling2.model_validate({"prompt": "x", 1: 2})
    assert [str(problem) for problem in caught.value.problems] == ["[1]: 1: keys should be strings"]


def test_text_that_cannot_be_sent_is_refused() -> None:
    for params in ({"prompt": "\ud800"}, {"prompt": "x", "negative_prompt": "\udfff"}):
        with pytest.raises(ParamsInvalid, match="contains a lone surrogate"):
            Kling25Turbo.model_validate(params)


def test_model_is_checked_once_in_another_model() -> None:
    class Order(BaseModel):
        job: Kling25Turbo

    assert str(Order.__pydantic_core_schema__).count("checks.Checks object") == 1


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
    [problem] = list_problems("kling-o1", prompt="x", image_urls=value)
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
    assert (
        len(list_problems("kling-3-pro-image2video", prompt=5, start_image_url=file, cfg_scale=2.0, zzz=1))
        == 3
    )
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
