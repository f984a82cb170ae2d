"""StorageConformance accepts correct storages, and each check detects its own defect."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from kling_adapters import StorageError
from kling_adapters.hookspecs import JobContext, Location, Storage, Writer, hookimpl
from kling_adapters.testing import StorageConformance


class TestFolder(StorageConformance):
    plugin = "file_storage"

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path
        self.url = tmp_path.as_uri()
        (tmp_path / "file").touch()
        self.unusable = f"{self.url}/file/folder"

    def names(self) -> list[str]:
        return [path.name for path in self.path.iterdir()]

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()


class TestFolderByPath(TestFolder):
    @pytest.fixture(autouse=True)
    def url_is_a_path(self, folder: None) -> None:
        self.url = str(self.path)


class Memory:
    """Storage for mem: URLs with one set of files. It is correct; subclasses have a defect."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    @hookimpl
    def kling_storage(self, url: str) -> Storage | None:
        return self.make_storage(url) if self.handles(url) else None

    def handles(self, url: str) -> bool:
        return url.startswith("mem:")

    def make_storage(self, url: str) -> MemoryStorage:
        return MemoryStorage(self, url)

    def check(self, url: str) -> None:
        if url == "mem:locked":
            raise StorageError("nothing can be stored here")

    def name(self, name: str) -> str:
        return name

    def start(self, name: str) -> None:
        """Start an upload."""

    def add(self, writer: Upload, chunk: bytes) -> None:
        writer.chunks.append(chunk)

    def commit(self, writer: Upload) -> Location:
        self.files[writer.name] = b"".join(writer.chunks)
        return Location(f"mem:{writer.name}")

    def abort(self, writer: Upload) -> None:
        writer.chunks = []


class MemoryStorage:
    def __init__(self, memory: Memory, url: str) -> None:
        self.memory, self.url = memory, url

    def check(self) -> None:
        self.memory.check(self.url)

    def open(self, name: str, content_type: str) -> Writer:
        self.memory.start(name)
        return Upload(self.memory, self.memory.name(name))


class Upload:
    def __init__(self, memory: Memory, name: str) -> None:
        self.memory, self.name = memory, name
        self.chunks: list[bytes] = []
        self.committed = False

    def write(self, chunk: bytes) -> None:
        self.memory.add(self, chunk)

    def commit(self, sha256: str) -> Location:
        location = self.memory.commit(self)
        self.committed = True
        return location

    def abort(self) -> None:
        self.memory.abort(self)


class MemoryConformance(StorageConformance):
    url = "mem:ory"
    unusable = "mem:locked"
    secrets = ("hush",)

    def __init__(self, plugin: Memory) -> None:
        self.plugin: Memory = plugin

    def names(self) -> Iterable[str]:
        return self.plugin.files

    def read(self, name: str) -> bytes:
        return self.plugin.files[name]


CHECKS = sorted(name for name in dir(StorageConformance) if name.startswith("test_"))


def run(memory: Memory, check: str) -> None:
    cast("Callable[[], None]", getattr(MemoryConformance(memory), check))()


class Filing(Memory):
    """Stores the data of a job in a second file. It is correct; subclasses have a defect."""

    def make_storage(self, url: str) -> MemoryStorage:
        return FilingStorage(self, url)

    def label(self, job: JobContext) -> bytes:
        return f"{job.model} {dict(job.params or {})} {job.cost} {job.number}/{job.count}".encode()


class FilingStorage(MemoryStorage):
    memory: Filing

    def open_for(self, job: JobContext, name: str, content_type: str) -> Writer:
        self.memory.files[f"{name}.txt"] = self.memory.label(job)
        return self.open(name, content_type)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("storage", [Memory, Filing])
def test_correct_storage_passes(storage: type[Memory], check: str) -> None:
    run(storage(), check)


class NeedsParams(Filing):
    def label(self, job: JobContext) -> bytes:
        return str(job.params["prompt"]).encode()  # type: ignore[index]


class LosesFileOfJob(Filing):
    def make_storage(self, url: str) -> MemoryStorage:
        class Lost(FilingStorage):
            def open_for(self, job: JobContext, name: str, content_type: str) -> Writer:
                return Upload(Memory(), name)

        return Lost(self, url)


class HandlesAllUrls(Memory):
    def handles(self, url: str) -> bool:
        return True


class HandlesSimilarScheme(Memory):
    def handles(self, url: str) -> bool:
        return url.startswith("mem")


