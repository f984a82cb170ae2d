"""A storage in memory for flows, and the files that a scripted gateway sends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kling_adapters.hookspecs import JobContext, Location
from kling_adapters.protocol import effects
from kling_adapters.protocol.messages import Answer, Outcome
from kling_adapters.result import Artifact
from kling_adapters.testing import MP4

URL = "https://files.example.com/a.mp4"
Fetched = Callable[[effects.Fetch], Outcome]


@dataclass
class Memory:
    """A storage of files by their names; `broken` is raised instead."""

    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    broken: Exception | None = None
    opened: int = 0
    aborted: int = 0

    def check(self) -> None:
        if self.broken:
            raise self.broken

    def open(self, name: str, content_type: str) -> MemoryWriter:
        self.opened += 1
        return MemoryWriter(self, name)


class MemoryWriter:
    """A file that is stored when it is committed."""

    def __init__(self, storage: Memory, name: str) -> None:
        self.storage, self.name, self.content = storage, name, b""

    def write(self, chunk: bytes) -> None:
        self.content += chunk

    def commit(self, sha256: str) -> Location:
        if self.storage.broken:
            raise self.storage.broken
        self.storage.files[self.name] = self.content
        return Location(f"memory:{self.name}")

    def abort(self) -> None:
        self.storage.aborted += 1


def answer_with_file(content: bytes, start: int = 0, *, total: int | None = len(MP4)) -> Fetched:
    """Return an answer with a part of a file; without `total`, it does not announce the length."""

    def answer_fetch(effect: effects.Fetch) -> Outcome:
        headers = {} if total is None else {"content-length": str(total)}
        if start:
            headers = {"content-range": f"bytes {start}-{start + len(content) - 1}/{total}"}
        status = 206 if start else 200
        if effect.download.begin(status, headers):
            effect.download.write(content)
        return Answer(status, headers, b"")

    return answer_fetch


def make_video(url: str = URL, size: int | None = None, content: bytes | None = None) -> Artifact:
    """Return an output of a job."""
    return Artifact(url, "video", size=size, content=content)


@dataclass
class JobMemory(Memory):
    """A storage that is passed the job of a file."""

    jobs: list[JobContext] = field(default_factory=list[JobContext])

    def open_for(self, job: JobContext, name: str, content_type: str) -> MemoryWriter:
        self.jobs.append(job)
        return MemoryWriter(self, name)
