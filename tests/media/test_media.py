"""Media by its first bytes, and local media in every form in which it is handed over."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Sandbox
from starlette.datastructures import UploadFile

from kling_adapters import ArtifactKind, Kling, is_file_name
from kling_adapters.media.inputs import check_media, digest_media, measure_media
from kling_adapters.media.reader import MediaError
from kling_adapters.media.types import TYPES, find_extension, guess_kind, sniff
from kling_adapters.testing import PNG


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    body = b"ftyp" + major + bytes(4) + b"".join(compatible)
    return (len(body) + 4).to_bytes(4, "big") + body + bytes(100)


@pytest.mark.parametrize(
    ("head", "content_type"),
    [
        (ftyp(b"avif", b"mif1"), "image/avif"),
        (ftyp(b"avis"), "image/avif"),
        (ftyp(b"mif1", b"miaf", b"avif"), "image/avif"),
        (ftyp(b"mif1", b"heic"), "image/heic"),
        (ftyp(b"mif1"), "image/heif"),
        (ftyp(b"heix"), "image/heic"),
        (ftyp(b"qt  "), "video/quicktime"),
        (ftyp(b"M4A ", b"isom"), "audio/mp4"),
        (ftyp(b"M4V "), "video/mp4"),
        (ftyp(b"isom", b"avc1"), "video/mp4"),
        (ftyp(b"3gp5"), "video/3gpp"),
        (ftyp(b"3g2a"), "video/3gpp2"),
        (b"\x00\x00\x10\x00moov" + bytes(100), "video/quicktime"),
        (b"\x00\x00\x00\x08wide\x00\x00\x10\x00mdat", "video/quicktime"),
        (b"\x00\x00\x00\x01mdat" + bytes(100), "video/quicktime"),
        (b"not free of words", ""),
        (b"Fat skip, says the text", ""),
        (ftyp(b"crx "), ""),
        (b"\x1aE\xdf\xa3\x93\x42\x82\x88matroska", "video/x-matroska"),
        (b"\x1aE\xdf\xa3\x93\x42\x82\x84webm", "video/webm"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"XXXX\x00\x00\x00\x00WEBPVP8 ", ""),
    ],
)
def test_content_type_follows_from_the_first_bytes(head: bytes, content_type: str) -> None:
    assert sniff(head) == content_type
    assert not content_type or content_type in {row.name for row in TYPES}


@pytest.mark.parametrize(
    ("content_type", "kind", "extension"),
    [
        ("image/jpeg", "image", "jpg"),
        ("video/x-made-up", "video", "mp4"),
        ("", "image", "png"),
        ("", "audio", "mp3"),
        ("", "text", "txt"),
        ("", "file", "bin"),
    ],
)
def test_extension_follows_type_then_kind(content_type: str, kind: ArtifactKind, extension: str) -> None:
    assert find_extension(content_type, kind) == extension


@pytest.mark.parametrize(
    ("url", "kind", "is_file"),
    [
        ("https://x.example/a/film.MP4", "video", True),
        ("https://x.example/a/photo.jpeg?signature=b.mp3", "image", True),
        ("https://x.example/a/sound.flac#t=1", "audio", True),
        ("https://x.example/a/notes.txt", "text", True),
        ("https://x.example/a/output.bin", "file", True),
        ("https://x.example/a/v2.5", "file", False),
        ("https://x.example/renders", "file", False),
    ],
)
def test_extension_shows_the_kind_of_a_file(url: str, kind: str, is_file: bool) -> None:
    assert guess_kind(url) == kind
    assert is_file_name(url.partition("?")[0].partition("#")[0].rpartition("/")[2]) is is_file


def test_extension_belongs_to_one_type() -> None:
    extensions = [extension for row in TYPES for extension in row.extensions]
    assert len(extensions) == len(set(extensions))


def spooled() -> Any:
    file = tempfile.SpooledTemporaryFile(max_size=1000)  # noqa: SIM115
    file.write(PNG)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    "make",
    [
        lambda: bytearray(PNG),
        lambda: memoryview(PNG),
        lambda: memoryview(PNG)[::1],
        spooled,
        lambda: io.BytesIO(PNG),
    ],
)
def test_media_is_accepted_in_every_form(make: Callable[[], Any]) -> None:
    value = make()
    check_media(value)
    assert measure_media(value) == len(PNG)
    assert digest_media(value) == digest_media(PNG)
    if hasattr(value, "close"):
        value.close()


def test_asynchronous_file_is_refused_with_advice() -> None:
    with pytest.raises(MediaError, match=r"read it first, with `await file\.read\(\)`"):
        check_media(UploadFile(io.BytesIO(PNG)))


def test_pipe_and_folder_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(MediaError, match="not a plain file"):
        check_media(tmp_path / "pipe.png")
    with pytest.raises(MediaError, match="a folder"):
        check_media(tmp_path)


class Slow(io.BytesIO):
    """Lets other threads in between every two steps."""

    def seek(self, *arguments: int) -> int:
        threading.Event().wait(0.0005)
        return super().seek(*arguments)


def test_open_file_is_read_by_several_threads() -> None:
    file, content = Slow(b"skipped" + PNG), set[str]()
    file.seek(7)
    threads = [threading.Thread(target=lambda: content.add(digest_media(file))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert content == {digest_media(PNG)}
    assert file.tell() == 7


def test_open_file_serves_all_requests_of_a_batch(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(PNG + b"batch")
    before = sandbox.uploads
    with (
        Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=None) as kling,
        path.open("rb") as cat,
    ):
        requests = [{"model": "kling-bloombloom", "image": cat} for _ in range(8)]
        assert [outcome.error for outcome in kling.map(requests, concurrency=8)] == [None] * 8
    assert sandbox.uploads == before + 1
