"""Rules of parameter models: problems, with their paths and locations, of nested parameters too."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import MISSING, BaseModel, Field, ValidationError

from kling_adapters import Params, ParamsInvalid, Problem
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.param_types import Media
from kling_adapters.schema.params import Part
from kling_adapters.schema.rules import (
    AtLeastOneOf,
    ExactlyOneOf,
    MaxBytes,
    MutuallyExclusive,
    References,
    Requires,
    Sum,
    When,
)
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


class Shot(Part):
    seconds: Annotated[float | MISSING, Field()] = 1
    kind: Annotated[str, Field()] = "fixed"
    movement: Annotated[str | MISSING, Field()] = MISSING


class Camera(Part):
    pan: Annotated[int | MISSING, Field()] = MISSING


class Conditional(Params):
    adapter: ClassVar[Adapter] = Adapter(
        "conditional-1",
        "Conditional 1",
        "video",
        rules=(
            When(
                equals={"mode": ("std",)},
                maximum={"total": 5},
                max_length={"text": 3},
                allowed={"level": (1, 2)},
            ),
            When(
                equals={"mode": ("pro", None)}, present=("text",), required=("level",), min_items={"shots": 2}
            ),
            When(equals={"shots.kind": ("moving",)}, required=("shots.movement", "text")),
            When(equals={"shots.kind": ("fixed",)}, forbidden=("shots.movement",)),
            When(present=("camera.pan",), minimum={"camera.pan": 0}, forbidden=("level",)),
            Sum("shots.seconds", equals="total", maximum=0.6),
        ),
    )
    mode: Annotated[str | None, Field()] = "std"
    total: Annotated[float | MISSING, Field()] = MISSING
    text: Annotated[str | MISSING, Field()] = MISSING
    level: Annotated[int | MISSING, Field()] = MISSING
    shots: Sequence[Shot] | MISSING = MISSING
    camera: Camera | MISSING = MISSING


STD, PRO = "when mode is 'std'", "when mode is 'pro' or None and text is set"
CONDITIONAL: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"total": 6}, [f"total: 6.0 is too large {STD}; allowed: at most 5"]),
    ({"mode": "pro", "total": 6}, []),
    ({"mode": None, "total": 6}, []),
    ({"text": "long"}, [f"text: too many characters (4) {STD}; allowed: at most 3"]),
    ({"level": 3}, [f"level: 3 is not allowed {STD}; allowed: 1, 2"]),
    ({"mode": None, "text": "long"}, [f"level: required {PRO}, but missing"]),
    ({"mode": "pro", "text": "x", "level": 7, "shots": [{"seconds": 0.1}]}, [f"shots: too few items (1) {PRO}; allowed: at least 2"]),
    ({"shots": [{"kind": "moving", "seconds": 0.1}, {"kind": "moving", "seconds": 0.2}, {"seconds": 0.2}]}, [
        "shots[0].movement: required when shots.kind is 'moving', but missing",
        "shots[1].movement: required when shots.kind is 'moving', but missing",
        "text: required when shots.kind is 'moving', but missing",
    ]),
    ({"shots": [{"movement": "left", "seconds": 0.3}]}, ["shots[0].movement: cannot be set when shots.kind is 'fixed'"]),
    ({"camera": {}, "level": 1}, []),
    ({"camera": {"pan": -1}, "level": 1}, [
        "level: cannot be set when camera.pan is set", "camera.pan: -1 is too small when camera.pan is set; allowed: at least 0",
    ]),
    ({"shots": [{"seconds": 0.1}, {"seconds": 0.2}], "total": 0.3}, []),
    ({"shots": [{"seconds": 0.1}, {"seconds": 0.2}], "total": 0.4}, ["shots: shots.seconds adds up to 0.3, but total is 0.4"]),
    ({"shots": [{}]}, ["shots: shots.seconds adds up to 1; allowed: at most 0.6"]),
    ({"shots": []}, []),
]  # fmt: skip


@pytest.mark.parametrize(("params", "expected"), CONDITIONAL)
def test_conditions_and_sums(params: dict[str, Any], expected: list[str]) -> None:
    lines: list[str] = []
    try:
        Conditional.model_validate(params)
    except ParamsInvalid as error:
        lines = [str(problem) for problem in error.problems]
    assert sorted(lines) == sorted(expected)


class Zoom(Part):
    factor: Annotated[float | MISSING, Field()] = MISSING


class Lens(Part):
    zoom: Annotated[Zoom | MISSING, Field()] = MISSING


class Rig(Part):
    lenses: Sequence[Lens] | MISSING = MISSING


class Staged(Params):
    """Conditions about items of lists, and a parameter deep within objects."""

    adapter: ClassVar[Adapter] = Adapter(
        "staged-1",
        "Staged 1",
        "video",
        rules=(
            When(equals={"shots.kind": ("moving",)}, present=("text",), required=("shots.movement",)),
            When(equals={"shots.kind": ("fixed",), "shots.seconds": (0.5,)}, forbidden=("shots.movement",)),
            When(equals={"mode": ("std",)}, maximum={"shots.seconds": 9, "rig.lenses.zoom.factor": 3}),
            Sum("shots.seconds", equals="total", maximum=9.5),
            References("text", token="{n}!", list="shots"),
            AtLeastOneOf("mode", "text"),
            MutuallyExclusive("mode", "total", "text"),
        ),
    )
    mode: Annotated[str | MISSING, Field()] = MISSING
    total: Annotated[float | MISSING, Field()] = MISSING
    text: Annotated[str | MISSING, Field()] = MISSING
    shots: Sequence[Shot] | MISSING = MISSING
    rig: Rig | MISSING = MISSING


STAGED: list[tuple[dict[str, Any], list[str]]] = [
    ({"text": "x", "shots": [{"kind": "moving"}, {}]},
        ["shots[0].movement: required when shots.kind is 'moving' and text is set, but missing"]),
    ({"mode": "pro", "shots": [{"kind": "moving"}]}, []),
    ({"text": "x", "shots": [{"seconds": 0.5}, {"movement": "left"}, {"kind": "other", "seconds": 0.5, "movement": "left"}]}, []),
    ({"text": "x", "shots": [{"seconds": 0.5, "movement": "left"}]},
        ["shots[0].movement: cannot be set when shots.kind is 'fixed' and shots.seconds is 0.5"]),
    ({"mode": "std", "shots": [{"seconds": 9}, {"seconds": 0.5}]}, []),
    ({"mode": "std", "shots": [{"seconds": 0.25}, {"seconds": 9.25}]},
        ["shots[1].seconds: 9.25 is too large when mode is 'std'; allowed: at most 9"]),
    ({"mode": "std", "rig": {"lenses": [{"zoom": {"factor": 2}}, {"zoom": {"factor": 4}}, {}]}},
        ["rig.lenses[1].zoom.factor: 4.0 is too large when mode is 'std'; allowed: at most 3"]),
    ({"text": "x", "shots": [{"seconds": 9.25}, {"seconds": 0.5}]},
        ["shots: shots.seconds adds up to 9.75; allowed: at most 9.5"]),
    ({"text": "x", "shots": [{"seconds": 2**53}, {"seconds": 1}]},
        ["shots: shots.seconds adds up to 9007199254740993; allowed: at most 9.5"]),
    ({"text": "x", "shots": [{"seconds": 10**320}, {"seconds": 0.5}]}, [
        f"shots: shots.seconds adds up to {str(10**320)[:60]}... (321 characters); allowed: at most 9.5",
        f"shots[0].seconds: {str(10**320)[:60]}... (321 characters) is not a finite number",
    ]),
    ({"text": "x", "shots": [{"seconds": 10**5000}]}, [
        "shots: shots.seconds adds up to a value of type int that cannot be shown; allowed: at most 9.5",
        "shots[0].seconds: a value of type int that cannot be shown is not a finite number",
    ]),
    ({"shots": [{"seconds": 2}], "total": True}, [
        "mode: none of mode, text is set; allowed: at least one of mode, text", "total: True is not a finite number",
    ]),
    ({"text": "12! 1! 4", "shots": [{"seconds": 0.5}]}, ["text: refers to 12!, but shots has 1 item"]),
    ({"mode": "pro", "total": 1, "text": "x"}, [
        "text: cannot be combined with mode; allowed: only one of mode, total, text",
        "total: cannot be combined with mode; allowed: only one of mode, total, text",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("params", "expected"), STAGED)
def test_conditions_of_items_and_sums_of_large_numbers(params: dict[str, Any], expected: list[str]) -> None:
    lines: list[str] = []
    try:
        Staged.model_validate(params)
    except ParamsInvalid as error:
        lines = [str(problem) for problem in error.problems]
    assert sorted(lines) == expected


class Sized(Params):
    adapter: ClassVar[Adapter] = Adapter(
        "sized-1", "Sized 1", "video", rules=(Requires("text", equals={"mode": "pro"}),)
    )
    mode: Annotated[str, Field()]
    text: Annotated[str | MISSING, Field()] = MISSING


def test_missing_parameter_has_no_value_in_the_message_of_a_rule() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Sized.model_validate({"text": "x"})
    assert [str(problem) for problem in caught.value.problems] == [
        "mode: required, but missing",
        "text: requires mode='pro', but mode is None",
    ]


def test_rules_read_python_names_beside_invalid_fields() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Ruled.model_validate({"image": URL, "a_b": "x", "elements": 7})
    assert [(problem.path, problem.value) for problem in caught.value.problems] == [
        ("elements", 7),
        ("a.b", "x"),
    ]


class Recorder:
    """A rule of a plugin: it reads everything, and passes copies on to a rule of the core."""

    def __init__(self) -> None:
        self.calls: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def problems(self, values: Mapping[str, Any], set_values: Mapping[str, Any]) -> Iterator[Problem]:
        assert len(values) == len(dict(values))
        assert "zzz" not in values
        assert [values[name] for name in values] == list(values.values())
        self.calls.append((dict(values), dict(set_values)))
        yield from References("text", token="@{n}", list="shots").problems(dict(values), dict(set_values))


@pytest.mark.parametrize("level", [1, "wrong"])
def test_rule_of_a_plugin_reads_mappings(level: Any) -> None:
    recorder = Recorder()

    class Recorded(Conditional):
        adapter: ClassVar[Adapter] = Adapter("recorded-1", "Recorded 1", "video", rules=(recorder,))

    with pytest.raises(ParamsInvalid, match="refers to @2, but shots has 1 item"):
        Recorded.model_validate({"text": "@1 @2", "shots": [{"movement": "left"}], "level": level})
    params = {"text": "@1 @2", "level": level}
    assert recorder.calls == [
        (
            {"mode": "std", **params, "shots": [{"seconds": 1, "kind": "fixed", "movement": "left"}]},
            {**params, "shots": [{"movement": "left"}]},
        )
    ]
