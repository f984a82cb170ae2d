"""Every public error, event, result and entry can be copied, pickled and turned into a dict."""

from __future__ import annotations

import copy
import dataclasses
import multiprocessing
import pickle
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters.schema.rules import MaxBytes

PUBLIC = [getattr(module, name) for module in (ka, ka.events) for name in module.__all__]
CLASSES = [kind for kind in PUBLIC if isinstance(kind, type)]
ERRORS = [kind for kind in CLASSES if issubclass(kind, ka.KlingError)]
# A class of data is public, or is what a public one holds.
DATA = [kind for kind in CLASSES if dataclasses.is_dataclass(kind)]

PROBLEM = ka.Problem("elements[0].frontal_image_url", "unknown", {"a": [1, b"x", Path("fox.png")]}, "5", "10")


def make_error(kind: type[ka.KlingError]) -> ka.KlingError:
    error = _make_error(kind)
    error.add_note("a note of the application")
    return error


def _make_error(kind: type[ka.KlingError]) -> ka.KlingError:
    if issubclass(kind, ka.ApiError):
        return kind(429, "too many", meaning="slow down", request_id="job-1")
    makers: dict[type[ka.KlingError], Callable[[], ka.KlingError]] = {
        ka.ParamsInvalid: lambda: ka.ParamsInvalid("kling-2", [PROBLEM]),
        ka.RetiredModel: lambda: ka.RetiredModel("kling-2", "2026-01-31", "kling-3"),
        ka.SubmitUncertain: lambda: ka.SubmitUncertain("kling-2", "the connection was reset"),
        ka.JobFailed: lambda: ka.JobFailed("job-1", "blocked", ka.Metrics(cost=0.1)),
        ka.JobExpired: lambda: ka.JobExpired("job-1"),
        ka.WaitTimeout: lambda: ka.WaitTimeout("job-1", 1.5, None),
        ka.StorageError: lambda: ka.StorageError("the disk is full", url="https://x.example/1.mp4"),
    }
    return makers[kind]() if kind in makers else kind("what is wrong")


VALUES: dict[Any, Any] = {
    str: "text",
    int: 3,
    float: 0.1,
    bool: True,
    bytes: b"x",
    type(None): None,
    Any: ["a"],
    Exception: make_error(ka.ParamsInvalid),
}