class ReturnsNoStorage(Memory):
    def make_storage(self, url: str) -> Any:
        return object()


class LeavesProbe(Memory):
    def check(self, url: str) -> None:
        super().check(url)
        self.files[".probe"] = b""


class ChecksNothing(Memory):
    def check(self, url: str) -> None:
        pass


class RaisesPermissionError(Memory):
    def check(self, url: str) -> None:
        if url == "mem:locked":
            raise PermissionError("no")


class SecretInError(Memory):
    def check(self, url: str) -> None:
        if url == "mem:locked":
            raise StorageError("no, with the password hush")


class VisibleOnOpen(Memory):
    def start(self, name: str) -> None:
        self.files[name] = b""


class VisibleWhileWritten(Memory):
    def add(self, writer: Upload, chunk: bytes) -> None:
        super().add(writer, chunk)
        self.files[writer.name] = b"".join(writer.chunks)

    def abort(self, writer: Upload) -> None:
        if not writer.committed:
            self.files.pop(writer.name, None)


class NeverStored(Memory):
    def commit(self, writer: Upload) -> Location:
        return Location(f"mem:{writer.name}")


class ReturnsNone(Memory):
    def commit(self, writer: Upload) -> Any:
        super().commit(writer)


class EmptyUrl(Memory):
    def commit(self, writer: Upload) -> Location:
        super().commit(writer)
        return Location("")


class SameUrlForAll(Memory):
    def commit(self, writer: Upload) -> Location:
        super().commit(writer)
        return Location("mem:")


class EmptyLink(Memory):
    def commit(self, writer: Upload) -> Location:
        return Location(super().commit(writer).url, "")


class RefusesToReplace(Memory):
    def start(self, name: str) -> None:
        if name in self.files:
            raise StorageError("the file exists")


class KeepsOldFile(Memory):
    def commit(self, writer: Upload) -> Location:
        self.files.setdefault(writer.name, b"".join(writer.chunks))
        return Location(f"mem:{writer.name}")


class RemovesOldFileOnOpen(Memory):
    def start(self, name: str) -> None:
        self.files.pop(name, None)


class AbortRemovesOldFile(Memory):
    def abort(self, writer: Upload) -> None:
        if not writer.committed:
            self.files.pop(writer.name, None)


class AbortLeavesPart(Memory):
    def abort(self, writer: Upload) -> None:
        self.files[f"{writer.name}.part"] = b"".join(writer.chunks)


class AbortsOnce(Memory):
    def abort(self, writer: Upload) -> None:
        if writer.name == "":
            raise RuntimeError("aborted twice")
        writer.name = ""


class AbortRemovesCommittedFile(Memory):
    def abort(self, writer: Upload) -> None:
        if writer.committed:
            self.files.pop(writer.name, None)


class AbortRaisesAfterCommit(Memory):
    def abort(self, writer: Upload) -> None:
        if writer.committed:
            raise RuntimeError("already committed")


class EndsAtEmptyChunk(Memory):
    def add(self, writer: Upload, chunk: bytes) -> None:
        if writer.chunks[-1:] != [b""]:
            super().add(writer, chunk)


class DropsBytes(Memory):
    def add(self, writer: Upload, chunk: bytes) -> None:
        if len(chunk) > 1:
            super().add(writer, chunk)


class TruncatesToMegabyte(Memory):
    def commit(self, writer: Upload) -> Location:
        location = super().commit(writer)
        self.files[writer.name] = self.files[writer.name][:1_000_000]
        return location


class SharedBuffer(Memory):
    """Concurrent writers share one buffer; a single writer loses nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer: list[bytes] = []
        self.open = 0
        self.all_open = threading.Event()

    def start(self, name: str) -> None:
        self.open += 1
        if self.open == 1:
            self.buffer = []
        self.all_open.wait(0.1)

    def add(self, writer: Upload, chunk: bytes) -> None:
        self.buffer.append(chunk)

    def commit(self, writer: Upload) -> Location:
        writer.chunks = self.buffer
        self.open -= 1
        return super().commit(writer)


class SharedPart(Memory):
    """Writers of one name share a part file."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, list[bytes]] = {}

    def start(self, name: str) -> None:
        self.parts.setdefault(name, [])

    def add(self, writer: Upload, chunk: bytes) -> None:
        self.parts[writer.name].append(chunk)

    def commit(self, writer: Upload) -> Location:
        writer.chunks = self.parts.get(writer.name, [])
        location = super().commit(writer)
        self.parts[writer.name] = []
        return location

    def abort(self, writer: Upload) -> None:
        self.parts[writer.name] = []


