"""`kling-codegen draft`: files that it writes and refuses, and pages that are damaged."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from kling_codegen.draft.compose import draft_spec
from kling_codegen.draft.page import NotAPage
from ruamel.yaml import YAML

from tests.codegen.model_pages import CONDENSED, DAY, NAMES, PAGES, load_draft, run_draft


def write_page(folder: Path, text: str) -> Path:
    page = folder / "PAGE.txt"
    page.write_text(text, encoding="utf-8")
    return page


@pytest.mark.parametrize("type_", ["object", "object[]", "object[][]"])
def test_spec_that_does_not_load_is_reported_in_words_of_the_language(type_: str, tmp_path: Path) -> None:
    text = CONDENSED.format(type=type_, sent="[]", text="Depths.", values="")
    result = run_draft(write_page(tmp_path, text))
    assert result.exit_code == 0
    assert (
        "PAGE.txt:8: doubt: level: the table shows no parameters of its objects; add them\n" in result.stderr
    )
    items = ".items" * type_.count("[]")
    place = f"input.properties.level{items}"
    assert (
        f"PAGE.txt:1: doubt: {place}: the draft does not load yet: type object needs properties\n"
        in result.stderr
    )


def test_day_is_today_and_a_spec_is_never_replaced(tmp_path: Path) -> None:
    page = write_page(tmp_path, CONDENSED.format(type="integer", sent="5", text="Height.", values="5"))
    result = run_draft(page, "-o", "brook.yaml")
    assert (result.exit_code, result.stdout) == (0, "")
    written = (tmp_path / "brook.yaml").read_text(encoding="utf-8")
    read = YAML(typ="safe", pure=True).load(written)["source"]["read"]
    assert abs((date.today() - read).days) <= 1  # noqa: DTZ011  midnight may have passed
    again = run_draft(page, "-o", "brook.yaml")
    assert again.exit_code == 2
    assert again.stderr == "brook.yaml already exists; a draft does not replace a file\n"
    elsewhere = run_draft(page, "-o", "nowhere/brook.yaml")
    assert elsewhere.exit_code == 2
    assert elsewhere.stderr == "nowhere/brook.yaml cannot be written: No such file or directory\n"
    assert (tmp_path / "brook.yaml").read_text(encoding="utf-8") == written


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it shows no address such as /v1/kling-2, so the model has no name"),
        ("Brook\nhttps://api.segmind.com/v1/brook\nParameters", "it shows no parameters (a name, then required or optional, then a type)"),
        ("Brook\nhttps://api.segmind.com/v1/brook\nParameters\n", "it shows no parameters (a name, then required or optional, then a type)"),
    ],
)  # fmt: skip
def test_input_other_than_a_page_is_refused(text: str, why: str, tmp_path: Path) -> None:
    result = run_draft(write_page(tmp_path, text))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"PAGE.txt: this is not a model page: {why}\n"


def test_bytes_are_refused(tmp_path: Path) -> None:
    page = tmp_path / "PAGE.txt"
    page.write_bytes(b"\x89PNG\r\n")
    result = run_draft(page)
    assert result.exit_code == 2
    assert result.stderr.startswith("PAGE.txt: this is not a model page: it is not UTF-8 text (")


def test_page_saved_on_windows_is_the_same(tmp_path: Path) -> None:
    text = (PAGES / "spaced.txt").read_text(encoding="utf-8")
    page = tmp_path / "spaced.txt"
    page.write_bytes(b"\xef\xbb\xbf" + text.replace(" ", "\u00a0").replace("\n", "\r\n").encode())
    assert run_draft(page, "--read", "2026-01-31").stdout == (PAGES / "spaced.yaml").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["cut off", "without a line", "without a piece"])
def test_damaged_page_gives_draft_or_reason(name: str, damage: str, tmp_path: Path) -> None:
    text = (PAGES / f"{name}.txt").read_text(encoding="utf-8")
    lines = text.split("\n")
    match damage:
        case "cut off":
            pages = [text[:end] for end in range(7, len(text), 83)]
        case "without a line":
            pages = ["\n".join(lines[:index] + lines[index + 1 :]) for index in range(0, len(lines), 3)]
        case _:
            pages = [text[:start] + text[start + 23 :] for start in range(0, len(text), 89)]
    for index, page in enumerate(pages):
        try:
            draft = draft_spec(page, "PAGE.txt", DAY)
        except NotAPage:
            continue
        if index % 7 == 0:
            assert draft == draft_spec(page, "PAGE.txt", DAY)
            if not any("does not load" in note.text for note in draft.notes):
                load_draft(draft.yaml, tmp_path / "specs")
