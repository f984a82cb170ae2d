"""Types of parameters whose Literal takes exactly the values that it names."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import MISSING, BaseModel, Field, TypeAdapter, ValidationError

from kling_adapters import Params, ParamsInvalid
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.param_types import BoolOnly, IntOrStr


class Film(Params):
    adapter: ClassVar[Adapter] = Adapter("film-1", "Film 1", "video")
    level: Annotated[IntOrStr[Literal["3", "4"]] | MISSING, Field()] = MISSING
    seconds: Annotated[IntOrStr[Literal[5, 10]] | MISSING, Field()] = MISSING
    is_silent: Annotated[BoolOnly[Literal[True]] | MISSING, Field()] = MISSING


class Order(BaseModel):
    film: Film


def test_other_form_becomes_the_declared_one() -> None:
    params = Film.model_validate({"level": 3, "seconds": "10", "is_silent": True})
    assert params.wire() == {"level": "3", "seconds": 10, "is_silent": True}


@pytest.mark.parametrize("params", [{"is_silent": 1}, {"is_silent": "true"}, {"is_silent": False}])
def test_value_that_equals_a_bool_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ParamsInvalid, match="is_silent"):
        Film.model_validate(params)


def test_bool_is_refused_in_a_model_that_is_not_strict() -> None:
    with pytest.raises(ValidationError, match="valid boolean"):
        TypeAdapter(BoolOnly[Literal[True]]).validate_python(1)


def test_error_of_pydantic_names_the_choices() -> None:
    with pytest.raises(ValidationError) as caught:
        Order.model_validate({"film": {"seconds": 5.0}})
    assert [error["msg"] for error in caught.value.errors()] == ["Input should be 5 or 10"]
