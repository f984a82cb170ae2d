"""`kling models`, `kling show` and `kling submit-raw`, for models with a spec and for those of the gateway's list without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from kling_adapters import load_catalog
from tests.cli.conftest import Gateway
from tests.support.media import make_png

from .conftest import run_kling as kling

ROOT = Path(__file__).parents[2]
LISTED = {
    model["slug"]: model
    for model in YAML(typ="safe", pure=True).load((ROOT / "specs" / "catalogue.yaml").read_text("utf-8"))[
        "models"
    ]
}
PACKAGED = [slug for slug, entry in load_catalog().items() if entry.module.startswith("kling_adapters.")]


def rows(*arguments: str) -> list[dict[str, Any]]:
    done = kling("models", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    listed: list[dict[str, Any]] = json.loads(done.stdout)
    return listed


def slugs(*arguments: str) -> list[str]:
    return [row["slug"] for row in rows(*arguments)]


def test_all_models_of_the_list_are_named() -> None:
    everything = {row["slug"]: row for row in rows("--all")}
    assert everything.keys() == LISTED.keys() | set(PACKAGED)
    assert {slug for slug, row in everything.items() if row["spec"] == "no spec"} == LISTED.keys() - set(
        PACKAGED
    )
    assert len(LISTED) == 38
    for slug, listed in LISTED.items():
        row = everything[slug]
        assert (row["average_cost"], row["average_latency"]) == (
            listed["average_cost"],
            listed["average_latency"],
        )
    table = kling("models", "--all").stdout
    [line] = [line for line in table.splitlines() if line.startswith(" kling-2.6 ")]
    assert line.split() == [
        "kling-2.6",
        "Kling",
        "2.6",
        "video",
        "122",
        "s",
        "(list)",
        "1.11",
        "USD",
        "no",
        "spec",
    ]
    assert slugs() == sorted(PACKAGED)


def test_facts_of_a_model() -> None:
    facts = {row["slug"]: row for row in rows()}
    assert facts["kling-1.6-image2video"] == {
        "slug": "kling-1.6-image2video",
        "title": "Kling AI 1.6 Image to Video",
        "summary": "Animates one image into a video of five or ten seconds.",
        "returns": "video",
        "latency": 288.27,
        "average_latency": 289.38,
        "average_cost": 1.0528,
        "pricing": {"currency": "USD", "from": 0.56, "to": 1.96, "unit": "generation"},
        "takes": {"image": ["image"]},
        "longest_duration": 10.0,
        "spec": "whole",
        "retired": None,
        "package": "kling_adapters",
    }
    assert facts["kling-v2-pro-avatar"]["spec"] == "partial"
    assert facts["kling-3-pro-image2video"]["takes"]["image"] == [
        "start_image_url",
        "elements[].frontal_image_url",
        "elements[].reference_image_urls[]",
        "end_image_url",
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--returns", "image"], ["kling-3-image2image", "kling-3-text2image", "kling-o1"]),
        (["--takes", "video"], ["kling-2.6-standard-motion-control", "kling-o1-video-to-video-edit"]),
        (["--takes", "audio", "--takes", "image"], ["kling-v1-standard-ai-avatar", "kling-v2-pro-avatar"]),
        (["--takes", "audio", "--takes", "video"], []),
        (["--duration", "11"], ["kling-3-pro-image2video"]),
        (["--duration", "16"], []),
    ],
)
def test_filters(arguments: list[str], expected: list[str]) -> None:
    assert slugs(*arguments) == expected


def test_models_are_sorted() -> None:
    everything = rows("--all", "--sort", "time")
    times = [row["average_latency"] if row["latency"] is None else row["latency"] for row in everything]
    assert times == sorted(times)
    costs = [row["average_cost"] for row in rows("--all", "--sort", "cost")]
    assert costs == sorted(costs)


def test_show_of_a_model_without_spec_says_how_to_run_it() -> None:
    shown = kling("show", "kling-2.6").stdout
    assert shown.startswith("kling-2.6 — Animates an image into a video with matching sound.\n")
    assert "usual time 122 s (list)" in shown
    assert "average cost 1.11 USD" in shown
    assert "kling submit-raw kling-2.6 NAME=VALUE" in shown
    assert "kling-codegen draft PAGE.txt -o specs/kling-2.6.yaml" in shown
    assert json.loads(kling("show", "kling-2.6", "--json").stdout)["average_cost"] == 1.1078


def test_show_of_a_partial_model_names_the_unseen_part() -> None:
    shown = " ".join(kling("show", "kling-v1-standard-ai-avatar").stdout.split())
    assert "Unseen: the rest of the description of prompt" in shown
    assert "accepted with a warning" in shown
    assert (
        json.loads(kling("show", "kling-v1-standard-ai-avatar", "--json").stdout)["additionalProperties"]
        is True
    )


def test_run_of_a_model_without_spec_names_the_command() -> None:
    done = kling("run", "kling-2.6", "prompt=x", SEGMIND_API_KEY="SG_x")
    assert done.returncode == 2
    assert "`kling submit-raw kling-2.6 NAME=VALUE ...` submits a job of it" in done.stderr


def test_submit_raw_reads_json_text_and_files_of_a_job_that_can_be_waited_for(
    gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "fox.png").write_bytes(make_png())
    arguments = [
        "prompt=a fox",
        "duration=10",
        "sound=true",
        "tags=[1]",
        f"image=@{tmp_path / 'fox.png'}",
        "at=@@me",
    ]
    done = kling(
        "submit-raw",
        "kling-2.6",
        *arguments,
        SEGMIND_API_KEY=gateway.api_key,
        KLING_BASE_URL=gateway.base_url,
    )
    assert done.returncode == 0, done.stderr
    *_, submitted = [request for request in gateway.requests if request.path == "/v2/kling-2.6"]
    image = submitted.params.pop("image")
    assert submitted.params == {"prompt": "a fox", "duration": 10, "sound": True, "tags": [1], "at": "@me"}
    assert image.startswith("http")
    request_id = done.stdout.strip()
    # The journal has its model, of which the catalog has no spec.
    done = kling(
        "wait", request_id, "--json", SEGMIND_API_KEY=gateway.api_key, KLING_BASE_URL=gateway.base_url
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["request_id"] == request_id
