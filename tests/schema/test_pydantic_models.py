"""Parameter models as parts of an application's own pydantic models, unions, adapters and web frameworks."""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar

import anyio
import httpx
import pytest
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from kling_adapters import Params, ParamsInvalid
from kling_adapters.models import Kling2, Kling3ProImage2video, Kling25Turbo, KlingO1
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.param_types import EXPECTED_MEDIA

URL = "https://example.com/a.png"


class Order(BaseModel):
    """A model of an application."""

    id: int
    job: Kling25Turbo
    further: list[Kling2 | KlingO1] = []
    draft: Kling2 | None = None


def locations(error: ValidationError) -> set[tuple[int | str, ...]]:
    return {details["loc"] for details in error.errors()}


WRONG: dict[str, Any] = {"prompt": "x", "duration": 7, "tail_image_url": URL, "apsect_ratio": "16:9"}


def test_problems_have_paths_in_an_outer_model() -> None:
    with pytest.raises(ValidationError) as caught:
        Order.model_validate({"id": "z", "job": WRONG})
    assert locations(caught.value) == {
        ("id",),
        ("job", "duration"),
        ("job", "apsect_ratio"),
        ("job", "tail_image_url"),
    }
    messages = {details["loc"][-1]: details["msg"] for details in caught.value.errors()}
    assert messages["tail_image_url"] == "requires image_url, which is not set"
    assert messages["duration"] == "Input should be 5 or 10"


def test_rule_has_a_path_in_an_outer_model() -> None:
    with pytest.raises(ValidationError) as caught:
        Order.model_validate_json(json.dumps({"id": 1, "job": {"prompt": "x", "tail_image_url": URL}}))
    assert locations(caught.value) == {("job", "tail_image_url")}


def test_list_length_is_reported_in_an_outer_model() -> None:
    class Film(BaseModel):
        job: Kling3ProImage2video

    job = {"prompt": "x", "start_image_url": "nowhere", "voice_ids": ["a", 2, "c"]}
    with pytest.raises(ValidationError) as caught:
        Film.model_validate({"job": job})
    assert locations(caught.value) == {
        ("job", "start_image_url"),
        ("job", "voice_ids", 1),
        ("job", "voice_ids"),
    }
    messages = {details["loc"][1:]: details["msg"] for details in caught.value.errors()}
    assert messages["voice_ids",] == "List should have at most 2 items after validation, not 3"
    assert messages["start_image_url",] == f"Input is not an http or https URL; expected {EXPECTED_MEDIA}"


def test_parameters_alone_raise_params_invalid() -> None:
    builds: list[Callable[[], Params]] = [
        lambda: Kling25Turbo(**WRONG),
        lambda: Kling25Turbo.model_validate(WRONG),
        lambda: Kling25Turbo.model_validate_json(json.dumps(WRONG)),
        lambda: Kling25Turbo.model_validate_strings({**WRONG, "duration": "7"}),
    ]
    for build in builds:
        with pytest.raises(ParamsInvalid) as caught:
            build()
        assert [problem.path for problem in caught.value.problems] == [
            "duration",
            "apsect_ratio",
            "tail_image_url",
        ]


def test_options_of_pydantic_are_heeded() -> None:
    class Aliased(Params):
        adapter: ClassVar[Adapter] = Adapter("aliased-1", "Aliased 1", "video")
        class_: Annotated[str, Field(alias="class")] = "a"

    params = {"class": "b"}
    builds: list[Callable[..., Params]] = [
        lambda **options: Aliased.model_validate(params, **options),
        lambda **options: Aliased.model_validate_json(json.dumps(params), **options),
        lambda **options: Aliased.model_validate_strings(params, **options),
    ]
    for build in builds:
        assert build().wire() == params
        with pytest.raises(ParamsInvalid, match="class: unknown parameter"):
            build(by_alias=False, by_name=True)


def test_invalid_json_is_one_problem() -> None:
    with pytest.raises(ParamsInvalid, match=r"parameters: .*invalid JSON"):
        Kling2.model_validate_json("{")


@pytest.mark.parametrize("mode", ["smart", "left_to_right"])
def test_every_member_of_a_union_is_tried(mode: Any) -> None:
    union: TypeAdapter[Params] = TypeAdapter(Annotated[Kling2 | KlingO1, Field(union_mode=mode)])
    assert type(union.validate_python({"prompt": "x", "image_urls": [URL]})) is KlingO1
    assert type(union.validate_json('{"prompt": "x"}')) is Kling2
    with pytest.raises(ValidationError) as caught:
        union.validate_python({"prompt": "x", "duration": 7})
    assert locations(caught.value) == {
        ("Kling2", "duration"),
        ("KlingO1", "image_urls"),
        ("KlingO1", "duration"),
    }


