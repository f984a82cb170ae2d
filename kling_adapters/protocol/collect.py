"""Store the output files of a completed job."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias

from kling_adapters.errors import KlingError, StorageError
from kling_adapters.events import Stored
from kling_adapters.hook_objects import JobContext, Storage
from kling_adapters.journal.entries import JournalEntry
from kling_adapters.protocol.download import Download
from kling_adapters.protocol.effects import Call, Emit, Flow, Now
from kling_adapters.protocol.fetch import check_scheme, fetch
from kling_adapters.protocol.file_names import FileName, safe_stem, split_destination
from kling_adapters.protocol.records import record
from kling_adapters.protocol.session import Session
from kling_adapters.result import Artifact, ResultData, StoredFile
from kling_adapters.schema.facts import OutputKind

MAX_TOTAL_BYTES = 16 * 1024**3
"""Bytes of all files of one result."""

FindStorage: TypeAlias = Callable[[str], Storage]


@dataclass(frozen=True)
class Destination:
    """Storage of outputs, and the file name at the end of `save_to`; None for the default names."""

    storage: Storage
    name: FileName | None = None


@dataclass
class _Collection:
    """A result, its journal entry, and its stored files so far."""

    result: ResultData
    destination: Destination
    entry: JournalEntry | None
    submitted: float
    files: list[StoredFile] = field(default_factory=list[StoredFile])

    @property
    def params(self) -> Mapping[str, Any] | None:
        return self.entry.params if self.entry else None

    def make_name(self, number: int, extension: str) -> str:
        """Return the file name of the output with this number, from 1."""
        result, count = self.result, len(self.result.artifacts)
        if self.destination.name is None:
            stem = safe_stem(result.model, result.request_id, str(number) if count > 1 else None)
            return f"{stem}.{extension}"
        values = {
            "model": result.model or (self.entry.model if self.entry else None),
            "request_id": result.request_id,
            "date": datetime.fromtimestamp(self.submitted, UTC).date().isoformat(),
            "tag": self.entry.tag if self.entry else None,
        }
        return self.destination.name.fill(values, number, count, extension)

    def start_download(self, number: int, artifact: Artifact) -> Download:
        """Return the download of the output with this number, from 1."""
        result, count = self.result, len(self.result.artifacts)
        context = JobContext(
            result.request_id, result.model, self.params, result.metrics.cost, number=number, count=count
        )
        remaining = MAX_TOTAL_BYTES - sum(file.size for file in self.files)
        make_name = partial(self.make_name, number)
        return Download(artifact, make_name, self.destination.storage, context, remaining)


def open_destination(find: FindStorage, save_to: str, returns: OutputKind | None = None) -> Flow[Destination]:
    """Return the checked destination of outputs, so that an unusable one is refused before a job is paid for.

    Args:
        find: Finds the storage of a folder or URL.
        save_to: A folder or URL, or one that ends with a file name or a template.
        returns: The kind of output of the model, if known.

    Raises:
        ConfigError: No storage handles `save_to`, or its file name is invalid.
        StorageError: The storage cannot be used.

    """
    folder, name = yield Call(partial(split_destination, save_to))
    if name is not None:
        name.check_kind(returns)
    storage: Storage = yield Call(partial(find, folder))
    try:
        yield Call(storage.check)
    except KlingError:
        raise
    except Exception as error:
        raise StorageError(f"nothing can be stored to {save_to}: {error}") from error
    return Destination(storage, name)


def open_before_submit(
    find: FindStorage, save_to: str, returns: OutputKind | None = None
) -> Flow[Destination]:
    """Return the destination as `open_destination` does; a StorageError adds that nothing was sent."""
    try:
        return (yield from open_destination(find, save_to, returns))
    except StorageError as error:
        # The same error, not another with this one as its cause: the plugin has removed secrets from it.
        error.args = (f"{str(error).rstrip('.')}. Nothing was sent.",)
        raise


def save(
    session: Session, result: ResultData, find_storage: FindStorage, to: str
) -> Flow[tuple[StoredFile, ...]]:
    """Store every file of a result in `to`. Raises as `open_destination` and `collect` do.

    The destination is recorded before the first byte is fetched, so that `resume` completes it after a crash.
    """
    session.check_open()
    destination = yield from open_destination(find_storage, to)
    if all(artifact.content is None for artifact in result.artifacts):
        base_url = session.gateway.base_url
        yield from record(session.journal.record_destination, base_url, result.request_id, to)
    return (yield from collect(session, result, destination))


def collect(
    session: Session, result: ResultData, destination: Destination, end: float = float("inf")
) -> Flow[tuple[StoredFile, ...]]:
    """Store every file of a result by the time `end`. No partial file becomes visible.

    Raises:
        StorageError: The result has no file, or a file could not be fetched or stored.

    """
    if not result.artifacts:
        raise StorageError(f"job {result.request_id} has no file to store; its output is {result.output!r}")
    start: float = yield Now()
    entry = yield from record(session.journal.find, session.gateway.base_url, result.request_id)
    submitted = yield from _find_submit_time(entry)
    collection = _Collection(result, destination, entry, submitted)
    for number, artifact in enumerate(result.artifacts, start=1):
        check_scheme(session, artifact)
        download = collection.start_download(number, artifact)
        collection.files.append((yield from store(session, artifact, download, end)))
    files = tuple(collection.files)
    yield from record(session.journal.update_job, session.gateway.base_url, result.request_id, files=files)
    yield Emit(Stored(result.request_id, result.model, files, (yield Now()) - start))
    return files


def _find_submit_time(entry: JournalEntry | None) -> Flow[float]:
    """Return the time of the submit in seconds since 1970; the current time if it is unknown."""
    if entry is not None:
        return entry.created
    now: float = yield Call(time.time)
    return now


def store(session: Session, artifact: Artifact, download: Download, end: float) -> Flow[StoredFile]:
    """Download one file by the time `end` and publish it; discard it on failure. Raises StorageError."""
    try:
        if artifact.content is None:
            yield from fetch(session, artifact, download, end)
        else:
            yield Call(partial(download.take, artifact.content), abandon_on_cancel=True)
        file: StoredFile = yield Call(download.commit, abandon_on_cancel=True)
    except StorageError as error:
        error.url = error.url or artifact.url
        yield Call(download.abort)
        raise
    finally:
        # For a cancelled task, which ends the flow at once; otherwise it has no effect.
        download.abort()
    return file
