"""One file that comes in one or more responses: which bytes are requested and accepted, and which errors end it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from kling_adapters import StorageError
from kling_adapters.hookspecs import JobContext, Location
from kling_adapters.media.types import HEAD_BYTES
from kling_adapters.protocol import download
from kling_adapters.protocol.collect import MAX_TOTAL_BYTES
from kling_adapters.protocol.download import Download, TooSlow
from kling_adapters.result import Artifact
from kling_adapters.testing import MP4


@dataclass
class Memory:
    """A storage of one file."""

    content: bytearray = field(default_factory=bytearray)
    opened: int = 0
    aborted: int = 0

    def check(self) -> None: ...

    def open(self, name: str, content_type: str) -> Memory:
        self.opened += 1
        return self

    def write(self, chunk: bytes) -> None:
        self.content += chunk

    def commit(self, sha256: str) -> Location:
        return Location("memory:x")

    def abort(self) -> None:
        self.aborted += 1


def start(
    storage: Memory | None = None,
    *,
    size: int | None = None,
    max_bytes: int = download.MAX_BYTES,
    etag: str = "",
    length: int | None = None,
    sent: int = 0,
) -> Download:
    """Return a download after a first response, of which `sent` bytes came."""
    artifact = Artifact("https://files.example.com/a.mp4", "video", size=size)
    started = Download(artifact, "x.{}".format, storage or Memory(), None, max_bytes)
    headers = {"etag": etag} if etag else {}
    assert started.begin(200, headers if length is None else {**headers, "content-length": str(length)})
    started.write(MP4[:sent])
    return started


@pytest.mark.parametrize(
    ("etag", "if_range"), [('"one"', '"one"'), ('W/"one"', None), ("W-one", "W-one"), ("", None)]
)
def test_missing_bytes_are_requested_of_the_same_file(etag: str, if_range: str | None) -> None:
    headers = start(etag=etag, sent=10).headers()
    assert headers.pop("if-range", None) == if_range
    assert headers == {"accept-encoding": "identity", "range": "bytes=10-"}
    assert start(etag=etag).headers() == {"accept-encoding": "identity"}


@pytest.mark.parametrize(
    ("status", "content_range", "etag", "received"),
    [
        (206, "bytes 10-19/20", '"one"', 10),
        (206, "bytes 10-19/20", "", 10),
        # Any other part makes the received bytes useless.
        (206, "bytes 10-19/20", '"two"', 0),
        (206, "bytes 9-19/20", '"one"', 0),
        (206, "bytes 10-9/20", '"one"', 0),
        (206, "bytes 10-20/20", '"one"', 0),
        (206, "bytes 10-19/21", '"one"', 0),
        (416, "bytes 10-19/20", '"one"', 0),
        (404, "bytes 10-19/20", '"one"', 10),
        (500, "", "", 10),
    ],
)
def test_response_continues_the_received_bytes(
    status: int, content_range: str, etag: str, received: int
) -> None:
    started = start(etag='"one"', length=20, sent=10)
    headers = {"content-range": content_range, "etag": etag}
    is_next = started.begin(status, {name: value for name, value in headers.items() if value})
    assert is_next is (status == 206 and received == 10)
    assert started.received == received
    if received == 0:
        # Nothing is left of the file before.
        assert started.begin(206, {"content-range": "bytes 0-9/30", "etag": '"three"'})
        assert started.expected == 30


def test_response_without_an_etag_is_continued_by_one_with_it() -> None:
    assert start(length=20, sent=10).begin(206, {"content-range": "bytes 10-19/20", "etag": '"one"'})


def test_number_of_responses_is_bounded() -> None:
    started = start()
    for _ in range(199):
        assert started.begin(200, {})
    with pytest.raises(StorageError, match="more than 200 pieces"):
        started.begin(200, {})


@pytest.mark.parametrize(("size", "length"), [(None, 11), (11, None), (11, 10), (10, 11)])
def test_file_that_is_announced_as_too_large_is_refused(size: int | None, length: int | None) -> None:
    with pytest.raises(StorageError, match="larger than 10 bytes"):
        start(size=size, length=length, max_bytes=10)


@pytest.mark.parametrize(("size", "length"), [(None, None), (10, None), (None, 10), (10, 0), (0, 10)])
def test_file_has_at_most_the_announced_bytes(size: int | None, length: int | None) -> None:
    started = start(size=size, length=length, max_bytes=11 if size or length else 10, sent=10)
    with pytest.raises(StorageError, match="more bytes than were announced"):
        started.write(b"x")


def test_largest_file_has_four_gibibytes() -> None:
    # And all files of a result sixteen.
    assert MAX_TOTAL_BYTES == 17_179_869_184
    assert start(length=4 * 1024**3, max_bytes=2**40).expected == 4 * 1024**3
    with pytest.raises(StorageError, match="larger than 4294967296 bytes"):
        start(length=4 * 1024**3 + 1, max_bytes=2**40)


@pytest.mark.parametrize(("seconds", "is_late"), [(21_600.0, False), (21_601.0, True)])
def test_file_may_take_six_hours(monkeypatch: pytest.MonkeyPatch, seconds: float, *, is_late: bool) -> None:
    now = 5000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    started = start()
    now += seconds
    assert started.begin(200, {})
    if is_late:
        with pytest.raises(StorageError, match="took longer than 21600 s"):
            started.write(b"x")
    else:
        started.write(b"x")


def test_whole_content_that_is_too_large_is_refused() -> None:
    with pytest.raises(StorageError, match="larger than 10 bytes"):
        start(max_bytes=10).take(MP4[:11])


def test_file_is_opened_when_its_type_is_known() -> None:
    storage = Memory()
    started = start(storage, sent=HEAD_BYTES - 1)
    assert storage.opened == 0
    started.write(MP4[HEAD_BYTES - 1 : HEAD_BYTES])
    assert (storage.opened, bytes(storage.content)) == (1, MP4[:HEAD_BYTES])


def test_content_of_an_unknown_type_has_the_announced_one() -> None:
    started = start()
    assert started.begin(200, {"content-type": " Video/X-New; codecs=a"})
    started.write(b"\x01\x02\x03")
    assert started.commit().content_type == "video/x-new"
    started = start()
    started.write(b"\x01\x02\x03")
    assert started.commit().content_type == "application/octet-stream"


@pytest.mark.parametrize(
    ("seconds", "count", "is_slow"),
    [(60.0, 1, False), (61.0, 1, True), (100.0, 102_400, False), (100.0, 102_399, True)],
)
def test_response_is_too_slow_after_a_minute(
    monkeypatch: pytest.MonkeyPatch, seconds: float, count: int, *, is_slow: bool
) -> None:
    now = 5000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    started = start()
    now += seconds
    if is_slow:
        with pytest.raises(TooSlow):
            started.write(bytes(count))
    else:
        started.write(bytes(count))
    # Another response has its own minute.
    assert started.begin(200, {})
    started.write(b"x")


@pytest.mark.parametrize(
    ("length", "size", "sent", "is_complete"),
    [
        (None, None, 0, False),
        (None, None, 1, True),
        (10, None, 10, True),
        (10, None, 9, False),
        (None, 10, 9, False),
        (9, 10, 9, False),
        (10, 9, 9, False),
    ],
)
def test_file_is_complete_with_all_announced_bytes(
    length: int | None, size: int | None, sent: int, *, is_complete: bool
) -> None:
    assert start(length=length, size=size, sent=sent).is_complete() is is_complete


def test_aborted_file_is_discarded_once() -> None:
    storage = Memory()
    started = start(storage, sent=HEAD_BYTES)
    started.abort()
    started.abort()
    assert storage.aborted == 1
    # A thread that still writes stops, and discards what it has opened.
    started.write(MP4[:HEAD_BYTES])
    assert (storage.opened, storage.aborted) == (2, 2)


def test_file_is_discarded_while_a_thread_writes_it() -> None:
    class Slow(Memory):
        def write(self, chunk: bytes) -> None:
            if self.opened and self.content:
                # Another thread cancels meanwhile.
                started.abort()
                assert self.aborted == 1
            super().write(chunk)

    storage = Slow()
    started = start(storage, sent=HEAD_BYTES)
    started.write(b"x")
    assert storage.aborted == 2


def test_storage_is_passed_the_job_if_there_is_one() -> None:
    class JobMemory(Memory):
        def open_for(self, job: JobContext, name: str, content_type: str) -> Memory:
            raise OSError(f"no place for {job.request_id}")

    storage = JobMemory()
    assert start(storage, sent=HEAD_BYTES).is_complete()
    job = JobContext("job-1", None, None, None, number=1, count=1)
    started = Download(Artifact("https://files.example.com/a.mp4", "video"), "x.{}".format, storage, job)
    started.begin(200, {})
    with pytest.raises(StorageError, match="could not be stored: no place for job-1"):
        started.write(MP4)
