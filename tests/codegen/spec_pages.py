"""Pages and a list of models written from the specs of the repository, and edits as the gateway would make them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kling_codegen.draft.compare import RENAMED
from kling_codegen.load.folder import load_specs
from pydantic import MISSING
from ruamel.yaml import YAML

import kling_adapters
from tests.properties.pages import page, reduce_to_page

SPECS = Path(kling_adapters.__file__).parents[1] / "specs"
MODELS = {spec.slug: spec for spec in load_specs(SPECS).models}
# A page shows all that is unseen in the others.
WHOLE = {slug: spec for slug, spec in MODELS.items() if spec.source.unseen is MISSING}


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file."""
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


CATALOGUE = read_yaml(SPECS / "catalogue.yaml")["models"]
MODEL_LIST = {
    "Inference Segmind Model Information List With Details": [
        {**entry, "type": "textToVideo", "parameters": {}} for entry in CATALOGUE
    ]
    + [{"slug": "flux-9", "title": "Flux 9"}]
}
"""The answer of the gateway to a request for its models: those of the catalogue, and another one."""


def write_page(slug: str, *, run_together: bool = False) -> str:
    """Return the page of a shipped spec."""
    spec = read_yaml(SPECS / f"{slug}.yaml")
    return page(reduce_to_page(spec) | {"title": spec["title"]}, run_together=run_together)


def edit_text(text: str, *edits: tuple[str, str]) -> str:
    """Return a text in which each edit has replaced its one place."""
    for before, after in edits:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


# A parameter of the page of Kling 2.5 Turbo: its first line, and the edits of it.
SEED = "seedoptional\ninteger\n\nA number.\n\n"
EDITS: Mapping[str, tuple[list[tuple[str, str]], list[str]]] = {
    "renamed": (
        [("image_urloptional\nstring (uri)\n\nWhat it shows.\n\nDefault: null\nmode", "picture_urloptional\nstring (uri)\n\nWhat it shows.\n\nDefault: null\nmode"),
         ("Requires image_url.", "Requires picture_url.")],
        [f"breaking: kling-2.5-turbo image_url: name image_url -> picture_url ({RENAMED})"],
    ),
    "removed": (
        [('negative_promptoptional\nstring\n\nWhat it shows.\n\nDefault: "no dark tones, no blur, no distort"\n', "")],
        ["breaking: kling-2.5-turbo negative_prompt: parameter string -> none (calls that set it are refused)"],
    ),
    "added": (
        [("tail_image_urloptional", f"{SEED}tail_image_urloptional")],
        ["additive: kling-2.5-turbo seed: parameter none -> integer (calls that set it are accepted)"],
    ),
    "added and required": (
        [("aspect_ratiooptional", f"{SEED.replace('optional', 'required')}aspect_ratiooptional")],
        ["breaking: kling-2.5-turbo seed: required parameter none -> integer (calls without it are refused)"],
    ),
    "fewer values": (
        [('Allowed values (3 total):\n"16:9"\n"9:16"\n"1:1"', 'Allowed values (2 total):\n"16:9"\n"9:16"')],
        ['breaking: kling-2.5-turbo aspect_ratio: enum "16:9", "9:16", "1:1" -> "16:9", "9:16" (calls with "1:1" are refused)'],
    ),
    "more values": (
        [('Allowed values (1 total):\n"pro"', 'Allowed values (2 total):\n"pro"\n"std"')],
        ["additive: kling-2.5-turbo mode: enum pro -> pro, std (calls with std are accepted)"],
    ),
    "another type": (
        [("image_urloptional\nstring (uri)\n\nWhat it shows.\n\nDefault: null\nmode", "image_urloptional\nboolean\n\nWhat it shows.\n\nmode")],
        ["breaking: kling-2.5-turbo image_url: type string -> boolean (values of the old type are refused)"],
    ),
    "smaller range": (
        [("Range: 0 - 1", "Range: 0.5 - 1")],
        ["breaking: kling-2.5-turbo cfg_scale: minimum 0 -> 0.5 (smaller numbers are refused)"],
    ),
    "default": (
        [("Default: 0.7", "Default: 0.5")],
        ["warning: kling-2.5-turbo cfg_scale: default 0.7 -> 0.5 (calls that do not set it may have another result)"],
    ),
    "limit in a sentence": (
        [("negative_promptoptional\nstring\n\nWhat it shows.", "negative_promptoptional\nstring\n\nWhat it avoids. At most 200 characters.")],
        ["breaking: kling-2.5-turbo negative_prompt: maxLength none -> 200 (longer texts are refused)"],
    ),
    "rule that is gone": (
        [(" Requires image_url.", "")],
        ["additive: kling-2.5-turbo tail_image_url: rule requires image_url -> none (calls that break it are accepted)"],
    ),
    "rule that is not understood": ([("Requires image_url.", "Requires a picture.")], []),
    "limit that is not understood": ([("Requires image_url.", "Requires image_url. Max 30 seconds.")], []),
    "latency": (
        [("POST /v2", "~42.5s\nPOST /v2")],
        ["documentation: kling-2.5-turbo: latency_seconds null -> 42.5 (calls and results stay the same)"],
    ),
    "title": (
        [("Kling 2.5 Turbo Serverless API", "Kling 2.5 Turbo Plus Serverless API")],
        ['documentation: kling-2.5-turbo: title "Kling 2.5 Turbo" -> "Kling 2.5 Turbo Plus" (calls and results stay the same)'],
    ),
    "result": (
        [("Returns: Video", "Returns: Image")],
        ["breaking: kling-2.5-turbo: returns video -> image (results are of another kind)"],
    ),
}  # fmt: skip
