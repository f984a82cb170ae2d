"""Local media for URLs: problems are reported before anything is sent, and each content is uploaded once."""

from __future__ import annotations

import base64
import io
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from kling_sandbox import Sandbox

from kling_adapters import AsyncKling, ConfigError, Kling, ParamsInvalid
from kling_adapters.models import (
    Kling3ProImage2video,
    Kling26StandardMotionControl,
    KlingBloombloom,
    KlingO1,
    KlingV1StandardAiAvatar,
)
from kling_adapters.testing import MP4, PNG, SimulatedClock
from tests.support.clients import OpenClient
from tests.support.media import JPEG

GIF = b"GIF89a" + bytes(range(256))
MP3 = b"ID3" + bytes(range(256))

URL = "https://example.com/a.png"


def data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def file(content: bytes) -> Callable[[Path], Any]:
    def make(folder: Path) -> Any:
        path = folder / "picture"
        path.write_bytes(content)
        return path

    return make


def opened(content: bytes) -> Callable[[Path], Any]:
    return lambda folder: file(content)(folder).open("rb")


def problems(slug_or_model: Any, **params: Any) -> list[str]:
    with pytest.raises(ParamsInvalid) as caught:
        slug_or_model(**params)
    return [str(problem).partition(";")[0] for problem in caught.value.problems]


def last_body(sandbox: Sandbox) -> Any:
    submits = [
        request
        for request in sandbox.requests
        if request.path.startswith("/v2/") and request.method == "POST"
    ]
    return submits[-1].json


@pytest.mark.parametrize(
    "make",
    [file(PNG), opened(PNG), lambda _: PNG, lambda _: io.BytesIO(PNG), lambda _: data_url(PNG)],
    ids=["path", "opened", "bytes", "file-object", "data-url"],
)
def test_local_media_is_uploaded_and_its_url_sent(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    media = make(tmp_path)

    before = sandbox.uploads
    with open_client(sandbox, journal=None) as kling:
        kling.submit("kling-bloombloom", image=media)
    if hasattr(media, "close"):
        media.close()
    image = last_body(sandbox)["image"]
    assert image.startswith(f"{sandbox.base_url}/")
    response = httpx.get(image)
    assert (response.content, response.headers["content-type"]) == (PNG, "image/png")
    assert sandbox.uploads == before + 1


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        (
            {"image_url": MP4, "video_url": MP4},
            "image_url: bytes of length {mp4} is a video (mp4), not an image",
        ),
        (
            {"image_url": PNG, "video_url": PNG},
            "video_url: bytes of length {png} is an image (png), not a video",
        ),
        (
            {"image_url": MP3, "video_url": MP3},
            "image_url: bytes of length {mp3} is sound (mpeg), not an image",
        ),
        (
            {"image_url": MP3, "video_url": MP3},
            "video_url: bytes of length {mp3} is sound (mpeg), not a video",
        ),
    ],
)
def test_file_of_another_kind_is_refused(params: dict[str, Any], problem: str) -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Kling26StandardMotionControl(prompt="a dance", **params)
    text = problem.format(mp4=len(MP4), png=len(PNG), mp3=len(MP3))
    assert any(str(problem).startswith(text) for problem in caught.value.problems)


def test_file_of_the_right_kind_is_accepted() -> None:
    Kling26StandardMotionControl(prompt="a dance", image_url=GIF, video_url=MP4)
    # Sound may be in a container of videos.
    for sound in (MP3, MP4):
        KlingV1StandardAiAvatar(image_url=JPEG, audio_url=sound)


