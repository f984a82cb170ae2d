"""A model whose page was not seen to the end: unknown parameters are sent with one warning, known ones are checked."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Sandbox

from kling_adapters import Kling, ParamsInvalid, UnknownParameter
from kling_adapters.models import Kling3Text2image, KlingO1
from tests.support.clients import OpenClient
from tests.support.media import make_png


def nest_lists(depth: int) -> list[Any]:
    """Return lists in lists, deeper than JSON is written."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def last_body(sandbox: Sandbox) -> dict[str, Any]:
    """Return the body of the last submit."""
    *_, body = [request.json for request in sandbox.requests if request.path == "/v2/kling-3-text2image"]
    assert isinstance(body, dict)
    return body


def test_unknown_parameter_is_sent_with_one_warning(sandbox: Sandbox, open_client: OpenClient) -> None:
    with open_client(sandbox) as kling, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        params = {"prompt": "a whale", "seed": 7, "aspect_ration": "1:1"}
        result = kling.run_model("kling-3-text2image", params)
    [warning] = caught
    assert warning.category is UnknownParameter
    assert str(warning.message) == (
        "kling-3-text2image: not in the spec: seed, aspect_ration (did you mean aspect_ratio?). The documentation of "
        "this model was not seen to the end, so values of unknown parameters are not checked"
    )
    assert result.output
    assert last_body(sandbox) == params


def test_warning_names_the_line_of_the_caller() -> None:
    with pytest.warns(UnknownParameter) as caught:
        Kling3Text2image(prompt="a whale", seed=7)  # type: ignore[call-arg]
    assert [warning.filename for warning in caught] == [__file__]


def test_object_warns_at_construction_only(sandbox: Sandbox, open_client: OpenClient) -> None:
    with pytest.warns(UnknownParameter):
        params = Kling3Text2image.model_validate(
            {"prompt": "a whale", "views": ("left", {"far": True, "zoom": 0.5, "tilt": None})}
        )
    with open_client(sandbox) as kling:
        kling.run(params)
        kling.submit(params, unchecked={"aspect_ratio": "9:16"})
    assert params.wire() == {"prompt": "a whale", "views": ["left", {"far": True, "zoom": 0.5, "tilt": None}]}
    assert pickle.loads(pickle.dumps(params)) == params


def test_unknown_file_is_uploaded(sandbox: Sandbox, open_client: OpenClient) -> None:
    with open_client(sandbox) as kling, pytest.warns(UnknownParameter):
        kling.run_model("kling-3-text2image", {"prompt": "a whale", "style_url": make_png()})
    assert last_body(sandbox)["style_url"].startswith("http")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("nan"), "seed: nan is not a JSON value"),
        pytest.param(
            10**5000, "seed: a value of type int that cannot be shown is not a JSON value", id="huge"
        ),
        (Decimal("0.5"), "seed: Decimal('0.5') is not a JSON value"),
        ({1: 2}, "seed: {1: 2} is not a JSON value"),
        ({"\ud800": 1}, r"seed: {'\ud800': 1} is not a JSON value"),
        pytest.param(
            nest_lists(200_000),
            "seed: a value of type list that cannot be shown is not a JSON value",
            id="deep",
        ),
        (["\ud800"], r"seed: ['\ud800'] is not a JSON value"),
        (b"x", "seed: bytes of length 1 is not an image, video or audio file of a known type"),
    ],
)
def test_unknown_value_is_json_or_media(value: Any, problem: str) -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Kling3Text2image.model_validate({"prompt": "a whale", "seed": value})
    assert list(map(str, caught.value.problems)) == [problem]


def test_known_parameter_is_checked_as_ever() -> None:
    with pytest.raises(ParamsInvalid, match=r"resolution: '4K' is not allowed; allowed: '1K', '2K'"):
        Kling3Text2image.model_validate({"prompt": "a whale", "resolution": "4K", "seed": 7})


def test_whole_model_refuses_unknown_parameter() -> None:
    with pytest.raises(ParamsInvalid, match="seed: unknown parameter"):
        KlingO1.model_validate({"prompt": "x", "image_urls": ["https://example.com/a.png"], "seed": 7})
    assert (KlingO1.adapter.unseen, bool(Kling3Text2image.adapter.unseen)) == (None, True)


def test_extra_parameter_gives_no_warning(sandbox: Sandbox) -> None:
    with Kling(base_url=sandbox.base_url, api_key=sandbox.api_key) as kling:
        kling.run("kling-3-text2image", prompt="a whale", extra={"seed": 7})


def test_command_line_prints_one_line(sandbox: Sandbox, tmp_path: Path) -> None:
    command = "from kling_adapters.cli import main; main()"
    arguments = ["submit", "kling-3-text2image", "prompt=a whale", "seed=7", "fast=true", "note=07"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", command, *arguments],
        env={"SEGMIND_API_KEY": sandbox.api_key, "KLING_BASE_URL": sandbox.base_url, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    [line] = done.stderr.splitlines()
    assert line.startswith("kling: warning: kling-3-text2image: not in the spec: seed, fast, note. ")
    assert last_body(sandbox) == json.loads('{"prompt": "a whale", "seed": 7, "fast": true, "note": "07"}')
