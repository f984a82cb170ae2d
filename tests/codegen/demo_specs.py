"""Specs of a model with every kind of parameter, and the changes between two folders of specs."""

from __future__ import annotations

from pathlib import Path

from kling_codegen.diff.models import compare_specs
from kling_codegen.load.folder import load_specs

import kling_adapters

GATEWAY = (Path(kling_adapters.__file__).parents[1] / "specs" / "gateway.yaml").read_text(encoding="utf-8")

SAME = "(calls and results stay the same)"

BASE = """\
slug: demo
title: Demo
summary: A model for tests.
returns: video
latency_seconds: 60
source: {page: https://example.com/demo, document: demo.txt, read: 2026-01-31}
input:
  required: [prompt]
  properties:
    prompt: {type: string, maxLength: 100, description: What to show.}
    duration: {type: integer, enum: [5, 10], default: 5}
    size: {type: string, enum: ["3", "15"]}
    mode: {type: string, enum: [std, pro], default: pro}
    scale: {type: number, minimum: 0, maximum: 1, default: 0.5}
    seed: {type: integer, minimum: 0}
    note: {type: [string, "null"]}
    image: {type: string, format: uri}
    tail: {type: string, format: uri}
    class: {type: string}
    _top: {type: string}
    flag: {type: boolean}
    views: {type: array, maxItems: 3, items: {type: string, format: uri}}
    elements:
      type: array
      minItems: 1
      items:
        type: object
        required: [front]
        properties:
          front: {type: string, format: uri}
          label: {type: string, minLength: 2}
          weight: {type: integer}
          shots: {type: array, items: {type: object, properties: {length: {type: integer, maximum: 9}}}}
rules:
  - requires: {field: tail, present: [image], equals: {mode: pro}}
  - references: {field: prompt, token: "@Image{n}", list: views}
  - max_bytes: {field: image, bytes: 50}
discrepancies:
  - {about: seed, page: it says both, decision: the first}
  - {about: seed, page: it says neither, decision: none}
examples: []
"""


def write_specs(folder: Path, demo: str = BASE, gateway: str = GATEWAY, **extra: str) -> Path:
    """Write a folder of specs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"demo": demo, "gateway": gateway, **extra}.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def list_changes(old: Path, new: Path) -> list[str]:
    """Return the changes between two folders of specs, as `kling-codegen diff` prints them."""
    return [str(change) for change in compare_specs(load_specs(old), load_specs(new))]
