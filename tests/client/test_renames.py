"""Calls with the old name of a parameter work, with one warning, and send the present name."""

from __future__ import annotations

import copy
import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from kling_sandbox import Sandbox

from kling_adapters import DeprecatedParameter, Kling, Params, ParamsInvalid
from kling_adapters.schema.partial import PartialParams
from kling_adapters.testing import FakeGateway, SimulatedClock
from tests.support.clients import OpenClient
from tests.support.life import load_state, read_example

FIRST, RENAMED = load_state("1-first"), load_state("2-renamed")
PRESENT = read_example("2-renamed")
OLD_CALL = {"prompt": "A pier.", "length": 10}
LENGTH = (
    "studio-1: length was renamed to duration, and is sent as duration. "
    "Use duration: a later version refuses length"
)


class Partial(PartialParams):
    adapter = replace(RENAMED.model.adapter, rules=())
    prompt: str
    duration: int = 5


def bodies(gateway: FakeGateway | Sandbox) -> list[Any]:
    if isinstance(gateway, Sandbox):
        return [request.json for request in gateway.submits]
    return [request.params for request in gateway.requests if request.method == "POST"]


def test_old_call_sends_present_names(open_client: OpenClient) -> None:
    with Sandbox(schemas=RENAMED.schemas) as sandbox:
        kling = open_client(sandbox, plugins=[RENAMED], journal=None)
        with pytest.warns(DeprecatedParameter) as issued:
            kling.run("studio-1", **read_example("1-first"))
        assert bodies(sandbox) == [PRESENT]
    assert sorted(str(warning.message).split()[1] for warning in issued) == ["length", "start_image", "text"]


@pytest.mark.parametrize("call", ["submit", "submit_model", "object", "dict of map", "object of map"])
def test_each_call_warns_once_and_names_its_caller(call: str) -> None:
    with (
        FakeGateway() as gateway,
        Kling(
            base_url=gateway.base_url, api_key="SG_0123456789abcdef", plugins=[RENAMED], journal=None, clock=SimulatedClock()
        ) as kling,
        warnings.catch_warnings(record=True) as issued,
    ):  # fmt: skip
        warnings.simplefilter("always")
        match call:
            case "submit":
                submit: Any = kling.submit
                submit("studio-1", **OLD_CALL)
            case "submit_model":
                kling.submit_model("studio-1", OLD_CALL)
            case "object":
                kling.submit(RENAMED.model(**OLD_CALL))
            case "dict of map":
                list(kling.map([{"model": "studio-1", **OLD_CALL}]))
            case _:
                list(kling.map([RENAMED.model(**OLD_CALL)]))
        assert bodies(gateway) == [{"prompt": "A pier.", "duration": 10}]
    [warning] = issued
    assert (str(warning.message), warning.category) == (LENGTH, DeprecatedParameter)
    assert issubclass(warning.category, DeprecationWarning)
    if "map" not in call:
        assert Path(warning.filename).name == Path(__file__).name


def test_every_old_name_is_accepted() -> None:
    for old in ("length", "seconds"):
        with pytest.warns(DeprecatedParameter, match=f"{old} was renamed to duration"):
            params = RENAMED.model(prompt="x", **{old: "10"})
        assert params.wire() == {"prompt": "x", "duration": 10}
        assert pickle.loads(pickle.dumps(params)) == copy.deepcopy(params) == params


def test_present_names_do_not_warn() -> None:
    assert RENAMED.model(**PRESENT).wire() == PRESENT


def test_old_attribute_can_be_read() -> None:
    params: Any = RENAMED.model(**PRESENT)
    with pytest.warns(DeprecatedParameter, match="length was renamed to duration"):
        assert params.length == 10
    assert not hasattr(params, "width")


def test_both_names_at_once_are_a_problem() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        RENAMED.model(prompt="x", duration=7, length=5, seconds=5)
    assert [str(problem) for problem in caught.value.problems] == [
        "duration: 7 is not allowed; allowed: 5, 10",
        "length: is the old name of duration, which is also set; pass duration only",
        "seconds: is the old name of duration, which is also set; pass duration only",
    ]


def test_old_name_before_another_is_a_problem() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        RENAMED.model(prompt="x", length=5, duration=5)
    assert [problem.path for problem in caught.value.problems] == ["length"]
    with pytest.warns(DeprecatedParameter, match="length"), pytest.raises(ParamsInvalid) as caught:
        RENAMED.model(prompt="x", length=5, seconds=10)
    assert [problem.path for problem in caught.value.problems] == ["seconds"]


