"""The file writer of the built-in storage: parts that are removed, and writers of the same file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kling_adapters.builtin.file_storage import FileWriter
from kling_adapters.testing import MP4
from tests.support.output_files import list_files


def test_writer_aborted_twice_leaves_nothing(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path / "x")
    writer.write(b"x")
    writer.abort()
    writer.abort()
    assert list_files(tmp_path) == []


def test_parts_of_dead_processes_only_are_removed(
    tmp_path: Path,
) -> None:
    (tmp_path / ".x.mp4.0123456789abcdef.part").write_bytes(MP4[:700])
    another = tmp_path / ".y.mp4.0123456789abcdef.part"
    another.write_bytes(MP4[:700])
    first, second = FileWriter(tmp_path / "x.mp4"), FileWriter(tmp_path / "x.mp4")
    assert len(list_files(tmp_path)) == 3
    for writer in (first, second):
        writer.write(MP4)
    for writer in (first, second):
        writer.commit("")
        assert (tmp_path / "x.mp4").read_bytes() == MP4
    assert list_files(tmp_path) == [another, tmp_path / "x.mp4"]


def test_concurrent_writers_of_one_file_leave_one(tmp_path: Path) -> None:
    """None takes the part of another for one that was left."""

    def write() -> None:
        for _ in range(50):
            writer = FileWriter(tmp_path / "x.mp4")
            writer.write(MP4)
            writer.commit("")

    with ThreadPoolExecutor(4) as pool:
        for writing in [pool.submit(write) for _ in range(4)]:
            writing.result()
    assert [path.read_bytes() for path in list_files(tmp_path)] == [MP4]