def make_value(annotation: Any) -> Any:
    """Return a value of a type, made of values of the types of its fields."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        value = parts[0]
    elif origin in (typing.Union, types.UnionType):
        value = make_value(parts[0])
    elif origin is tuple:
        value = (make_value(parts[0]),)
    elif origin is Sequence:
        value = (MaxBytes("image", bytes=5),)
    elif origin is not None and issubclass(origin, Mapping):
        value = {"a": [1]}
    elif isinstance(annotation, typing.TypeVar):
        value = make_data(ka.Result)
    else:
        value = make_data(annotation) if dataclasses.is_dataclass(annotation) else VALUES[annotation]
    return value


def make_data(kind: Any) -> Any:
    hints = typing.get_type_hints(kind)
    if issubclass(kind, ka.StatusCode):
        return ka.GATEWAY_STATUSES[400]
    return kind(
        **{field.name: make_value(hints[field.name]) for field in dataclasses.fields(kind) if field.init}
    )


def state(error: ka.KlingError) -> tuple[Any, ...]:
    public = {name: value for name, value in vars(error).items() if name != "_job"}
    return type(error), str(error), error.args, public


def pickled(protocol: int, value: Any) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "oldest pickle": partial(pickled, 2),
    "newest pickle": partial(pickled, pickle.HIGHEST_PROTOCOL),
}
every_copy = pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)


def test_public_classes_are_listed() -> None:
    assert len(ERRORS) >= 20
    assert {ka.Problem, ka.Result, ka.events.Stored, ka.JournalEntry, ka.Credits, ka.Outcome} <= set(DATA)
    assert all(
        kind in ERRORS or not issubclass(kind, BaseException)
        for kind in CLASSES
        if not issubclass(kind, Warning)
    )


@every_copy
@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_copied(kind: type[ka.KlingError], make_copy: Callable[[Any], Any]) -> None:
    error = make_error(kind)
    assert state(make_copy(error)) == state(error)


@every_copy
@pytest.mark.parametrize("kind", DATA)
def test_every_dataclass_is_copied(kind: Any, make_copy: Callable[[Any], Any]) -> None:
    value = make_data(kind)
    copied = make_copy(value)
    assert repr(copied) == repr(value)
    assert type(copied) is kind


@pytest.mark.parametrize("kind", DATA)
def test_every_dataclass_becomes_a_dict(kind: Any) -> None:
    data = dataclasses.asdict(make_data(kind))
    assert set(data) == {field.name for field in dataclasses.fields(kind)}
    assert not any(name.startswith("_") for name in data)


def test_every_error_returns_from_a_process_pool() -> None:
    context = multiprocessing.get_context("spawn")
    errors = [make_error(kind) for kind in ERRORS]
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        for error in errors:
            raised = pool.submit(exec, "raise error", {"error": error}).exception(60)
            assert isinstance(raised, ka.KlingError)
            assert (type(raised), str(raised), raised.args) == (type(error), str(error), error.args)


class QuotaExceeded(ka.ConfigError):
    """An error of an application, with a signature of its own."""

    def __init__(self, team: str, *, limit: float) -> None:
        super().__init__(f"team {team} may spend {limit} credits")
        self.team = team
        self.limit = limit


@every_copy
def test_error_with_its_own_signature_is_copied(make_copy: Callable[[Any], Any]) -> None:
    copied = make_copy(QuotaExceeded("film", limit=5))
    assert (str(copied), copied.team, copied.limit) == ("team film may spend 5 credits", "film", 5)


@pytest.mark.parametrize("value", [BytesIO(b"x"), Lock(), lambda: 1, [[Lock()]], {"a": BytesIO()}])
def test_value_that_is_not_plain_is_described(value: Any) -> None:
    with pytest.raises(ka.ParamsInvalid) as caught:
        ka.load_catalog()["kling-2"].load().model_validate({"prompt": value})
    copied = pickle.loads(pickle.dumps(caught.value))
    assert copied.problems == caught.value.problems
    assert isinstance(copied.problems[0].value, str)
    assert dataclasses.asdict(copied.problems[0])["path"] == "prompt"


def test_result_saves_in_its_own_process_only(tmp_path: Path) -> None:
    with (
        Sandbox() as sandbox,
        ka.Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=None) as kling,
    ):
        result = kling.run("kling-2", prompt="x")
        for same in (copy.copy(result), copy.deepcopy(result), dataclasses.replace(result, model="other")):
            assert same.save(tmp_path)[0].path.is_file()
        foreign = pickle.loads(pickle.dumps(result))
        assert foreign == result
        with pytest.raises(ka.ConfigError, match=r'kling\.job\("\S+"\)\.wait\(\)\.save\('):
            foreign.save(tmp_path)


def test_error_points_to_the_content_of_a_result(tmp_path: Path) -> None:
    with (
        Sandbox() as sandbox,
        ka.Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=None) as kling,
    ):
        result = kling.run_sync("kling-2", prompt="x")
    code = (
        "import pickle, sys; result = pickle.load(sys.stdin.buffer)\n"
        "try: result.save(sys.argv[1])\n"
        "except Exception as error: print(len(result.artifacts[0].content), error)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, input=pickle.dumps(result), capture_output=True, timeout=60, check=True)
    assert done.stdout.startswith(f"{result.artifacts[0].size} ".encode())
    assert b"write artifacts[0].content" in done.stdout


def test_wait_timeout_keeps_its_job_in_its_process() -> None:
    with (
        Sandbox(timing="latency:1") as sandbox,
        ka.Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=None) as kling,
    ):
        job = kling.submit("kling-2", prompt="x")
        with pytest.raises(ka.WaitTimeout) as caught:
            job.wait(timeout=0)
    assert caught.value.job is not None
    assert copy.deepcopy(caught.value).job is caught.value.job
    foreign = pickle.loads(pickle.dumps(caught.value))
    assert (foreign.job, foreign.request_id, str(foreign)) == (None, job.request_id, str(caught.value))


def test_storage_error_keeps_its_result() -> None:
    error = ka.StorageError("the disk is full")
    error.result = make_data(ka.Result)
    assert pickle.loads(pickle.dumps(error)).result == error.result


@pytest.mark.parametrize("client", [ka.Kling, ka.AsyncKling])
def test_pickling_a_client_or_job_gives_advice(client: Any) -> None:
    kling = client(api_key="SG_0123456789abcdef", journal=None)
    with pytest.raises(TypeError, match="Make one in each process"):
        pickle.dumps(kling)
    with pytest.raises(TypeError, match="Pass its request_id"):
        pickle.dumps(kling.job("r1"))