def test_nested_media_is_uploaded_once_per_content(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = file(PNG)(tmp_path)

    before = sandbox.uploads
    with open_client(sandbox, journal=None) as kling:
        kling.submit(
            "kling-3-pro-image2video",
            prompt="@Element1 and @Element2",
            start_image_url=path,
            elements=(
                {"frontal_image_url": JPEG, "reference_image_urls": [URL, io.BytesIO(PNG), data_url(GIF)]},
                {"frontal_image_url": PNG},
            ),
        )
    body = last_body(sandbox)
    first, second = body["elements"]
    assert body["start_image_url"] == first["reference_image_urls"][1] == second["frontal_image_url"]
    assert first["reference_image_urls"][0] == URL
    urls = [first["frontal_image_url"], body["start_image_url"], first["reference_image_urls"][2]]
    assert [httpx.get(url).content for url in urls] == [JPEG, PNG, GIF]
    assert sandbox.uploads == before + 3


def test_media_in_extra_parameters_is_uploaded(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = file(PNG)(tmp_path)

    with open_client(sandbox, journal=None) as kling:
        kling.submit_raw("kling-bloombloom", {"image": path})
        with pytest.raises(ParamsInvalid, match=r"masks: not an image, video or audio file"):
            kling.submit("kling-2", prompt="x", extra={"masks": [b"text"]})
    assert httpx.get(last_body(sandbox)["image"]).content == PNG


def test_uploaded_image_reaches_the_model(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    picture = httpx.get(f"{sandbox.base_url}/samples/a.png?size=640x640").content

    with open_client(sandbox, journal=None) as kling:
        [saved] = kling.run(
            "kling-o1", image_urls=[picture], prompt="@Image1 by night", save_to=tmp_path
        ).saved
    assert saved.content_type == "image/png"


def test_problems_of_all_files_are_reported_at_once(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("not a picture")
    with (tmp_path / "large.png").open("wb") as large:
        large.write(PNG)
        large.truncate(50 * 1024**2 + 1)
    text = (tmp_path / "notes.txt").open(encoding="utf-8")
    closed = io.BytesIO(PNG)
    closed.close()

    before = len(sandbox.requests)
    with pytest.raises(ParamsInvalid) as caught, open_client(sandbox, journal=None) as kling:
        kling.submit(
            "kling-3-pro-image2video",
            prompt="x",
            duration=99,
            start_image_url=tmp_path / "large.png",
            end_image_url=tmp_path / "nowhere.png",
            elements=[
                {"frontal_image_url": tmp_path, "reference_image_urls": [tmp_path / "empty.png", b"", text]},
                {"frontal_image_url": tmp_path / "notes.txt", "reference_image_urls": [closed]},
                {
                    "frontal_image_url": "data:image/png,AA",
                    "reference_image_urls": ["data:;base64,A", "a.png"],
                },
            ],
        )
    text.close()
    messages = {problem.path: problem.message for problem in caught.value.problems}
    assert "not allowed" in messages.pop("duration")
    assert messages == {
        "start_image_url": "too many bytes (52428801)",
        "end_image_url": f"{tmp_path}/nowhere.png is missing",
        "elements[0].frontal_image_url": f"{tmp_path} is a folder",
        "elements[0].reference_image_urls[0]": f"{tmp_path}/empty.png is empty",
        "elements[0].reference_image_urls[1]": "bytes of length 0 is empty",
        "elements[0].reference_image_urls[2]": f"the file '{tmp_path}/notes.txt' is a file opened as text: open it in mode 'rb'",
        "elements[1].frontal_image_url": f"{tmp_path}/notes.txt is not an image, video or audio file of a known type",
        "elements[1].reference_image_urls[0]": messages["elements[1].reference_image_urls[0]"],
        "elements[2].frontal_image_url": "'data:image/png,AA' is not a complete data: URL: expected data:TYPE;base64,CONTENT",
        "elements[2].reference_image_urls[0]": "'data:;base64,A' is a data: URL whose base64 is damaged",
        "elements[2].reference_image_urls[1]": "'a.png' is not an http or https URL",
    }
    assert "closed file" in messages["elements[1].reference_image_urls[0]"]
    assert len(sandbox.requests) == before


@pytest.mark.parametrize("size", [50 * 1024**2, 50 * 1024**2 + 1])
def test_size_limit_holds_for_every_form(size: int, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as large:
        large.write(PNG)
        large.truncate(size)
    content = PNG + bytes(size - len(PNG))
    with path.open("rb") as stream:
        for media in (path, stream, content, data_url(content)):
            if size <= 50 * 1024**2:
                Kling3ProImage2video(prompt="x", start_image_url=media)
                # The size is also checked beside another problem.
                assert len(problems(Kling3ProImage2video, duration=99, start_image_url=media)) == 2
            else:
                assert problems(Kling3ProImage2video, prompt="x", start_image_url=media) == [
                    "start_image_url: too many bytes (52428801)"
                ]
                assert len(problems(Kling3ProImage2video, duration=99, start_image_url=media)) == 3


def test_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    class Counting(io.BytesIO):
        count = 0

        def read(self, size: int | None = -1, /) -> bytes:
            content = super().read(size)
            self.count += len(content)
            return content

    stream = Counting(PNG + bytes(50 * 1024**2))
    assert len(problems(Kling3ProImage2video, prompt="x", start_image_url=stream)) == 1
    assert stream.count < 10_000


def test_position_of_an_open_file_is_restored(open_client: OpenClient, sandbox: Sandbox) -> None:
    stream = io.BytesIO(b"skipped" + PNG)
    stream.seek(7)

    with open_client(sandbox, journal=None) as kling:
        kling.submit("kling-bloombloom", image=stream)
    assert httpx.get(last_body(sandbox)["image"]).content == PNG
    assert stream.tell() == 7
    stream.seek(0, io.SEEK_END)
    assert problems(KlingBloombloom, image=stream) == [f"image: the file {stream!r} is empty"]


def test_stream_without_positions_is_refused() -> None:
    class Pipe(io.BytesIO):
        def tell(self) -> int:
            raise OSError("not seekable")

    [problem] = problems(KlingBloombloom, image=Pipe(PNG))
    assert problem.endswith("is not readable: not seekable")


def test_wire_body_refuses_local_media(tmp_path: Path) -> None:
    params = KlingO1(prompt="@Image1 @Image2", image_urls=[URL, file(PNG)(tmp_path)])
    with pytest.raises(ConfigError, match=r"picture has not been uploaded: submit\(\) and run\(\) upload it"):
        params.wire()
    assert KlingO1(prompt="@Image1", image_urls=(URL,)).wire()["image_urls"] == [URL]


def test_rules_count_files_as_set(tmp_path: Path) -> None:
    assert problems(KlingO1, prompt="@Image3", image_urls=[PNG, file(PNG)(tmp_path)]) == [
        "prompt: refers to @Image3, but image_urls has 2 items"
    ]


def test_other_objects_are_not_media() -> None:
    assert problems(KlingBloombloom, image=URL, mode=PNG)
    assert len(problems(KlingO1, prompt=PNG, image_urls=PNG)) == 2
    prompt = data_url(PNG)
    assert KlingO1(prompt=prompt, image_urls=[URL]).wire()["prompt"] == prompt


def test_deleted_file_starts_no_job(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    path = file(PNG)(tmp_path)
    params = KlingBloombloom(image=path)
    path.unlink()
    before = len(sandbox.requests)
    with pytest.raises(ParamsInvalid, match="is missing"), open_client(sandbox, journal=None) as kling:
        kling.submit(params)
    assert len(sandbox.requests) == before


def test_changing_file_starts_no_job(open_client: OpenClient, sandbox: Sandbox) -> None:
    class Growing(io.BytesIO):
        def tell(self) -> int:
            self.seek(0, io.SEEK_END)
            self.write(b"more")
            self.seek(0)
            return 0

    before = len(sandbox.requests)
    with (
        pytest.raises(ConfigError, match=r"cannot be uploaded: it is being changed\. No job was started"),
        open_client(sandbox, journal=None) as kling,
    ):
        kling.submit("kling-bloombloom", image=Growing(PNG))
    assert len(sandbox.requests) == before


def test_uploads_are_shared_by_client_and_journal(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    content = PNG + tmp_path.name.encode()
    path = file(content)(tmp_path)

    def twice(kling: Any) -> None:
        kling.submit("kling-bloombloom", image=path)
        kling.submit("kling-bloombloom", image=content)

    before = sandbox.uploads
    with open_client(sandbox, journal=None) as kling:
        twice(kling)
    assert sandbox.uploads == before + 1
    with open_client(sandbox, journal=tmp_path / "journal") as kling:
        twice(kling)
    with open_client(sandbox, journal=tmp_path / "journal") as kling:
        twice(kling)
    assert sandbox.uploads == before + 2
    with open_client(sandbox, journal=tmp_path / "other") as kling:
        twice(kling)
    assert sandbox.uploads == before + 3


def test_upload_is_renewed_a_day_before_it_expires(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    content = PNG + tmp_path.name.encode()

    def after(days: float) -> None:
        with open_client(sandbox, journal=None) as kling:
            kling.submit("kling-bloombloom", image=content)
            kling.clock.sleep(days * 86400)
            kling.submit("kling-bloombloom", image=content)

    before = sandbox.uploads
    after(5.9)
    assert sandbox.uploads == before + 1
    after(6.1)
    assert sandbox.uploads == before + 3

    journal = tmp_path / "journal"
    for days, uploads in ((0, 4), (5.9, 4), (6.1, 5)):
        if journal.exists():
            with sqlite3.connect(journal) as connection:
                connection.execute("UPDATE uploads SET created = ?", (time.time() - days * 86400,))
            connection.close()
        with open_client(sandbox, journal=journal) as kling:
            kling.submit("kling-bloombloom", image=content)
        assert sandbox.uploads == before + uploads


def test_concurrent_tasks_upload_once(sandbox: Sandbox) -> None:
    content = PNG + b"tasks"

    async def main() -> None:
        async with (
            AsyncKling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=None) as kling,
            anyio.create_task_group() as group,
        ):
            for _ in range(50):
                group.start_soon(lambda: kling.submit("kling-bloombloom", image=content))

    before = sandbox.uploads
    anyio.run(main)
    assert sandbox.uploads == before + 1


def test_concurrent_threads_upload_once(sandbox: Sandbox) -> None:
    content = PNG + b"threads"
    before = sandbox.uploads
    with Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=None) as kling:
        threads = [
            threading.Thread(target=lambda: kling.submit("kling-bloombloom", image=content)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sandbox.uploads == before + 1


def test_journal_has_urls_and_no_content(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    with open_client(sandbox, journal=tmp_path / "journal") as kling:
        kling.submit("kling-bloombloom", image=PNG)
    with sqlite3.connect(tmp_path / "journal") as connection:
        [(params,)] = connection.execute("SELECT params FROM jobs").fetchall()
        [(gateway, url)] = connection.execute("SELECT gateway, url FROM uploads").fetchall()
    connection.close()
    assert url in params
    assert gateway == sandbox.base_url
    assert sandbox.api_key.encode() not in (tmp_path / "journal").read_bytes()


def test_uploads_use_the_simulated_clock(sandbox: Sandbox) -> None:
    with Kling(
        base_url=sandbox.base_url, api_key=sandbox.api_key, clock=SimulatedClock(), journal=None
    ) as kling:
        assert kling.run("kling-bloombloom", image=PNG + b"clock").video