class ClearsOnOpen(Memory):
    def make_storage(self, url: str) -> MemoryStorage:
        self.files.clear()
        return super().make_storage(url)


class LowercasesNames(Memory):
    def name(self, name: str) -> str:
        return name.lower()


class ShortensNames(Memory):
    def name(self, name: str) -> str:
        return name[:100]


class ReversesChunks(Memory):
    def commit(self, writer: Upload) -> Location:
        writer.chunks.reverse()
        return super().commit(writer)


class FailsInThreads(Memory):
    def start(self, name: str) -> None:
        assert threading.current_thread() is threading.main_thread()


class Sidecar(Memory):
    def commit(self, writer: Upload) -> Location:
        self.files[f"{writer.name}.json"] = b"{}"
        return super().commit(writer)


class SecretInRepr(Memory):
    def make_storage(self, url: str) -> MemoryStorage:
        class Shown(MemoryStorage):
            def __repr__(self) -> str:
                return "MemoryStorage(password='hush')"

        return Shown(self, url)


class SecretInUrl(Memory):
    def commit(self, writer: Upload) -> Location:
        return Location(super().commit(writer).url.replace("mem:", "mem:me:hush@"))


MUTANTS: list[tuple[type[Memory], str]] = [
    (HandlesAllUrls, "test_hook_handles_only_its_urls"),
    (HandlesSimilarScheme, "test_hook_handles_only_its_urls"),
    (ReturnsNoStorage, "test_hook_handles_only_its_urls"),
    (LeavesProbe, "test_check_leaves_no_files"),
    (ChecksNothing, "test_unusable_url_is_an_error"),
    (RaisesPermissionError, "test_unusable_url_is_an_error"),
    (SecretInError, "test_unusable_url_is_an_error"),
    (VisibleOnOpen, "test_file_appears_complete_on_commit"),
    (VisibleWhileWritten, "test_file_appears_complete_on_commit"),
    (NeverStored, "test_file_appears_complete_on_commit"),
    (ReversesChunks, "test_file_appears_complete_on_commit"),
    (ReturnsNone, "test_commit_returns_a_location"),
    (EmptyUrl, "test_commit_returns_a_location"),
    (SameUrlForAll, "test_commit_returns_a_location"),
    (EmptyLink, "test_commit_returns_a_location"),
    (KeepsOldFile, "test_commit_replaces_an_existing_file"),
    (RemovesOldFileOnOpen, "test_commit_replaces_an_existing_file"),
    (AbortRemovesOldFile, "test_commit_replaces_an_existing_file"),
    (AbortLeavesPart, "test_aborted_file_leaves_nothing"),
    (AbortsOnce, "test_abort_may_be_called_twice"),
    (AbortRemovesCommittedFile, "test_abort_after_commit_keeps_the_file"),
    (AbortRaisesAfterCommit, "test_abort_after_commit_keeps_the_file"),
    (EndsAtEmptyChunk, "test_chunks_may_have_any_size"),
    (DropsBytes, "test_chunks_may_have_any_size"),
    (TruncatesToMegabyte, "test_chunks_may_have_any_size"),
    (SharedBuffer, "test_writers_in_threads_are_independent"),
    (SharedPart, "test_writers_of_one_name_are_independent"),
    (ClearsOnOpen, "test_second_storage_keeps_files"),
    (LowercasesNames, "test_safe_names_are_kept"),
    (ShortensNames, "test_safe_names_are_kept"),
    (Sidecar, "test_blocking_client_stores_a_job"),
    (FailsInThreads, "test_async_client_stores_a_job"),
    (NeedsParams, "test_open_for_stores_a_file"),
    (LosesFileOfJob, "test_open_for_stores_a_file"),
    (SecretInRepr, "test_no_repr_or_url_contains_a_secret"),
    (SecretInUrl, "test_no_repr_or_url_contains_a_secret"),
]


@pytest.mark.parametrize(("mutant", "check"), MUTANTS, ids=[mutant.__name__ for mutant, _ in MUTANTS])
def test_each_check_catches_its_defect(mutant: type[Memory], check: str) -> None:
    with pytest.raises((AssertionError, StorageError), match=r"\w+ .*\w"):
        run(mutant(), check)


def test_every_check_has_a_mutant() -> None:
    assert {check for _, check in MUTANTS} == set(CHECKS)
