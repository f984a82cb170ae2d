"""Lists are validated by pydantic-core, and parts of a schema that look like one stay as they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import MISSING, BaseModel, Field, ValidationError

from kling_adapters import Params, ParamsInvalid
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.params import Part

LOOKALIKE: dict[str, Any] = {"type": "json-or-python", "python_schema": 1}


class Shot(Part):
    names: Sequence[str] | MISSING = MISSING
    cues: Annotated[deque[str], Field(json_schema_extra=LOOKALIKE)] = deque()  # noqa: RUF012  pydantic copies it
    note: Any = LOOKALIKE
    place: Path | MISSING = MISSING


class Film(Params):
    adapter: ClassVar[Adapter] = Adapter("film-1", "Film 1", "video")
    names: Annotated[Sequence[str] | MISSING, Field(max_length=3)] = MISSING
    shots: Sequence[Shot] = ()


class Order(BaseModel):
    film: Film


def find_schemas(schema: Any, kind: str) -> Iterator[Any]:
    """Yield the schemas of a type that a call without strict=True uses."""
    if isinstance(schema, list):
        for part in schema:
            yield from find_schemas(part, kind)
    elif isinstance(schema, dict):
        if schema.get("type") == kind:
            yield schema
        for name, part in schema.items():
            if name not in ("default", "metadata", "serialization", "strict_schema"):
                yield from find_schemas(part, kind)


@pytest.mark.parametrize("model", [Film, Order])
def test_no_list_of_texts_or_objects_calls_python(model: type[BaseModel]) -> None:
    schema: Any = model.__pydantic_core_schema__
    choices = [part["python_schema"] for part in find_schemas(schema, "json-or-python")]
    lists = [choice for choice in choices if choice["type"] == "lax-or-strict"]
    assert len(lists) == 3
    assert [list(find_schemas(choice, "function-wrap")) for choice in lists] == [[], [], []]


@pytest.mark.parametrize("names", [["a"], ("a",)])
def test_strict_call_takes_lists_and_tuples(names: Sequence[str]) -> None:
    for is_strict in (True, False, None):
        assert Film.model_validate({"names": names}, strict=is_strict).wire() == {"names": ["a"]}


def test_other_collection_keeps_its_type() -> None:
    assert Film(shots=[Shot(cues=deque(["a"]))]).shots[0].cues == deque(["a"])
    with pytest.raises(ParamsInvalid, match="cues"):
        Film.model_validate({"shots": [{"cues": ["a"]}]})


def test_path_is_no_list() -> None:
    assert Film(shots=[Shot(place=Path("a"))]).shots[0].place == Path("a")
    with pytest.raises(ParamsInvalid, match="place"):
        Film.model_validate({"shots": [{"place": ["a"]}]})


def test_default_and_description_may_look_like_a_schema() -> None:
    assert Shot().note == LOOKALIKE
    assert Shot.model_json_schema()["properties"]["cues"]["python_schema"] == 1


def test_error_of_pydantic_names_a_list() -> None:
    with pytest.raises(ValidationError) as caught:
        Order.model_validate({"film": {"names": 7}})
    assert [error["msg"] for error in caught.value.errors()] == ["Input should be an instance of list"]
