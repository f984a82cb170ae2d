"""Readers of the packaged JSON Schema of a model."""

from __future__ import annotations

from typing import Any

from kling_adapters.schema.packaged import find_item, iter_parameters, list_declared

SHOTS: dict[str, Any] = {
    "type": "array",
    "items": {"type": "array", "items": {"properties": {"text": {}, "mood": {}}, "required": ["text"]}},
    "x-kling": {"renamed_from": ["takes", "scenes"]},
}
CAMERA: dict[str, Any] = {"properties": {"lens": {"properties": {"width": {}}}}}
SCHEMA: dict[str, Any] = {
    "properties": {"prompt": {}, "shots": SHOTS, "camera": CAMERA},
    "required": ["prompt"],
}


def test_parameters_are_listed_with_their_paths() -> None:
    assert [(path, is_required) for path, _, is_required in iter_parameters(SCHEMA)] == [
        ("prompt", True),
        ("shots", False),
        ("shots[][].text", True),
        ("shots[][].mood", False),
        ("camera", False),
        ("camera.lens", False),
        ("camera.lens.width", False),
    ]
    assert [declared for path, declared, _ in iter_parameters(SCHEMA) if path == "shots"] == [SHOTS]


def test_item_is_that_of_the_innermost_list() -> None:
    assert find_item("shots", SHOTS) == (
        "shots[][]",
        {"properties": {"text": {}, "mood": {}}, "required": ["text"]},
    )
    assert find_item("camera", CAMERA) == ("camera", CAMERA)


def test_old_names_are_listed_beside_the_present_ones() -> None:
    assert list_declared(SCHEMA) == {
        "takes": SHOTS, "scenes": SHOTS, "prompt": {}, "shots": SHOTS, "camera": CAMERA,
    }  # fmt: skip
