"""`name=value` arguments: types, files, and hints for names and files that do not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from kling_adapters import ConfigError, ParamsInvalid, load_catalog
from kling_adapters.cli.explanations import build_params
from kling_adapters.cli.values import read_arguments
from tests.support.media import make_png

CATALOG = load_catalog()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fox.png").write_bytes(make_png(b"fox"))
    return tmp_path


def problems(slug: str, *arguments: str) -> str:
    entry = CATALOG.find(slug)
    schema = entry.json_schema()
    with pytest.raises((ConfigError, ParamsInvalid)) as caught:
        build_params(entry, read_arguments(arguments, schema), schema)
    return str(caught.value)


def test_misspelt_name_is_reported_before_its_file_is_read(folder: Path) -> None:
    (folder / "prompt.txt").write_bytes(b"\xff")
    message = problems("kling-2", "image_url=@fox.png", "prompt=@prompt.txt", "prompt2=@nothing.png")
    assert "image_url: " in message
    assert "prompt2: " in message
    assert "cannot be read" not in message
    assert "decode" not in message


def test_local_path_without_at_sign_is_suggested() -> None:
    message = problems("kling-3-pro-image2video", "prompt=x", "start_image_url=fox.png")
    assert "  start_image_url: fox.png is a file here: write @fox.png to upload it" in message
    message = problems("kling-3-pro-image2video", "prompt=x", "start_image_url=wolf.png")
    assert "allowed: an http or https URL, or @FILE for a file of this machine" in message
    assert "Path(" not in message
    assert "mode 'rb'" not in message
    nested = 'elements=[{"frontal_image_url": "fox.png"}]'
    message = problems("kling-3-pro-image2video", "prompt=x", "start_image_url=@fox.png", nested)
    assert "elements[0].frontal_image_url: fox.png is a file here: write @fox.png to upload it" in message


def test_text_that_names_no_file_is_written_with_two_at_signs() -> None:
    message = problems("kling-2", "prompt=@dave waves")
    assert "dave waves cannot be read: No such file or directory" in message
    assert "For text that starts with @ write prompt=@@dave waves. Nothing was sent" in message


def test_files_are_read_in_arguments_and_in_json(folder: Path) -> None:
    (folder / "prompt.txt").write_text("@Element1 speaks")
    arguments = [
        "prompt=@prompt.txt",
        "start_image_url=@fox.png",
        'elements=[{"frontal_image_url": "@fox.png", "reference_image_urls": ["@fox.png"]}]',
    ]
    schema = CATALOG.find("kling-3-pro-image2video").json_schema()
    assert read_arguments(arguments, schema) == {
        "prompt": "@Element1 speaks",
        "start_image_url": Path("fox.png"),
        "elements": [{"frontal_image_url": Path("fox.png"), "reference_image_urls": [Path("fox.png")]}],
    }


def test_endless_file_is_not_read_as_text() -> None:
    assert "/dev/zero is too large: at most 1048576 bytes" in problems("kling-2", "prompt=@/dev/zero")


def test_two_urls_in_one_argument_are_refused() -> None:
    urls = "image_urls=https://a.example/1.png,https://a.example/2.png"
    assert 'a list is JSON, such as ["URL", "URL"]' in problems("kling-o1", "prompt=x", urls)


def test_broken_json_of_a_list_is_not_an_item() -> None:
    assert "voice_ids" in problems("kling-3-pro-image2video", "prompt=x", "voice_ids=[a")


REFERENCE = ("kling-o1-reference-image-to-video", "prompt=x", "image_urls=https://a.example/1.png")


def test_object_for_text_or_list_is_an_item(folder: Path) -> None:
    elements = 'elements={"frontal_image_url": "@fox.png"}'
    schema = CATALOG.find(REFERENCE[0]).json_schema()
    values = read_arguments([*REFERENCE[1:], elements, elements], schema)
    assert values["elements"] == [{"frontal_image_url": Path("fox.png")}] * 2


@pytest.mark.parametrize("text", ["[{bad json", "{bad json"])
def test_broken_json_is_not_text_beside_a_list(text: str) -> None:
    assert "is read as JSON, and this is not JSON. Nothing was sent" in problems(
        *REFERENCE, f"elements={text}"
    )


def test_file_that_is_not_text_is_explained(folder: Path) -> None:
    message = problems("kling-2", "prompt=@fox.png")
    (folder / "latin.txt").write_bytes("für".encode("latin-1"))
    assert "latin.txt cannot be read: it is not UTF-8 text" in problems("kling-2", "prompt=@latin.txt")
    assert "fox.png cannot be read: it is not UTF-8 text" in message
    assert "codec" not in message
