"""Measure the validation of the largest payload against the same fields as a bare pydantic model.

The payload is the largest example in the packaged schema of kling-3-pro-image2video. The peer has the same annotations
in plain terms of pydantic: text for a URL, a Literal of one form, bounds and lengths; no marker and no rule. It is as
closed, strict and frozen. Of an invalid payload, the adapter makes its whole report, with its text; the peer only
raises, and never writes its own. The two are called in turns, and the best turn of each counts, in CPU time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import MISSING, BaseModel, ConfigDict, Field, ValidationError

from benchmarks.ratios import Ratio
from kling_adapters import ParamsInvalid, load_catalog

SLUG = "kling-3-pro-image2video"
TURNS, CALLS = 20, 300


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Element(_Closed):
    frontal_image_url: str | MISSING = MISSING
    reference_image_urls: Annotated[Sequence[str] | MISSING, Field(max_length=3)] = MISSING


class _Shot(_Closed):
    prompt: Annotated[str, Field(max_length=512)]
    duration: str = "5"


class BareModel(_Closed):
    """The fields of kling-3-pro-image2video."""

    prompt: str
    start_image_url: str
    aspect_ratio: Literal["16:9", "9:16", "1:1"] = "16:9"
    cfg_scale: Annotated[float, Field(ge=0, le=1)] = 0.5
    duration: Literal["3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"] = "5"
    elements: Annotated[Sequence[_Element] | MISSING, Field(max_length=3)] = MISSING
    end_image_url: str | MISSING = MISSING
    generate_audio: bool = True
    multi_prompt: Annotated[Sequence[_Shot] | MISSING, Field(max_length=5)] = MISSING
    negative_prompt: str = "blur, distort, and low quality"
    shot_type: str = "customize"
    voice_ids: Annotated[Sequence[str] | MISSING, Field(max_length=2)] = MISSING


ONE_WRONG = {"aspect_ratio": "4:3"}
SIX_WRONG = {
    **ONE_WRONG,
    "cfg_scale": 2.0,
    "duration": "99",
    "prompt": 5,
    "voice_ids": ["voice-7f3a", 1],
    "shots": 1,
}


def measure() -> Iterator[Ratio]:
    """Compare a valid payload, one with a wrong value, and one with six."""
    entry = load_catalog()[SLUG]
    model, examples = entry.load(), entry.json_schema()["examples"]
    assert set(BareModel.model_fields) == set(model.model_fields)
    payload = max(examples, key=lambda example: len(json.dumps(example)))
    for name, changes, bar in (
        ("validate the largest payload", {}, 0.5),
        ("refuse it for one wrong value", ONE_WRONG, 0.1),
        ("refuse it for six wrong values", SIX_WRONG, 0.1),
    ):
        ours, bare = _time_models((model, BareModel), {**payload, **changes}, is_valid=not changes)
        detail = f"{ours * 1e6:.1f} against {bare * 1e6:.1f} us"
        yield Ratio(
            f"{name}, against a bare pydantic model", bare / ours, bar, is_upper_limit=False, detail=detail
        )


def _time_models(
    models: Sequence[type[BaseModel]], payload: Mapping[str, Any], *, is_valid: bool
) -> list[float]:
    """Return the seconds of CPU time that each model takes for a payload."""
    call = _validate if is_valid else _refuse
    turns = [[_time_call(call, model, payload) for model in models] for _ in range(TURNS)]
    return [min(times) for times in zip(*turns, strict=True)]


def _time_call(
    call: Callable[[type[BaseModel], Mapping[str, Any]], None],
    model: type[BaseModel],
    payload: Mapping[str, Any],
) -> float:
    start = time.process_time()
    for _ in range(CALLS):
        call(model, payload)
    return (time.process_time() - start) / CALLS


def _validate(model: type[BaseModel], payload: Mapping[str, Any]) -> None:
    model.model_validate(payload)


def _refuse(model: type[BaseModel], payload: Mapping[str, Any]) -> None:
    try:
        model.model_validate(payload)
    except (ParamsInvalid, ValidationError):
        return
    raise AssertionError("the payload is valid")
