"""A download, response by response: which bytes are kept, what is refused, and when its file is discarded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from kling_adapters import StorageError
from kling_adapters.hookspecs import JobContext
from kling_adapters.media.types import HEAD_BYTES
from kling_adapters.protocol.download import Download, TooSlow
from kling_adapters.result import Artifact
from kling_adapters.testing import MP4
from tests.support.memory_storage import JobMemory, Memory, MemoryWriter, make_video

UNKNOWN = b"\x00\x01unheard-of" * 100


def open_download(
    storage: Memory | None = None, artifact: Artifact | None = None, **options: Any
) -> Download:
    return Download(artifact or make_video(), "a.{}".format, storage or Memory(), **options)


def start(etag: str = "", length: int | None = 10, size: int | None = None) -> Download:
    """Return a download that has received 5 bytes."""
    download = open_download(artifact=make_video(size=size))
    headers = {"etag": etag} if etag else {}
    assert download.begin(200, headers if length is None else {**headers, "content-length": str(length)})
    download.write(MP4[:5])
    return download


@pytest.mark.parametrize(("etag", "condition"), [("", {}), ('W/"one"', {}), ('"one"', {"if-range": '"one"'})])
def test_missing_bytes_are_requested_on_condition_of_the_etag(etag: str, condition: dict[str, str]) -> None:
    plain = {"accept-encoding": "identity"}
    assert open_download().headers() == plain
    assert start(etag).headers() == {**plain, "range": "bytes=5-", **condition}


@pytest.mark.parametrize(
    ("status", "content_range", "etags", "is_accepted", "received"),
    [
        (206, "bytes 5-9/10", ("", ""), True, 5),
        (206, "bytes 5-7/10", ('"one"', '"one"'), True, 5),
        (206, "bytes 5-5/10", ("", ""), True, 5),
        (206, "bytes 5-9/10", ('"one"', ""), True, 5),
        (206, "bytes 5-9/10", ("", '"two"'), True, 5),
        (206, "bytes 5-9/10", ('"one"', '"two"'), False, 0),
        (206, "bytes 5-10/10", ("", ""), False, 0),
        (206, "bytes 5-4/10", ("", ""), False, 0),
        (206, "bytes 4-9/10", ("", ""), False, 0),
        (206, "bytes 5-9/11", ("", ""), False, 0),
        (206, "", ("", ""), False, 0),
        (416, "bytes 5-9/10", ("", ""), False, 0),
        (200, "bytes 5-9/10", ("", ""), True, 0),
        (203, "bytes 5-9/10", ("", ""), False, 5),
        (500, "", ("", ""), False, 5),
    ],
)
def test_received_bytes_are_kept_until_a_response_contradicts_them(
    status: int, content_range: str, etags: tuple[str, str], is_accepted: bool, received: int
) -> None:
    download = start(etags[0])
    headers = {"content-range": content_range, "etag": etags[1]}
    assert download.begin(status, {name: value for name, value in headers.items() if value}) is is_accepted
    assert download.received == received


def test_dropped_version_does_not_constrain_the_next_one() -> None:
    download = start('"one"')
    next_version = {"etag": '"two"', "content-range": "bytes 0-6/7"}
    assert not download.begin(206, next_version)
    assert download.begin(206, next_version)
    download.write(MP4[:7])
    assert download.is_complete()


@pytest.mark.parametrize(
    ("length", "size", "is_complete"),
    [(None, None, True), (5, None, True), (None, 5, True), (5, 5, True), (10, None, False), (10, 5, False),
     (5, 10, False)],
)  # fmt: skip
def test_file_is_complete_if_it_has_every_announced_size(
    length: int | None, size: int | None, *, is_complete: bool
) -> None:
    # Bytes beyond either size are refused.
    assert start(length=length, size=size).is_complete() is is_complete


def test_response_may_announce_the_size_later() -> None:
    download = start(length=None)
    download.begin(206, {"content-range": "bytes 5-7/10"})
    download.write(b"xyz")
    assert not download.is_complete()
    assert download.expected == 10


def test_file_of_one_byte_is_complete() -> None:
    download = open_download()
    download.begin(200, {})
    assert not download.is_complete()
    download.write(b"x")
    assert download.is_complete()


@pytest.mark.parametrize(("length", "size"), [(6, None), (None, 6), (6, 9), (9, 6)])
def test_bytes_beyond_an_announced_size_are_refused(length: int | None, size: int | None) -> None:
    download = start(length=length, size=size)
    download.write(b"x")
    with pytest.raises(StorageError, match="more bytes than were announced"):
        download.write(b"x")


@pytest.mark.parametrize("headers", [{"content-length": "5"}, {}])
@pytest.mark.parametrize("size", [5, None])
def test_file_may_have_as_many_bytes_as_the_limit(headers: dict[str, str], size: int | None) -> None:
    download = open_download(artifact=make_video(size=size), max_bytes=5)
    assert download.begin(200, headers)
    download.write(MP4[:5])
    with pytest.raises(StorageError):
        download.write(b"x")


def test_file_has_four_gigabytes() -> None:
    limit = 4 * 1024**3
    download = open_download(max_bytes=2 * limit)
    assert download.begin(200, {"content-length": f"{limit}"})
    with pytest.raises(StorageError):
        download.begin(200, {"content-length": f"{limit + 1}"})


@pytest.mark.parametrize(("length", "size"), [("5", None), ("1", 5)])
def test_file_announced_beyond_the_limit_is_refused(length: str, size: int | None) -> None:
    download = open_download(artifact=make_video(size=size), max_bytes=4)
    with pytest.raises(StorageError, match="larger than 4 bytes"):
        download.begin(200, {"content-length": length})


def test_responses_without_an_end_are_refused() -> None:
    download = open_download()
    for _ in range(200):
        assert download.begin(200, {})
    with pytest.raises(StorageError, match="pieces"):
        download.begin(200, {})


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock; its item is the time."""
    time = [1000.0]
    monkeypatch.setattr("kling_adapters.protocol.download.time.monotonic", lambda: time[0])
    return time


