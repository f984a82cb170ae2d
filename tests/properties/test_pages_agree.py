"""The page of a model and the table of the README, read as text, agree with its packaged JSON Schema."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import (
    Any,
)

from tests.properties.descriptions import (
    MODELS,
    TREES,
    Model,
    Parameter,
    described_parameters,
    each_model,
    each_tree,
    index,
    plain,
    remove_spaces,
)
from tests.properties.model_texts import allowed_in, discrepancies, has_rules, price, retirement_line, usual


def parameters_of_page(text: str) -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    for name, kind, allowed, default, about in markdown_table(text, "Parameters"):
        required = default == "required"
        parameters[name.strip("`")] = Parameter(
            kind,
            required,
            **allowed_in(allowed, re.compile("`([^`]*)`").findall),
            default="" if required or not default else json_of(default.strip("`"), kind),
            about=remove_spaces(unescape(about).replace("`", "")),
        )
    return parameters


def markdown_table(text: str, title: str) -> Iterator[list[str]]:
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\|.*\|$", section[1] if section else "", re.MULTILINE)
    for row in rows[2:]:
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def unescape(markdown: str) -> str:
    return re.sub(r"\\(\W)", r"\1", markdown)


def json_of(text: str, kind: str) -> str:
    """Return the JSON of a default on a page, which is JSON or, where that is unambiguous, bare text."""
    bare = (
        kind.startswith(("string", "URL", "image", "video", "audio"))
        and not text.startswith('"')
        and text != "null"
    )
    return plain(text if bare else json.loads(text))


def takes(schema: Mapping[str, Any]) -> str:
    """Return the line of a page about the inputs of a model."""
    media: dict[str, list[str]] = {}

    def collect(part: Mapping[str, Any], path: str) -> None:
        if kind := part.get("x-kling", {}).get("media"):
            media.setdefault(kind, []).append(f"`{path}`")
        if "items" in part:
            collect(part["items"], f"{path}[]")
        for name, inner in part.get("properties", {}).items():
            collect(inner, f"{path}.{name}".lstrip("."))

    collect({"properties": schema["properties"]}, "")
    listed = "; ".join(f"{kind} ({', '.join(paths)})" for kind, paths in media.items())
    duration = schema["properties"].get("duration", {})
    durations = [int(value) for value in duration.get("enum", ()) if value]
    durations += [duration["maximum"]] if "maximum" in duration else []
    longest = f"; longest duration {max(durations)} s" if durations else ""
    return f"Takes {listed or 'no media'}{longest}."


@each_model
def test_documentation_page_agrees(model: Model) -> None:
    expected, page, about = described_parameters(model.schema), model.page, model.schema["x-kling"]
    expected = {name: replace(part, about=part.about.replace("`", "")) for name, part in expected.items()}
    parameters = parameters_of_page(page)
    assert parameters == expected
    assert list(parameters) == list(expected)
    title, summary, *lines = re.findall("^[^<#\n].*|^# .*", page, re.MULTILINE)[:4]
    if retired := about.get("retired"):
        assert lines.pop(0) == retirement_line(retired)
    line = lines[0]
    assert re.findall("^Takes .*", page, re.MULTILINE) == [takes(model.schema)]
    assert unescape(title) == f"# {model.schema['title']}"
    assert unescape(summary) == model.schema["description"]
    assert line.replace(", by `", ", by ").replace("`.", ".") == (
        f"Slug `{model.slug}`; returns {about['returns']}; usual time {usual(about['latency_seconds'])}{price(about)}."
    )
    rules = re.search(r"^## Rules\n\n(.*?)\n\n", page, re.DOTALL | re.MULTILINE)
    lines = [unescape(line).removeprefix("- ") for line in rules[1].splitlines()] if rules else []
    assert has_rules(lines, model)
    unseen = re.search(r"^No stored copy .* Unseen: (.*)\. So a parameter", unescape(page), re.MULTILINE)
    assert (unseen and unseen[1]) == about["source"].get("unseen")
    rows = markdown_table(page, "Where the source contradicts itself")
    assert [[remove_spaces(unescape(cell)) for cell in row] for row in rows] == discrepancies(model)
    assert f"<{about['source']['page']}>, read {about['source']['read']}." in page


@each_tree
def test_catalog_and_readme_agree(tree: str) -> None:
    _, root = TREES[tree]
    readme = (root / "README.md").read_text("utf-8")
    models = [model for model in MODELS if model.root == root]
    for entry, model in zip(index(tree), models, strict=True):
        schema, about, adapter = model.schema, model.schema["x-kling"], model.model.adapter
        expected = (about["slug"], schema["title"], about["returns"], about["latency_seconds"])
        assert (entry.slug, entry.title, entry.returns, entry.latency) == expected
        assert (adapter.slug, adapter.title, adapter.returns, adapter.latency) == expected
        assert entry.retired == adapter.retired
        assert (adapter.retired and dataclasses.asdict(adapter.retired)) == about.get("retired")
        needs = ", ".join(f"`{name}`" for name in schema["required"])
        mark = "retired: " if "retired" in about else ""
        row = f"{usual(about['latency_seconds'])} | {needs} | {mark}[{schema['title']}]({about['source']['page']}) |"
        assert f"| [`{entry.slug}`](docs/models/{entry.slug}.md) | {about['returns']} | {row}\n" in readme
