"""`draft --compare`: only the differences between a page and an existing spec, as far as a machine can read the page.

The pages are written from the specs of the repository, then edited as the gateway would edit them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from kling_codegen.cli import main
from kling_codegen.draft.compare import RENAMED, compare_page
from kling_codegen.draft.page import NotAPage
from kling_codegen.drift.spec_diff import format_spec_diff
from kling_codegen.language import Spec
from kling_codegen.load.folder import load_specs
from pydantic import MISSING
from ruamel.yaml import YAML

import kling_adapters
from tests.codegen.model_pages import PAGES
from tests.properties.pages import page, reduce_to_page

if TYPE_CHECKING:
    from click.testing import Result

SPECS = Path(kling_adapters.__file__).parents[1] / "specs"
MODELS = {spec.slug: spec for spec in load_specs(SPECS).models}
# A page shows all that is unseen in the others.
WHOLE = {slug: spec for slug, spec in MODELS.items() if spec.source.unseen is MISSING}
NAMES = sorted(path.stem for path in PAGES.glob("*.txt"))


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def write_page(slug: str, *, run_together: bool = False) -> str:
    """Return the page of a shipped spec."""
    spec = read_yaml(SPECS / f"{slug}.yaml")
    return page(reduce_to_page(spec) | {"title": spec["title"]}, run_together=run_together)


def edit(text: str, *edits: tuple[str, str]) -> str:
    for before, after in edits:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


def compare(text: str, slug: str = "kling-2.5-turbo") -> list[str]:
    return [str(change) for change in compare_page(text, "PAGE.txt", MODELS[slug]).changes]


def run(folder: Path, text: str, *arguments: str, spec: Path | None = None) -> Result:
    path = folder / "PAGE.txt"
    path.write_text(text, encoding="utf-8")
    spec = spec or SPECS / "kling-2.5-turbo.yaml"
    return CliRunner().invoke(main, ["draft", str(path), "--compare", str(spec), *arguments])


@pytest.mark.parametrize("run_together", [False, True])
@pytest.mark.parametrize("slug", WHOLE)
def test_page_of_a_spec_has_no_difference_from_it(slug: str, run_together: bool) -> None:
    assert compare(write_page(slug, run_together=run_together), slug) == []


@pytest.mark.parametrize("slug", sorted(MODELS.keys() - WHOLE.keys()))
def test_whole_page_completes_a_partial_spec(slug: str) -> None:
    changes = compare_page(write_page(slug), "PAGE.txt", MODELS[slug]).changes
    assert [change.aspect for change in changes] == ["unknown parameters", "source.unseen"]
    for text in (write_page(slug).partition("Response Type")[0], write_page(slug).replace("Returns: ", "")):
        assert compare_page(text, "PAGE.txt", MODELS[slug]).changes == []


@pytest.mark.parametrize("name", NAMES)
def test_page_has_no_difference_from_its_draft(name: str) -> None:
    text = (PAGES / f"{name}.txt").read_text(encoding="utf-8")
    spec = Spec.model_validate(read_yaml(PAGES / f"{name}.yaml"))
    assert [str(change) for change in compare_page(text, "PAGE.txt", spec).changes] == []


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


@pytest.mark.parametrize("name", EDITS)
def test_change_of_the_page_is_reported_with_its_class(name: str) -> None:
    edits, expected = EDITS[name]
    assert compare(edit(write_page("kling-2.5-turbo"), *edits)) == expected


def test_parameter_with_another_name_and_type_is_removed_and_added() -> None:
    text = edit(
        write_page("kling-2.5-turbo"),
        ("negative_promptoptional\nstring\n", "negative_stepsoptional\nboolean\n"),
    )
    assert [(change.aspect, change.path) for change in compare_page(text, "PAGE.txt", MODELS["kling-2.5-turbo"]).changes] == [
        ("parameter", "negative_prompt"), ("parameter", "negative_steps"),
    ]  # fmt: skip


def test_list_that_becomes_a_text_takes_its_rules_with_it() -> None:
    head, _, tail = write_page("kling-o1").partition("image_urlsrequired")
    text = head + "image_urlsrequired" + tail.replace("string[]", "string (uri)", 1)
    changes = compare(text, "kling-o1")
    assert (
        "breaking: kling-o1 image_urls: type array -> string (values of the old type are refused)" in changes
    )
    assert len(changes) == 2


def test_renamed_part_of_a_list_is_one_change() -> None:
    text = write_page("kling-3-pro-image2video").replace("frontal_image_url", "front_image_url")
    [change] = compare_page(text, "PAGE.txt", MODELS["kling-3-pro-image2video"]).changes
    assert (change.aspect, change.path, change.after) == (
        "name",
        "elements.frontal_image_url",
        "elements.front_image_url",
    )


def test_values_that_are_run_together_are_read_as_the_spec_has_them() -> None:
    head, _, tail = write_page("kling-2.5-turbo", run_together=True).partition("durationoptional")
    spec = MODELS["kling-2.5-turbo"]
    unclear = head + "durationoptional" + tail.replace("\n510\n", "\n5105\n", 1)
    [change] = compare_page(unclear, "PAGE.txt", spec).changes
    assert (change.level, change.path, change.aspect) == ("warning", "duration", "values")
    assert (change.before, change.after) == ([5, 10], "5105")


def test_page_that_is_cut_off_hides_what_follows(tmp_path: Path) -> None:
    text = write_page("kling-2.5-turbo").partition("image_urloptional")[0]
    result = run(tmp_path, text)
    assert result.exit_code == 0, result.output
    assert result.stderr.endswith("ends within its parameters; those that follow were not compared\n")


def test_exit_code_says_whether_something_differs(tmp_path: Path) -> None:
    text = write_page("kling-2.5-turbo")
    spec, page_file = SPECS / "kling-2.5-turbo.yaml", tmp_path / "PAGE.txt"
    same = run(tmp_path, text)
    assert same.exit_code == 0
    assert same.stdout == f"{spec} and {page_file} say the same\nversion: none (while it is 0.x: none)\n"
    different = run(tmp_path, edit(text, ("Default: 0.7", "Default: 0.5")), "--format", "json")
    assert different.exit_code == 1
    report = json.loads(different.stdout)
    assert (report["old"], report["new"], report["version"]) == (str(spec), str(page_file), "minor")
    [change] = report["changes"]
    assert (change["level"], change["path"], change["before"], change["after"]) == (
        "warning",
        "cfg_scale",
        0.7,
        0.5,
    )


def test_input_that_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    text = write_page("kling-2.5-turbo")
    different = run(tmp_path, text, spec=SPECS / "kling-2.yaml")
    assert (different.exit_code, different.stdout) == (2, "")
    assert "it is the page of kling-2.5-turbo, the spec is that of kling-2" in different.stderr
    (tmp_path / "bad.yaml").write_text("slug: 5\n", encoding="utf-8")
    bad = run(tmp_path, text, spec=tmp_path / "bad.yaml")
    assert (bad.exit_code, bad.stdout) == (2, "")
    assert "bad.yaml:1:7: " in bad.stderr
    assert run(tmp_path, text, "-o", "x.yaml").exit_code == 2
    path = tmp_path / "PAGE.txt"
    assert CliRunner().invoke(main, ["draft", str(path), "--format", "json"]).exit_code == 2


@pytest.mark.parametrize("slug", MODELS)
def test_damaged_page_is_compared_or_refused(slug: str) -> None:
    text = write_page(slug, run_together=True)
    lines = text.split("\n")
    pages = [text[:end] for end in range(7, len(text), 211)]
    pages += ["\n".join(lines[:index] + lines[index + 1 :]) for index in range(0, len(lines), 5)]
    pages += [text[:start] + text[start + 23 :] for start in range(0, len(text), 173)]
    pages += [
        "\n".join([*lines[:index], *lines[index - 9 : index], *lines[index:]])
        for index in range(9, len(lines), 11)
    ]
    for damaged in pages:
        try:
            comparison = compare_page(damaged, "PAGE.txt", MODELS[slug])
        except NotAPage:
            continue
        assert comparison.spec.slug == slug
        format_spec_diff(comparison)
