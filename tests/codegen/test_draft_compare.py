"""`draft --compare`: only the differences between a page and an existing spec, as far as a machine can read the page.

The pages are written from the specs of the repository, then edited as the gateway would edit them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from kling_codegen.cli import main
from kling_codegen.draft.compare import compare_page
from kling_codegen.draft.page import NotAPage
from kling_codegen.drift.spec_diff import format_spec_diff
from kling_codegen.language import Spec

from tests.codegen.model_pages import NAMES, PAGES
from tests.codegen.spec_pages import EDITS, MODELS, SPECS, WHOLE, edit_text, read_yaml, write_page

if TYPE_CHECKING:
    from click.testing import Result


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


@pytest.mark.parametrize("name", EDITS)
def test_change_of_the_page_is_reported_with_its_class(name: str) -> None:
    edits, expected = EDITS[name]
    assert compare(edit_text(write_page("kling-2.5-turbo"), *edits)) == expected


def test_parameter_with_another_name_and_type_is_removed_and_added() -> None:
    text = edit_text(
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
    different = run(tmp_path, edit_text(text, ("Default: 0.7", "Default: 0.5")), "--format", "json")
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
