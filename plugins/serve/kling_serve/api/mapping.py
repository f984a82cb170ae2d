"""Fields of the OpenAI shape as parameters of a model, found in its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

from kling_serve.api.bodies import convert_texts, read_text
from kling_serve.api.errors import RequestError
from kling_serve.models import Model

LENGTHS: Final = ("seconds", "duration")
"""Parameters that the length of a video can be."""
_SIZE: Final = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
_RATIO: Final = re.compile(r"([0-9]{1,3}):([0-9]{1,3})")
_TOLERANCE: Final = 0.02
"""Difference of two aspect ratios that count as the same; 1792x1024 is 16:9."""


def map_body(
    body: Mapping[str, Any], model: Model, *, is_form: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the parameters of a job, and the fields that became one of another name, by that name.

    Args:
        body: The body of the request: fields of the OpenAI shape, and parameters of the model by name.
        model: The model.
        is_form: Whether numbers, lists and the like are texts.

    Raises:
        RequestError: A field cannot be mapped.

    """
    values = {
        name: value for name, value in body.items() if name not in ("model", "user") and value is not None
    }
    properties: Mapping[str, Mapping[str, Any]] = model.schema["properties"]
    if "n" not in properties and str(values.pop("n", 1)) != "1":
        raise _refuse("n", f"a job makes one {model.returns}. Submit several, each with a key of its own")
    fields: dict[str, str] = {}
    for field, names, meaning, read in (
        ("seconds", LENGTHS, "the length", partial(convert_texts, convert=read_text)),
        ("size", ("aspect_ratio",), "the size", _read_size),
        ("input_reference", model.image_parameters, "an image", _read_reference),
    ):
        if field not in values or field in properties:
            continue
        value, name = values.pop(field), next((name for name in names if name in properties), None)
        if name is None:
            raise _refuse(field, f"{model.slug} has no parameter for {meaning}. Leave it out")
        if name in values:
            raise _refuse(field, f"{name} was sent, too. Send one of them")
        values[name], fields[name] = read(value, properties[name]), field
    if values.get("prompt") == "" and "prompt" not in properties:
        del values["prompt"]
    return convert_texts(values, model.schema, read_text) if is_form else values, fields


def _read_size(value: Any, declared: Mapping[str, Any]) -> Any:
    """Return the aspect ratio of a size."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    width, height = (int(match[1]), int(match[2])) if match else (0, 1)
    ratios: Sequence[Any] = declared.get("enum", ())
    for ratio in ratios:
        form = _RATIO.fullmatch(str(ratio))
        if ratio == value or (form and abs(width * int(form[2]) / (height * int(form[1])) - 1) <= _TOLERANCE):
            return ratio
    raise _refuse(
        "size",
        f"expected WIDTHxHEIGHT, such as 1280x720, with an aspect ratio of {', '.join(map(str, ratios))}",
    )


def _read_reference(value: Any, declared: Mapping[str, Any]) -> Any:
    """Return an image as its parameter takes it, which may be a list."""
    if isinstance(value, dict):
        value = cast("dict[str, Any]", value).get("image_url")
    if not isinstance(value, str | bytes):
        raise _refuse(
            "input_reference",
            'expected a file, a URL, or {"image_url": "..."}. Uploaded file ids do not exist',
        )
    return [value] if "items" in declared else value


def _refuse(field: str, problem: str) -> RequestError:
    return RequestError(400, f"{field}: {problem}. Nothing was sent.", "invalid_parameters", field)