@pytest.mark.parametrize(
    ("seconds", "count", "is_slow"),
    [
        (60.0, 0, False),
        (60.5, 0, True),
        (64.0, 65535, False),
        (64.0, 65534, True),
        (640.0, 65535, True),
    ],
)
def test_response_is_too_slow_after_a_minute_below_the_rate(
    time: list[float], seconds: float, count: int, *, is_slow: bool
) -> None:
    download = open_download()
    # The pace of an earlier response does not matter.
    download.begin(200, {})
    time[0] += 100
    download.begin(200, {})
    download.write(bytes(count))
    time[0] += seconds
    if is_slow:
        with pytest.raises(TooSlow, match=f"{count + 1} bytes came in"):
            download.write(b"x")
    else:
        download.write(b"x")


def test_download_has_six_hours(time: list[float]) -> None:
    download = open_download()
    time[0] += 6 * 3600
    download.begin(200, {})
    download.write(b"x")
    time[0] += 1.0
    with pytest.raises(StorageError, match="longer than 21600 s"):
        download.write(b"x")


def test_type_is_found_in_first_bytes_however_they_are_cut() -> None:
    storage = Memory()
    download = open_download(storage)
    download.begin(200, {})
    for position in range(0, len(MP4), 3):
        download.write(MP4[position : position + 3])
    file = download.commit()
    download.abort()
    assert (file.content_type, file.size, file.sha256) == (
        "video/mp4",
        len(MP4),
        hashlib.sha256(MP4).hexdigest(),
    )
    assert (storage.files, storage.opened, storage.aborted) == ({"a.mp4": MP4}, 1, 0)


@pytest.mark.parametrize(("count", "is_opened"), [(HEAD_BYTES - 1, False), (HEAD_BYTES, True)])
def test_file_is_opened_once_its_type_is_known(count: int, *, is_opened: bool) -> None:
    storage = Memory()
    download = open_download(storage)
    download.begin(200, {})
    download.write(MP4[:count])
    assert storage.opened == is_opened
    download.begin(200, {})
    assert storage.aborted == is_opened


def test_short_file_is_stored() -> None:
    storage = Memory()
    download = open_download(storage)
    download.take(MP4[:40])
    assert (download.commit().content_type, storage.files) == ("video/mp4", {"a.mp4": MP4[:40]})


@pytest.mark.parametrize(
    ("headers", "content_type"),
    [({}, "application/octet-stream"), ({"content-type": " Video/X-New; a=b"}, "video/x-new")],
)
def test_unknown_content_has_the_announced_type(headers: dict[str, str], content_type: str) -> None:
    download = open_download()
    download.begin(200, headers)
    download.write(UNKNOWN)
    assert download.commit().content_type == content_type


def test_encoded_content_is_refused() -> None:
    download = open_download()
    download.begin(200, {"content-encoding": "br"})
    with pytest.raises(StorageError, match="encoded as br"):
        download.write(UNKNOWN)


JOB = JobContext("job", "kling-2", None, None, number=1, count=1)


@pytest.mark.parametrize("job", [JOB, None])
def test_storage_gets_the_job_if_it_knows_jobs_and_there_is_one(job: JobContext | None) -> None:
    plain, filing = Memory(), JobMemory()
    for storage in (plain, filing):
        download = open_download(storage, job=job)
        download.take(MP4)
        download.commit()
        assert storage.files == {"a.mp4": MP4}
    assert filing.jobs == ([] if job is None else [job])


def test_failure_of_a_storage_is_described_once() -> None:
    storage = Memory(broken=OSError("disk full"))
    download = open_download(storage)
    download.take(MP4)
    with pytest.raises(StorageError, match="could not be stored: disk full") as caught:
        download.commit()
    assert caught.value.__cause__ is storage.broken
    storage.broken = caught.value
    with pytest.raises(StorageError) as again:
        download.commit()
    assert again.value is caught.value


class Interrupted(Memory):
    """A storage during whose calls another thread discards the file."""

    step = ""
    discard: Callable[[], None]
    aborted_at_once = 0

    def open(self, name: str, content_type: str) -> MemoryWriter:
        self.interrupt("open")
        return InterruptedWriter(self, name)

    def interrupt(self, step: str) -> None:
        if step == self.step:
            self.discard()
            self.aborted_at_once = self.aborted


class InterruptedWriter(MemoryWriter):
    storage: Interrupted

    def write(self, chunk: bytes) -> None:
        self.storage.interrupt("write")


@pytest.mark.parametrize(("step", "at_once", "in_all"), [("open", 0, 1), ("write", 1, 2)])
def test_file_discarded_during_a_call_is_aborted_after_it(step: str, at_once: int, in_all: int) -> None:
    """A writer that exists is aborted at once, so that a slow call may end early."""
    storage = Interrupted()
    download = open_download(storage)
    storage.step, storage.discard = step, download.abort
    download.take(MP4)
    assert (storage.aborted_at_once, storage.aborted) == (at_once, in_all)


def test_discarded_file_is_aborted_once_and_does_not_appear() -> None:
    storage = Memory()
    download = open_download(storage)
    download.take(MP4)
    download.abort()
    download.abort()
    # Its thread may only begin now.
    with pytest.raises(StorageError, match="the download was discarded"):
        download.commit()
    assert (storage.files, storage.opened, storage.aborted) == ({}, 1, 1)
