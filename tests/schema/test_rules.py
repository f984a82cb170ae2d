"""Rules of parameter models: problems, with their paths and locations, of nested parameters too."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import MISSING, BaseModel, Field, ValidationError

from kling_adapters import Params, ParamsInvalid
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.param_types import Media
from kling_adapters.schema.params import Part
from kling_adapters.schema.rules import ExactlyOneOf, MaxBytes
from tests.support.media import make_png

URL = "https://example.com/a.png"
PNG = make_png()


class Element(Part):
    front: Media | MISSING = MISSING
    mode_: Annotated[str | MISSING, Field(alias="mode")] = MISSING


class Ruled(Params):
    adapter: ClassVar[Adapter] = Adapter(
        "ruled-1",
        "Ruled 1",
        "video",
        rules=(MaxBytes("elements.front", bytes=len(PNG) - 1), ExactlyOneOf("image", "a.b")),
    )
    image: Media | MISSING | None = MISSING
    a_b: Annotated[str | MISSING, Field(alias="a.b")] = MISSING
    elements: Sequence[Element] | MISSING = MISSING


def problems(**params: Any) -> list[str]:
    try:
        Ruled.model_validate(params)
    except ParamsInvalid as error:
        return [str(problem) for problem in error.problems]
    return []


TOO_LARGE = f"too many bytes ({len(PNG)}); allowed: at most {len(PNG) - 1}"


@pytest.mark.parametrize("make", [lambda: PNG, lambda: io.BytesIO(PNG)])
def test_file_in_object_is_measured(make: Any) -> None:
    elements = [{"front": URL}, {}, {"front": make()}]
    assert problems(image=URL, elements=elements) == [f"elements[2].front: {TOO_LARGE}"]


def test_file_beside_invalid_field_is_measured() -> None:
    lines = problems(image=URL, elements=[{"front": PNG, "mode": 7}, {"front": PNG}, 7])
    assert sorted(lines) == [
        f"elements[0].front: {TOO_LARGE}",
        "elements[0].mode: 7 is not text",
        f"elements[1].front: {TOO_LARGE}",
        "elements[2]: 7 is not an object with parameters",
    ]


def test_problem_in_object_has_its_location() -> None:
    class Job(BaseModel):
        params: Ruled

    with pytest.raises(ValidationError) as caught:
        Job.model_validate({"params": {"elements": [{"front": PNG}]}})
    locations = [details["loc"] for details in caught.value.errors()]
    assert locations == [("params", "elements", 0, "front"), ("params", "image")]
    with pytest.raises(ValidationError) as caught:
        Job.model_validate({"params": {"image": URL, "a.b": "x"}})
    # A dot in a name is not a path.
    assert [details["loc"] for details in caught.value.errors()] == [("params", "a.b")]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"image": URL}, []),
        ({"a.b": "x", "image": None}, []),
        ({"image": None}, ["image: none of image, a.b is set; allowed: exactly one of image, a.b"]),
        ({"image": URL, "a.b": "x"}, ["a.b: cannot be combined with image; allowed: exactly one of image, a.b"]),
    ],
)  # fmt: skip
def test_exactly_one_of_group_is_set(params: dict[str, Any], expected: list[str]) -> None:
    assert problems(**params) == expected