def test_models_work_in_lists_and_optional_fields() -> None:
    order = Order.model_validate(
        {
            "id": 1,
            "job": Kling25Turbo(prompt="x"),
            "further": [{"prompt": "y", "image_urls": (URL,)}, {"prompt": "z", "duration": "10"}],
            "draft": None,
        }
    )
    assert [params.wire() for params in order.further] == [
        {"prompt": "y", "image_urls": [URL]},
        {"prompt": "z", "duration": 10},
    ]
    with pytest.raises(ValidationError) as caught:
        Order.model_validate({"id": 1, "job": {"prompt": "x"}, "draft": {"prompt": 1}})
    assert locations(caught.value) == {("draft", "prompt")}


def test_models_validate_from_attributes() -> None:
    row = SimpleNamespace(prompt="x", duration=5)
    assert Kling2.model_validate(row, from_attributes=True).wire() == {"prompt": "x", "duration": 5}
    with pytest.raises(ParamsInvalid, match="duration"):
        Kling2.model_validate(SimpleNamespace(prompt="x", duration=7), from_attributes=True)


def test_subclass_may_have_validators() -> None:
    class Branded(Kling2):
        adapter: ClassVar = Kling2.adapter

        @model_validator(mode="after")
        def _check_brand(self) -> Branded:
            if "acme" not in self.prompt:
                raise ValueError("the prompt does not name acme")
            return self

    assert Branded(prompt="acme").wire() == {"prompt": "acme"}
    with pytest.raises(ParamsInvalid, match="does not name acme"):
        Branded(prompt="x")
    with pytest.raises(ValidationError, match="does not name acme"):
        TypeAdapter(Branded | None).validate_python({"prompt": "x"})


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda params: pickle.loads(pickle.dumps(params))]
)
def test_models_are_copied_and_pickled(copied: Any) -> None:
    params = Kling3ProImage2video.model_validate(
        {"prompt": "x", "start_image_url": URL, "elements": [{"frontal_image_url": URL}]}
    )
    assert copied(params) == params
    assert copied(params).wire() == params.wire()
    assert copied(params).model_fields_set == params.model_fields_set


def test_media_is_a_uri_in_json_schema() -> None:
    media = Kling2.model_json_schema()["properties"]["start_image"]
    assert (media["type"], media["format"]) == ("string", "uri")
    assert "default" not in media
    assert re.search(media["pattern"], URL)


def test_json_schema_has_documented_limits_only() -> None:
    class Film(Params):
        adapter: ClassVar[Adapter] = Adapter("film-1", "Film 1", "video")
        title: Annotated[str, Field(max_length=80)] = ""
        notes: str | Sequence[str] | None = None

    assert re.findall(r'"maxLength": (\d+)', json.dumps(Film.model_json_schema())) == ["80"]


def test_fastapi_answers_422_and_has_a_schema() -> None:
    fastapi: Any = pytest.importorskip("fastapi", reason="FastAPI is not installed: it is in the dev group")
    app = fastapi.FastAPI()

    def make_film(job: Kling25Turbo) -> dict[str, Any]:
        return job.wire()

    def make_any(job: Kling2 | KlingO1) -> str:
        return job.adapter.slug

    def echo(order: Order) -> Order:
        return order

    app.post("/films")(make_film)
    app.post("/any")(make_any)
    app.post("/echo")(echo)

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://films.example") as web:
            return [
                await web.post("/films", json=WRONG),
                await web.post("/films", json={"prompt": "x", "duration": "5"}),
                await web.post("/any", json={"prompt": "x", "image_urls": [URL]}),
                await web.post("/echo", json={"id": 1, "job": {"prompt": "x", "tail_image_url": URL}}),
                await web.post("/echo", json={"id": 1, "job": {"prompt": "x"}}),
                await web.get("/openapi.json"),
            ]

    wrong, right, alternative, broken, echoed, schema = anyio.run(ask)
    assert wrong.status_code == 422
    assert sorted(problem["loc"] for problem in wrong.json()["detail"]) == [
        ["body", "apsect_ratio"],
        ["body", "duration"],
        ["body", "tail_image_url"],
    ]
    assert (right.status_code, right.json()) == (200, {"prompt": "x", "duration": 5})
    assert (alternative.status_code, alternative.json()) == (200, "kling-o1")
    assert (broken.status_code, broken.json()["detail"][0]["loc"]) == (422, ["body", "job", "tail_image_url"])
    assert echoed.status_code == 200
    assert schema.status_code == 200
    assert "Kling25Turbo" in json.dumps(schema.json())
