"""Deprecated parameters work and are sent; a call that sets one issues one warning."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import MISSING, Field
from pydantic import BaseModel as PydanticModel

from kling_adapters import Adapter, DeprecatedParameter, Kling, Params
from kling_adapters.schema.param_types import Deprecation
from kling_adapters.schema.params import Part
from kling_adapters.testing import FakeGateway, SimulatedClock
from tests.support.life import load_state

DEPRECATED = load_state("3-deprecated")
STYLE = "studio-1: style is deprecated since 2026-03-31, and is still sent. Use words in the prompt"


class Camera(Part):
    roll: Annotated[float | MISSING, Field(), Deprecation(since="2026-01-20")] = MISSING


class Shot(Part):
    text: str
    camera: Camera | MISSING = MISSING


class Film(Params):
    adapter: ClassVar[Adapter] = Adapter(
        slug="film-1", title="Film 1", returns="video", renamed={"take": "mode"}
    )
    shots: Annotated[Sequence[Shot] | MISSING, Field()] = MISSING
    mode: Annotated[
        Literal["std"] | MISSING, Field(), Deprecation(since="2026-01-20", use="\x1b[2Jnothing")
    ] = MISSING


class Reel(Params):
    """A model with a deprecated parameter and nothing else to warn of."""

    adapter: ClassVar[Adapter] = Adapter(slug="reel-1", title="Reel 1", returns="video")
    name: Annotated[str | MISSING, Field()] = MISSING
    shots: Annotated[Sequence[Annotated[Shot, Field()]] | MISSING, Field()] = MISSING


class Clip(Params):
    adapter: ClassVar[Adapter] = Adapter(slug="clip-1", title="Clip 1", returns="video")
    name: Annotated[str | MISSING, Field()] = MISSING
    roll: Annotated[float | MISSING, Field(), Deprecation(since="2026-01-20")] = MISSING


def texts(issued: list[warnings.WarningMessage]) -> list[str]:
    return [str(warning.message) for warning in issued]


@pytest.mark.parametrize("call", ["slug", "object", "dict of map", "object of map"])
def test_each_call_warns_once_and_sends_it(call: str) -> None:
    params = {"prompt": "x", "style": "calm"}
    with (
        FakeGateway() as gateway,
        Kling(
            base_url=gateway.base_url,
            api_key=gateway.api_key,
            plugins=[DEPRECATED],
            journal=None,
            clock=SimulatedClock(),
        ) as kling,
        warnings.catch_warnings(record=True) as issued,
    ):
        warnings.simplefilter("always")
        match call:
            case "slug":
                kling.submit_model("studio-1", params)
            case "object":
                kling.submit(DEPRECATED.model(**params))
            case "dict of map":
                list(kling.map([{"model": "studio-1", **params}]))
            case _:
                list(kling.map([DEPRECATED.model(**params)]))
        assert [request.params for request in gateway.requests if request.method == "POST"] == [params]
    assert texts(issued) == [STYLE]
    if "map" not in call:
        assert Path(issued[0].filename).name == Path(__file__).name


def test_other_parameters_do_not_warn() -> None:
    assert DEPRECATED.model(prompt="x", duration=5).wire() == {"prompt": "x", "duration": 5}


def test_reading_it_does_not_warn() -> None:
    with pytest.warns(DeprecatedParameter):
        params = DEPRECATED.model(prompt="x", style="calm")
    assert vars(params)["style"] == "calm"
    assert repr(params) == repr(params.model_copy())


def test_schema_of_model_says_deprecated() -> None:
    schema = DEPRECATED.model.model_json_schema()
    packaged = DEPRECATED.schemas["studio-1"]
    for properties in (schema["properties"], packaged["properties"]):
        assert [name for name, part in properties.items() if part.get("deprecated")] == ["style"]


def test_nested_one_warns_once_for_all_items() -> None:
    film = {
        "shots": [
            {"text": "a", "camera": {"roll": 1}},
            {"text": "b", "camera": Camera.model_construct(roll=2.0)},
        ]
    }
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always")
        Film.model_validate(film)
        Film.model_validate({"shots": [{"text": "a"}]})
    assert texts(issued) == ["film-1: shots.camera.roll is deprecated since 2026-01-20, and is still sent"]


def test_one_deprecated_parameter_warns_where_it_is_declared() -> None:
    with pytest.warns(DeprecatedParameter, match="reel-1: shots.camera.roll is deprecated since 2026-01-20"):
        Reel.model_validate({"shots": [{"text": "a", "camera": {"roll": 1}}]})
    with pytest.warns(DeprecatedParameter, match="clip-1: roll is deprecated since 2026-01-20"):
        Clip(roll=1)


def test_old_name_of_deprecated_parameter_warns_of_both() -> None:
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always")
        Film.model_validate({"take": "std"})
    assert texts(issued) == [
        "film-1: take was renamed to mode, and is sent as mode. Use mode: a later version refuses take",
        "film-1: mode is deprecated since 2026-01-20, and is still sent. Use \\x1b[2Jnothing",
    ]


def test_model_of_user_warns_as_well() -> None:
    class Order(PydanticModel):
        film: Film

    with pytest.warns(DeprecatedParameter, match="mode is deprecated"):
        Order.model_validate({"film": {"mode": "std"}})
