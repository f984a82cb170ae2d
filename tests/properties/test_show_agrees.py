"""The tables of `kling show`, read as text, agree with the packaged JSON Schema of a model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.properties.descriptions import (
    GOLDEN,
    ROOT,
    RUNTIME,
    Model,
    Parameter,
    described_parameters,
    each_model,
    plain,
    remove_spaces,
)
from tests.properties.model_texts import allowed_in, discrepancies, has_rules, price, retirement_line, usual


def parameters_of_show(text: str) -> dict[str, Parameter]:
    return {
        name: Parameter(
            kind,
            required=default == "required",
            **allowed_in(allowed, lambda text: text.split(", ")),
            default="" if default in ("required", "") else plain(json.loads(default)),
            about=remove_spaces(about),
        )
        for name, kind, allowed, default, about in shown_table(text, "parameter")
    }


def shown_table(text: str, first: str) -> Iterator[list[str]]:
    """Read a table by the columns of its head; a row goes on until an empty line, cells are cut between words."""
    table = re.search(rf"^ ({first} [^\n]*)\n ─+ *\n(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE)
    assert table is not None, text
    starts = [head.start(1) for head in re.finditer(r"(?:^|\s{2,})(?=(\S))", table[1])]
    ends = [*starts[1:], None]
    for row in re.split(r"\n\s*\n", table[2]):
        lines = [line[1:] for line in row.splitlines() if line.strip()]
        cells = [
            " ".join(filter(None, (line[start:end].strip() for line in lines)))
            for start, end in zip(starts, ends, strict=True)
        ]
        if any(cells):
            yield cells


@pytest.fixture(scope="module")
def golden_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime of this repository with the models of the golden tree."""
    folder = tmp_path_factory.mktemp("golden")
    package = folder / "kling_adapters"
    package.mkdir()
    for path in RUNTIME.iterdir():
        if path.name not in ("models", "__pycache__"):
            (package / path.name).symlink_to(path)
    (package / "models").symlink_to(GOLDEN / "models")
    return folder


def show(model: Model, golden: Path, *options: str) -> str:
    command = "from kling_adapters.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", command, "show", model.slug, *options],
        cwd=golden if model.root == GOLDEN else ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@each_model
def test_kling_show_agrees(model: Model, golden_runtime: Path) -> None:
    expected, text, about = (
        described_parameters(model.schema),
        show(model, golden_runtime),
        model.schema["x-kling"],
    )
    parameters = parameters_of_show(text)
    assert parameters == expected
    assert list(parameters) == list(expected)
    first, *lines = text.splitlines()[:3]
    if retired := about.get("retired"):
        assert lines.pop(0) == retirement_line(retired)
    second = lines[0]
    assert first == f"{model.slug} — {model.schema['description']}"
    assert second == (
        f"returns {about['returns']}; usual time {usual(about['latency_seconds'])}{price(about)}"
        f"; package kling_adapters; from {about['source']['page']}"
    )
    unseen = re.search(r"^No stored copy .* Unseen: (.*?)\. A parameter", text, re.MULTILINE)
    assert (unseen and unseen[1]) == about["source"].get("unseen")
    rules = re.search(r"^Rules:\n(.*?)(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE)
    assert has_rules([line.strip() for line in rules[1].strip().splitlines()] if rules else [], model)
    is_runnable = bool(model.schema["examples"]) and "retired" not in about
    assert (f"\n  kling run --sandbox {model.slug} " in text) == is_runnable
    rows = shown_table(text, "about") if about["discrepancies"] else ()
    assert [list(map(remove_spaces, row)) for row in rows] == discrepancies(model)


@each_model
def test_kling_show_json_is_schema(model: Model, golden_runtime: Path) -> None:
    assert json.loads(show(model, golden_runtime, "--json")) == model.schema
