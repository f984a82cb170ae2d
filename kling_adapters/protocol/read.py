"""Read one output file into memory."""

from __future__ import annotations

from kling_adapters._text import show
from kling_adapters.errors import ConfigError
from kling_adapters.hook_objects import Location
from kling_adapters.protocol.collect import store
from kling_adapters.protocol.download import Download
from kling_adapters.protocol.effects import Flow
from kling_adapters.protocol.fetch import check_scheme
from kling_adapters.protocol.session import Session
from kling_adapters.result import Artifact, ResultData

MAX_READ_BYTES = 256 * 1024**2
"""Default limit of the size of a file that is read into memory."""


class _Memory:
    """A Storage, and its Writer, that keeps one file."""

    def __init__(self) -> None:
        self.content = bytearray()

    def check(self) -> None:
        pass

    def open(self, name: str, content_type: str) -> _Memory:
        self.content.clear()
        return self

    def write(self, chunk: bytes) -> None:
        self.content += chunk

    def commit(self, sha256: str) -> Location:
        return Location("memory:")

    def abort(self) -> None:
        pass


def select_artifact(result: ResultData, index: int, max_bytes: int) -> Artifact:
    """Return the output file to read. Raises ConfigError for an unusable index or limit."""
    count = len(result.artifacts)
    if not count:
        raise ConfigError(f"job {result.request_id} has no file to read; its output is {result.output!r}")
    if type(index) is not int or index not in range(count):
        files = f"{count} output file{'' if count == 1 else 's'}"
        raise ConfigError(f"index is {show(index)}; job {result.request_id} has {files}, counted from 0")
    if type(max_bytes) is not int or max_bytes < 1:
        raise ConfigError(f"max_bytes is {show(max_bytes)}; expected a whole number of bytes, 1 or more")
    return result.artifacts[index]


def read(session: Session, artifact: Artifact, max_bytes: int) -> Flow[bytes]:
    """Return the content of an output file, with the checks of a stored file. The journal does not change.

    Raises:
        StorageError: The file is larger than `max_bytes`, or could not be fetched.

    """
    session.check_open()
    check_scheme(session, artifact)
    memory = _Memory()
    download = Download(artifact, "output.{}".format, memory, None, max_bytes)
    yield from store(session, artifact, download, float("inf"))
    return bytes(memory.content)
