"""Values that rules read, beside a valid and beside an invalid parameter."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import MISSING, Field

from kling_adapters import Params, ParamsInvalid, Problem
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.param_types import IntOrStr
from kling_adapters.schema.params import Part


class Recorder:
    """A rule that records what it reads."""

    recorded: tuple[dict[str, Any], dict[str, Any]]

    def problems(self, values: Mapping[str, Any], set_values: Mapping[str, Any]) -> Iterator[Problem]:
        assert (values.get("zzz"), set_values.get("zzz")) == (None, None)
        self.recorded = dict(values), dict(set_values)
        return iter(())


recorder = Recorder()


class Lens(Part):
    width: Annotated[float, Field()] = 0.5
    kind_: Annotated[IntOrStr[Literal[1, 2]] | MISSING, Field(alias="kind")] = MISSING


class Camera(Part):
    name: Annotated[str, Field()] = "front"
    lens: Annotated[Lens | MISSING, Field()] = MISSING


class NamedCamera(Camera):
    @functools.cached_property
    def title(self) -> str:
        return self.name.title()


class Film(Params):
    adapter: ClassVar[Adapter] = Adapter("film-1", "Film 1", "video", rules=(recorder,))
    weight: Annotated[float | MISSING, Field()] = MISSING
    camera: Annotated[Camera | MISSING, Field()] = MISSING
    cameras: Annotated[Sequence[Camera] | MISSING, Field()] = MISSING
    scale: Annotated[float, Field()] = 1
    level: Annotated[int | MISSING, Field()] = MISSING


def read_beside_invalid(params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values that a rule reads beside an invalid one, and those of them that are set."""
    with pytest.raises(ParamsInvalid):
        Film.model_validate({**params, "level": "high"})
    values, set_values = recorder.recorded
    assert (values.pop("level"), set_values.pop("level")) == ("high", "high")
    return values, set_values


@pytest.mark.parametrize(
    "params",
    [
        {"weight": 2},
        {"weight": Decimal("0.5")},
        {"weight": Fraction(1, 4)},
        {"camera": {"lens": {"kind": "2"}}},
        {"camera": {"lens": {"kind_": 1, "width": 2}}},
        {"camera": {"lens": {"kind": MISSING}}},
        {"camera": Camera(lens=Lens(kind_=2))},
        {"camera": Camera(name="rear", lens=MISSING)},
        {"cameras": ({"name": "rear"}, Camera(lens=Lens()), {"lens": {"width": 1}})},
    ],
)
def test_rule_reads_the_same_beside_an_invalid_parameter(params: dict[str, Any]) -> None:
    Film.model_validate(params)
    assert repr(recorder.recorded) == repr(read_beside_invalid(params))


def test_defaults_within_objects_are_values_that_are_not_set() -> None:
    Film.model_validate({"cameras": [{"lens": {}}]})
    assert recorder.recorded == (
        {"cameras": [{"name": "front", "lens": {"width": 0.5}}], "scale": 1},
        {"cameras": [{"lens": {}}]},
    )


def test_rule_does_not_read_a_cached_property_of_an_object() -> None:
    camera = NamedCamera(lens=Lens(width=2))
    assert camera.title == "Front"
    Film(camera=camera)
    assert recorder.recorded[0]["camera"] == {"name": "front", "lens": {"width": 2}}


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("weight", True, True),
        ("weight", "2", "2"),
        ("weight", 10**400, 10**400),
        # A path enters lists and dicts only.
        ("camera", [{"name": "rear"}], ({"name": "rear"},)),
        ("cameras", {"name": "rear"}, MappingProxyType({"name": "rear"})),
        ("cameras", Camera(name="rear"), Camera(name="rear")),
        ("camera", "rear", "rear"),
    ],
)
def test_rule_reads_a_value_of_another_form_as_it_is(name: str, value: Any, read: Any) -> None:
    values, set_values = read_beside_invalid({name: value})
    assert repr(values) == repr({name: read, "scale": 1})
    assert repr(set_values) == repr({name: read})
