"""Batch files: formats, refusals, notes, and that a foreign batch file reads nothing of this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kling_adapters import ConfigError, load_catalog
from kling_adapters.cli.batch_file import read_batch
from kling_adapters.cli.values import MAX_TEXT_BYTES, text_files_below
from tests.support.media import make_png

CATALOG = load_catalog()
PNG = make_png(b"fox")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fox.png").write_bytes(PNG)
    return tmp_path


def read(
    content: str | bytes, name: str = "a.jsonl", allow_files: Path | None = None
) -> list[tuple[int, dict[str, Any]]]:
    file = Path(name)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    requests = read_batch(
        file, "kling-2", CATALOG, None if allow_files is None else text_files_below(allow_files)
    )
    requests.check(skip_invalid=False)
    return [
        (line.number, {key: getattr(line.params, key) for key in line.params.model_fields_set})
        for line in requests.lines
    ]


def refuse(content: str | bytes, name: str = "a.jsonl", allow_files: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        read(content, name, allow_files)
    message = str(caught.value)
    assert "othing was sent" in message
    return message


def test_at_sign_in_text_is_only_text() -> None:
    texts = ["@/etc/hostname", "@@home", "@Element1 waves", "@/proc/self/environ"]
    rows = "".join(json.dumps({"prompt": text}) + "\n" for text in texts)
    assert [values["prompt"] for _, values in read(rows)] == texts
    assert [values["prompt"] for _, values in read(f"[{','.join(rows.splitlines())}]", "a.json")] == texts
    assert [values["prompt"] for _, values in read("\n".join(["prompt", *texts]), "a.csv")] == texts


def test_media_parameters_take_files_in_every_format() -> None:
    [(_, values)] = read('{"model": "kling-bloombloom", "image": "@fox.png"}')
    assert values["image"] == Path("fox.png")
    [(_, values)] = read("model,image\nkling-bloombloom,@fox.png\n", "a.csv")
    assert values["image"] == Path("fox.png")
    [(_, values)] = read('model,prompt,image_urls\nkling-o1,x @Image1,"[""@fox.png""]"\n', "a.csv")
    assert values["image_urls"] == [Path("fox.png")]
    nested = {
        "model": "kling-3-pro-image2video",
        "prompt": "@Element1 waves",
        "start_image_url": "@fox.png",
        "elements": [{"frontal_image_url": "@fox.png", "reference_image_urls": ["@fox.png"]}],
    }
    [(_, values)] = read(json.dumps(nested))
    [element] = values["elements"]
    assert values["start_image_url"] == element.frontal_image_url == Path("fox.png")
    assert element.reference_image_urls == [Path("fox.png")]


def test_media_file_without_at_sign_is_suggested() -> None:
    hint = "image: fox.png is a file here: write @fox.png to upload it"
    assert hint in refuse('{"model": "kling-bloombloom", "image": "fox.png"}')
    assert hint in refuse("model,image\nkling-bloombloom,fox.png\n", "a.csv")
    assert "is a file here" not in refuse('{"model": "kling-bloombloom", "image": "wolf.png"}')


def test_misspelt_name_is_reported_before_its_file_is_read(folder: Path) -> None:
    for content, name in (
        ('{"promt": "@nothing.txt", "negative_prompt": "@nothing.txt"}', "a.jsonl"),
        ("promt,negative_prompt\n@nothing.txt,@nothing.txt\n", "a.csv"),
    ):
        message = refuse(content, name, folder)
        assert "did you mean prompt?" in message
        assert "cannot be read" not in message


def test_allowed_folder_lets_text_come_from_files(folder: Path) -> None:
    texts = folder / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("a fox")
    (folder / "secret.txt").write_text("secret")
    (texts / "link.txt").symlink_to(folder / "secret.txt")
    os.mkfifo(texts / "pipe")
    (texts / "large.txt").write_bytes(b"x" * (MAX_TEXT_BYTES + 1))
    for content, name in (
        ('{"prompt": "@texts/a.txt"}\n{"prompt": "@@home"}', "a.jsonl"),
        ("prompt\n@texts/a.txt\n@@home\n", "a.csv"),
    ):
        assert [values["prompt"] for _, values in read(content, name, texts)] == ["a fox", "@home"]
    for path, reason in {
        "secret.txt": "is not in the folder",
        "texts/../secret.txt": "is not in the folder",
        "texts/link.txt": "is not in the folder",
        "texts/pipe": "is not a plain file",
        "texts/large.txt": "is too large",
        "texts/nothing.txt": "cannot be read: No such file",
    }.items():
        message = refuse(f"prompt\n@{path}\n", "a.csv", texts)
        assert reason in message
        assert "secret text" not in message


def test_batch_file_without_an_end_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kling_adapters.cli.batch_file.MAX_FILE_BYTES", 20)
    assert len(read('{"prompt": "a fox"}\n')) == 1
    endless = folder / "zero.jsonl"
    endless.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=r"zero\.jsonl is too large: at most 20 bytes are read"):
        read_batch(endless, "kling-2", CATALOG, None)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("model,prompt,prompt\nkling-2,first,second\n", "a.csv"),
        ("prompt,image_urls,image_urls\nx,a,b\n", "a.csv"),
        ('{"prompt": "first", "prompt": "second"}\n', "a.jsonl"),
        ('{"prompt": "x", "elements": [{"a": 1, "a": 2}]}\n', "a.jsonl"),
        ('[{"prompt": "first", "prompt": "second"}]', "a.json"),
    ],
)
def test_repeated_name_is_refused(content: str, name: str) -> None:
    message = refuse(content, name)
    assert "line 1: " in message
    assert "appears twice" in message


@pytest.mark.parametrize(
    ("content", "name", "places"),
    [
        ('{"prompt": "x",}\n', "a.jsonl", ["line 1, column 1"]),
        ('{"prompt": "x"}\n\n{"prompt": "He said "hi""}\n', "a.jsonl", ["line 3, column 22: is not JSON: "]),
        ('{"prompt": "x"} {"prompt": "y"}\n', "a.jsonl", ["line 1, column 17: is not JSON: text after"]),
        ("[1]\n" + "[" * 100_000 + "\n5\n", "a.jsonl", ["line 1: ", "line 2: is nested", "line 3: is not a JSON object"]),
        ("9" * 5000, "a.jsonl", ["line 1: is unusable JSON"]),
        ('[\n{"prompt": "x"},\n5,\n{"promt": "y"}\n]\n', "a.json", ["line 3: is not a JSON object", "line 4: "]),
        ('[{"prompt": "x"}\n{"prompt": "y"}]', "a.json", ["line 2, column 1: is not JSON: expected a comma"]),
        ('[\n{"prompt": "x"}]\nx', "a.json", ["line 3, column 1: is not JSON: text after"]),
        ('[\n{"prompt": "x"},]', "a.json", ["line 2, column 17: is not JSON"]),
        ('[{"prompt": "x"}', "a.json", ["line 1, column 17: is not JSON"]),
        ('prompt\n"x', "a.csv", ["line 2: is not CSV: "]),
        ('prompt,duration\n"two\nlines",7\nx,5,5\n', "a.csv", ["line 2: duration", "line 4: has 3 cells; the first line has 2"]),
        ("prompt,\nx,y\n", "a.csv", ["line 2: cell 2 is in a column without a name"]),
        ("prompt,image_urls\nx,https://a.example/1.png https://a.example/2.png\n", "a.csv", ["line 2: image_urls"]),
    ],
)  # fmt: skip
def test_bad_line_has_place_and_reason(content: str, name: str, places: list[str]) -> None:
    problems = refuse(content, name).splitlines()[1:]
    assert len(problems) >= len(places)
    for place in places:
        assert any(problem.strip().startswith(place) for problem in problems), problems


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ('[\n{"prompt": "fün"},\n{"prompt": "y"}\n]', "a.json"),
        ('{"prompt": "fün"}\r\n{"prompt": "y"}\r\n', "a.jsonl"),
        ("prompt;duration\nfün;\ny;5\n", "a.csv"),
        ("prompt\tduration\nfün\t\ny\t5\n", "a.tsv"),
        ("model,prompt,\nkling-2,fün,\nkling-2,y,\n", "a.csv"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_common_formats_are_read(content: str, name: str, encoding: str) -> None:
    assert [values["prompt"] for _, values in read(content.encode(encoding), name)] == ["fün", "y"]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ('{"prompt": "x", "#customer": "Ann", "#order": "7"}', "a.jsonl"),
        ('[{"prompt": "x", "#customer": "Ann", "#order": "7"}]', "a.json"),
        ("prompt,#customer,#order\nx,Ann,7\n", "a.csv"),
    ],
)
def test_columns_with_hash_are_notes(content: str, name: str) -> None:
    Path(name).write_text(content)
    [line] = read_batch(Path(name), "kling-2", CATALOG, None).lines
    assert line.notes == {"#customer": "Ann", "#order": "7"}
    assert line.params.model_fields_set == {"prompt"}


def test_refusal_of_an_unknown_column_names_the_form_of_a_note() -> None:
    note = "line 2: customer: unknown parameter; name it #customer to copy it to the outcomes only"
    assert note in refuse("prompt,customer\nx,Ann\n", "a.csv")
    assert "#promt" not in refuse("prompt,promt\nx,y\n", "a.csv")


def test_hash_inside_a_value_is_refused() -> None:
    nested = '{"model": "kling-3-pro-image2video", "prompt": "x", "start_image_url": "@fox.png", "elements": [{"#a": 1}]}'
    assert "elements[0].#a" in refuse(nested)


def test_invalid_lines_can_be_skipped_if_all_can_be_read() -> None:
    file = Path("a.jsonl")
    file.write_text('{"prompt": "x"}\n{oops\n{"promt": "y", "#customer": "Ann"}\n')
    requests = read_batch(file, "kling-2", CATALOG, None)
    requests.check(skip_invalid=True)
    assert [line.number for line in requests.lines] == [1]
    assert [(line.number, line.notes) for line in requests.invalid] == [(2, {}), (3, {"#customer": "Ann"})]
    for content, name in (
        ('[{"prompt": "x"}, {oops]', "a.json"),  # what follows is unknown
        ('prompt\nx\n"y', "a.csv"),
        ('{"promt": "y"}', "b.jsonl"),  # no line is left
    ):
        Path(name).write_text(content)
        with pytest.raises(ConfigError, match="nothing was sent"):
            read_batch(Path(name), "kling-2", CATALOG, None).check(skip_invalid=True)


def test_many_problems_are_shown_in_part() -> None:
    lines = refuse('{"promt": "x"}\n' * 60).splitlines()
    assert lines[0] == "120 problems in a.jsonl; nothing was sent:"
    assert len(lines) == 52
    assert lines[-1] == "  and 70 more"


def test_lines_are_numbered_where_they_start() -> None:
    assert [number for number, _ in read('prompt\n"a\nb"\nc\n', "a.csv")] == [2, 4]
    assert [number for number, _ in read('\n{"prompt": "x"}\n\n{"prompt": "y"}')] == [2, 4]
    assert [number for number, _ in read('[\n\n{"prompt": "x"}, {"prompt": "y"},\n{"prompt": "z"}]', "a.json")] == [
        *(3, 3, 4)
    ]  # fmt: skip


def test_file_that_is_not_utf8_is_refused_with_its_place() -> None:
    message = refuse('{"prompt": "x"}\n{"prompt": "é"}'.encode("latin-1"))
    assert "line 2, column 13 is not UTF-8 text. Save the file as UTF-8" in message


@pytest.mark.parametrize("content", ["", "\n", "[]", " [ ] \n"])
def test_file_without_requests_is_refused(content: str) -> None:
    assert "contains no request" in refuse(content)