def test_unknown_name_beside_an_old_one_is_a_problem() -> None:
    with pytest.warns(DeprecatedParameter, match="length"), pytest.raises(ParamsInvalid) as caught:
        RENAMED.model(length=5, zzz=1)
    assert [str(problem) for problem in caught.value.problems] == [
        "prompt: required, but missing",
        "zzz: unknown parameter",
    ]


def test_mapping_that_is_not_a_dict_is_refused() -> None:
    with pytest.raises(ParamsInvalid, match="is not an object with parameters"):
        RENAMED.model.model_validate(MappingProxyType(PRESENT))


@pytest.mark.parametrize("model", [RENAMED.model, Partial])
def test_call_without_names_is_checked_as_ever(model: type[Params]) -> None:
    with pytest.raises(ParamsInvalid, match="is not an object with parameters"):
        model.model_validate(7)
    row = SimpleNamespace(prompt="x", duration=10)
    assert model.model_validate(row, from_attributes=True).wire() == {"prompt": "x", "duration": 10}


def test_partial_model_refuses_both_names_at_once() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Partial.model_validate({"prompt": "x", "duration": 5, "length": 5})
    assert [str(problem) for problem in caught.value.problems] == [
        "length: is the old name of duration, which is also set; pass duration only"
    ]
    with pytest.raises(ParamsInvalid) as caught:
        Partial.model_validate({"prompt": 5, "duration": 5, "length": 5})
    assert sorted((problem.path, problem.value) for problem in caught.value.problems) == [
        ("length", 5),
        ("prompt", 5),
    ]
    with pytest.warns(DeprecatedParameter):
        assert Partial.model_validate({"prompt": "x", "length": 5}).wire() == {"prompt": "x", "duration": 5}


def test_problem_of_old_call_names_present_parameter() -> None:
    with pytest.warns(DeprecatedParameter), pytest.raises(ParamsInvalid) as caught:
        RENAMED.model(text="x" * 501, length=7)
    assert [problem.path for problem in caught.value.problems] == ["prompt", "duration"]


def test_extra_refuses_old_name() -> None:
    with (
        Kling(api_key="SG_0123456789abcdef", plugins=[RENAMED], journal=None) as kling,
        pytest.raises(ParamsInvalid, match="length: is a known parameter"),
    ):
        kling.submit_model("studio-1", {"prompt": "x"}, extra={"length": 5})


@pytest.mark.parametrize("line", ["old", "present"])
def test_batch_of_earlier_version_is_not_submitted_again(
    open_client: OpenClient, tmp_path: Path, line: str
) -> None:
    film = tmp_path / "pier.png"
    film.write_bytes(b"\x89PNG\r\n\x1a\n")
    journal = tmp_path / "journal.sqlite3"
    first = {"model": "studio-1", "text": "A pier.", "length": 10, "start_image": film}
    again = {"model": "studio-1", "prompt": "A pier.", "duration": 10, "image_url": film}
    with FakeGateway() as gateway:
        with open_client(gateway, plugins=[FIRST], journal=journal) as kling:
            [before] = kling.map([first], name="films", save_to=tmp_path / "out")
        with (
            open_client(gateway, plugins=[RENAMED], journal=journal) as kling,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", DeprecatedParameter)
            requests = [first if line == "old" else again, {**again, "duration": 5}]
            outcomes = list(kling.map(requests, name="films", save_to=tmp_path / "out"))
        assert sorted(bool(outcome.error) for outcome in outcomes) == [False, False]
        assert before.request_id in {outcome.request_id for outcome in outcomes}
        sent = [body for body in bodies(gateway) if "data_urls" not in body]
    assert [set(body) for body in sent] == [
        {"text", "length", "start_image"},
        {"prompt", "duration", "image_url"},
    ]
    assert sent[1]["duration"] == 5


def test_job_with_old_names_is_resumed(open_client: OpenClient, tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite3"
    with FakeGateway() as gateway:
        with open_client(gateway, plugins=[FIRST], journal=journal) as kling:
            job = kling.submit("studio-1", text="x", save_to=tmp_path / "out")
            request_id = str(job.request_id)
        with open_client(gateway, plugins=[RENAMED], journal=journal) as kling:
            [outcome] = kling.resume()
    assert (outcome.request_id, outcome.error) == (request_id, None)
    assert len(list((tmp_path / "out").iterdir())) == 1
