"""`drift`: the gateway's list and copies of pages, as files, against the specs."""

from __future__ import annotations

import shutil
from typing import Any

from click.testing import CliRunner
from kling_codegen.cli import main
from kling_codegen.drift.pages import MAX_PAGES
from markdown_it import MarkdownIt

from tests.codegen.drift_command import Drift
from tests.codegen.spec_pages import (
    EDITS,
    MODEL_LIST,
    MODELS,
    SEED,
    SPECS,
    WHOLE,
    edit_text,
    write_page,
)


def test_nothing_has_changed(drift: Drift) -> None:
    for slug in WHOLE:
        drift.write_page(f"{slug}.txt", write_page(slug, run_together=True))
    result = drift.run("--pages", str(drift.pages))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "Nothing has changed."
    assert f"of {len(WHOLE)} models of {len(MODELS)}." in result.stdout
    assert result.stderr == ""


def test_renamed_removed_added_and_narrowed_parameters_have_their_classes(drift: Drift) -> None:
    for name in ("renamed", "removed", "added", "added and required", "fewer values", "smaller range"):
        edits, expected = EDITS[name]
        drift.write_page("kling-2.5-turbo.txt", edit_text(write_page("kling-2.5-turbo"), *edits))
        assert drift.lines("--pages", str(drift.pages)) == expected


def test_page_is_matched_by_its_slug_and_shown_as_spec_diff(drift: Drift) -> None:
    drift.write_page("0001.txt", write_page("kling-2"))
    text = edit_text(
        write_page("kling-2.5-turbo"), ("tail_image_urloptional", f"{SEED}tail_image_urloptional")
    )
    drift.write_page("0002.txt", text)
    report = drift.run("--pages", str(drift.pages)).stdout
    assert "| kling-2.5-turbo | `seed` | `parameter none -> integer` |" in report
    diff = report.partition("```diff\n")[2].partition("\n```")[0].splitlines()
    assert diff[:2] == ["--- specs/kling-2.5-turbo.yaml", "+++ page/kling-2.5-turbo.yaml"]
    assert [line for line in diff[2:] if line[0] in "+-"] == [
        "+    seed:",
        "+      type: integer",
        '+      description: "TODO: say what seed does."',
    ]


def test_new_and_retired_models_are_reported(drift: Drift) -> None:
    [(name, entries)] = MODEL_LIST.items()
    listed: list[dict[str, Any]] = [
        entry for entry in entries if entry["slug"] not in ("kling-2", "kling-o1")
    ]
    listed += [{"slug": "kling-o1", "is_depreciated": True}, {"slug": "kling-9", "title": "Kling 9"}]
    drift.write_list({"count": len(listed), name: listed})
    assert drift.lines() == [
        'breaking: kling-2: model "Kling 2" -> none (the list does not offer it: calls of it may be refused; a spec can say retired)',
        'breaking: kling-o1: model "Kling O1" -> none (the list does not offer it: calls of it may be refused; a spec can say retired)',
        'additive: kling-9: model none -> "Kling 9" (it is new: add it to catalogue.yaml, or draft a spec from its page)',
    ]


def test_model_without_a_spec_is_known_by_the_catalogue(drift: Drift) -> None:
    [(name, entries)] = MODEL_LIST.items()
    listed = [entry for entry in entries if entry["slug"] != "kling-hug"]
    moved = {"slug": "kling-2.1", "title": "Kling 2.1", "average_cost": "$1.9", "average_latency": 140}
    drift.write_list({name: [moved if entry["slug"] == "kling-2.1" else entry for entry in listed]})
    assert drift.lines() == [
        'breaking: kling-hug: model "Kling Hug" -> none (the list does not offer it: calls of it may be refused; a spec can say retired)',
        "documentation: kling-2.1: average_cost 0.9007 -> 1.9 (calls and results stay the same)",
        'documentation: kling-2.1: title "Kling 2.1 AI Video Generator" -> "Kling 2.1" (calls and results stay the same)',
    ]  # fmt: skip


def test_retired_model_may_be_missing_but_not_offered(drift: Drift) -> None:
    specs = drift.folder / "specs"
    shutil.copytree(SPECS, specs)
    spec = specs / "kling-2.yaml"
    text = spec.read_text(encoding="utf-8").replace("source:", "retired: {since: 2026-11-01}\nsource:", 1)
    spec.write_text(text, encoding="utf-8")
    assert '| kling-2 |  | `retired "true" -> none` |' in drift.run(specs=specs).stdout
    [(name, entries)] = MODEL_LIST.items()
    drift.write_list({name: [entry for entry in entries if entry["slug"] != "kling-2"]})
    assert drift.run(specs=specs).exit_code == 0


def test_page_of_a_new_model_is_to_be_drafted(drift: Drift) -> None:
    drift.write_page("new.txt", write_page("kling-2").replace("/kling-2", "/kling-9"))
    result = drift.run("--pages", str(drift.pages))
    assert result.exit_code == 0
    assert "- `new.txt` is the page of `kling-9`; `kling-codegen draft FILE -o specs/kling-9.yaml`" in (
        result.stdout
    )


def test_average_that_moves_a_little_is_no_change(drift: Drift) -> None:
    for seconds, lines in (("190.2", 0), ("400.1", 1)):
        text = write_page("kling-o1-reference-image-to-video").replace("~194.08s", f"~{seconds}s")
        drift.write_page("a.txt", text)
        assert len(drift.lines("--pages", str(drift.pages))) == lines


