"""Parameters within objects: their lengths, rules, deprecations and unknown names, in models of every form."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import MISSING, Field, TypeAdapter, ValidationError

from kling_adapters import DeprecatedParameter, Params, ParamsInvalid, Problem
from kling_adapters.models import Kling25Turbo
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.param_types import Deprecation
from kling_adapters.schema.params import Part
from kling_adapters.schema.rules import When


class Shot(Part):
    note: Annotated[str, Field()] = ""
    tags: Annotated[Sequence[str], Field(max_length=2)] = ()
    seconds: Annotated[int, Field(alias="length"), Deprecation("2026-11-21", "duration")] = 5


class Font(Part):
    weight: Annotated[Literal["bold", "light"], Field()] = "bold"


class Title(Part):
    text: str = ""
    font: Annotated[Font | MISSING, Field()] = MISSING


class ShortNote:
    """A rule about a parameter within an object."""

    def problems(self, values: Mapping[str, Any], set_values: Mapping[str, Any]) -> Iterator[Problem]:
        shot = values.get("shot")
        note = shot.get("note", "") if isinstance(shot, dict) else ""
        if len(note) > 3:
            yield Problem("shot.note", "is too long", note, "at most 3 letters")


ONLY_AN_END = When(equals={"title": (None,)}, allowed={"credits.text": ("The End",)})


class Film(Params):
    adapter: ClassVar[Adapter] = Adapter("film-1", "Film 1", "video", rules=(ShortNote(), ONLY_AN_END))
    shot: Shot | None = None
    title: Title | Shot | None = None
    credits: Annotated[Sequence[Title] | MISSING, Field()] = MISSING


class FreeFilm(Film):
    unchecked: ClassVar[frozenset[str]] = frozenset({"shot", "credits"})


def list_problems(model: type[Params], params: Any) -> set[str]:
    with pytest.raises(ParamsInvalid) as caught:
        model.model_validate(params)
    return {str(problem) for problem in caught.value.problems}


def test_length_and_items_of_a_list_in_an_object_are_problems() -> None:
    assert list_problems(Film, {"shot": {"tags": [1, "b", "c"]}}) == {
        "shot.tags[0]: 1 is not text",
        "shot.tags: too many items (3); allowed: at most 2",
    }


def test_rule_applies_within_an_object_unless_it_is_unchecked() -> None:
    assert list_problems(Film, {"shot": {"note": "long"}}) == {
        "shot.note: is too long; allowed: at most 3 letters"
    }
    with pytest.raises(ValidationError, match="is too long; allowed: at most 3 letters "):
        TypeAdapter(list[Film]).validate_python([{"shot": {"note": "long"}}])
    assert FreeFilm.model_validate({"shot": {"note": "long"}}).wire() == {"shot": {"note": "long"}}


def test_rule_applies_to_items_of_a_list_unless_it_is_unchecked() -> None:
    params = {"credits": [{"text": "The End"}, {"text": "Cast"}]}
    assert list_problems(Film, params) == {
        "credits[1].text: 'Cast' is not allowed when title is None; allowed: 'The End'"
    }
    assert FreeFilm.model_validate(params).wire() == params


def test_deprecated_parameter_in_an_object_is_reported() -> None:
    for shot in ({"seconds": 7}, {"length": 7}, Shot.model_validate({"length": 7})):
        with pytest.warns(DeprecatedParameter, match=r"film-1: shot.length is deprecated since 2026-11-21"):
            assert Film.model_validate({"shot": shot}).wire() == {"shot": {"length": 7}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Film.model_validate({"shot": None, "credits": MISSING}).wire() == {"shot": None}


def test_unknown_name_in_an_object_of_several_forms_is_a_problem() -> None:
    unknown = {"title": {"zz": 1, "font": {"zz": 1, "weight": "bolt"}}}
    assert {problem.partition(": ")[2] for problem in list_problems(Film, unknown)} == {
        "unknown parameter",
        "'bolt' is not allowed",
    }


def test_names_and_values_in_an_object_of_an_item_are_suggested() -> None:
    assert list_problems(Film, {"credits": [{"font": {"wight": "bold"}}, {"font": {"weight": "bolt"}}]}) == {
        "credits[0].font.wight: unknown parameter; did you mean weight?",
        "credits[1].font.weight: 'bolt' is not allowed; allowed: 'bold', 'light'; did you mean bold?",
    }


def test_object_of_another_form_is_one_problem() -> None:
    assert list_problems(Film, {"shot": 7}) == {"shot: 7 is not an object with parameters"}


@pytest.mark.parametrize("params", ["text", 7, [], None])
def test_parameters_of_another_form_are_refused(params: Any) -> None:
    [problem] = list_problems(Kling25Turbo, params)
    assert problem.endswith("is not an object with parameters")