def test_report_replaces_a_report_only(drift: Drift) -> None:
    report = drift.folder / "report.md"
    drift.lines()
    assert report.read_text(encoding="utf-8").startswith("# Drift of the catalogue\n")
    drift.lines()
    report.write_text("slug: kling-2\n", encoding="utf-8")
    result = drift.run("-o", str(report))
    assert result.exit_code == 2
    assert report.read_text(encoding="utf-8") == "slug: kling-2\n"


def test_every_input_that_cannot_be_read_is_reported_beside_the_others(drift: Drift) -> None:
    text = write_page("kling-2.5-turbo")
    drift.write_page("1.txt", edit_text(text, ("Default: 0.7", "Default: 0.5")))
    drift.write_page("2.txt", text)
    drift.write_page("3.txt", "Not a page.")
    drift.write_page("kling-2.txt", write_page("kling-o1"))
    drift.write_page("4.txt", write_page("kling-bloombloom").partition("modeoptional")[0])
    (drift.pages / "5.txt").write_bytes(b"\xff\xfe")
    (drift.pages / "6.txt").mkdir()
    (drift.pages / "7.txt").symlink_to("/dev/zero")
    (drift.pages / "8.txt").write_bytes(b"a" * 500_000)
    result = drift.run("--pages", str(drift.pages), source=str(drift.folder / "missing.json"))
    assert result.exit_code == 2
    assert "| kling-2.5-turbo | `cfg_scale` |" in result.stdout
    problems = [line.removeprefix("not compared: ") for line in result.stderr.splitlines()]
    assert problems == [
        f"the list of models at {drift.folder / 'missing.json'}: it cannot be read: No such file or directory",
        "2.txt: another page of kling-2.5-turbo was compared",
        "3.txt: it is not a model page: it shows no address such as /v1/kling-2, so the model has no name",
        "4.txt: the page of kling-bloombloom ends within its parameters; those that follow were not compared",
        "5.txt: it is not UTF-8 text",
        "6.txt: it cannot be read: Is a directory",
        "7.txt: it cannot be read: it is not a plain file",
        "8.txt: it cannot be read: it has more than 400000 bytes",
        "kling-2.txt: it is the page of kling-o1",
    ]


def test_hostile_texts_add_nothing_to_the_report(drift: Drift) -> None:
    [(name, entries)] = MODEL_LIST.items()
    title = "<script>x</script> | [a](javascript:x) \x1b[31m\u202e ![i](http://e) @all <!-- \n# X"
    drift.write_list({name: [*entries, {"slug": "kling-9", "title": title * 500}]})
    text = write_page("kling-2.5-turbo").replace('"16:9"', '"```\\n# X <img src=x> | `"')
    drift.write_page("<img src=x> `|` ```.txt", text)
    drift.write_page("![i](http:).txt", write_page("kling-2").replace("/kling-2", "/kling-9"))
    report = drift.folder / "report.md"
    drift.run("--pages", str(drift.pages), "-o", str(report))
    markdown = report.read_text(encoding="utf-8")
    assert "\x1b" not in markdown
    assert "\u202e" not in markdown
    assert len(markdown) < 20_000
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    inline = [child.type for token in tokens for child in token.children or ()]
    assert not {"html_inline", "html_block", "image", "link_open"} & {*inline, *(t.type for t in tokens)}
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    assert "X" not in headings


def test_too_many_pages_are_not_compared(drift: Drift) -> None:
    for number in range(MAX_PAGES + 1):
        (drift.pages / f"{number}.txt").touch()
    result = drift.run("--pages", str(drift.pages))
    assert result.exit_code == 2
    assert f"{drift.pages} has 1001 pages; the first 1000 are compared" in result.stderr


def test_package_without_a_gateway_has_no_list_of_its_own(drift: Drift) -> None:
    specs = drift.folder / "specs"
    specs.mkdir()
    shutil.copy(SPECS / "kling-2.yaml", specs)
    nothing = CliRunner().invoke(main, ["drift", "--specs", str(specs)])
    assert nothing.exit_code == 2
    assert "there is nothing to compare: pass --list, --pages or both" in nothing.stderr
    drift.write_page("a.txt", write_page("kling-2"))
    pages = CliRunner().invoke(main, ["drift", "--specs", str(specs), "--pages", str(drift.pages)])
    assert (pages.exit_code, pages.stderr) == (0, "")


def test_list_that_cannot_be_read_alone_gives_no_report(drift: Drift) -> None:
    report = drift.folder / "report.md"
    for arguments in ((), ("-o", str(report))):
        result = drift.run(*arguments, source=str(drift.folder / "missing.json"))
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.splitlines()[-1] == "the comparison failed; no report was written"
    assert not report.exists()


def test_incomplete_comparison_is_not_said_to_be_without_changes(drift: Drift) -> None:
    drift.write_page("1.txt", "Not a page.")
    result = drift.run("-o", str(drift.folder / "report.md"), "--pages", str(drift.pages))
    assert (result.exit_code, result.stdout) == (2, "No change was found in what could be compared.\n")


def test_specs_that_are_invalid_are_refused(drift: Drift) -> None:
    (drift.folder / "bad.yaml").write_text("slug: 5\n", encoding="utf-8")
    result = drift.run(specs=drift.folder)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "bad.yaml:1:7: " in result.stderr
