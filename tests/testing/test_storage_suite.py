"""StorageConformance passes the storage of the core, and each of its checks catches a defect of its own."""

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
    def place(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.url = tmp_path.as_uri()
        (tmp_path / "file").touch()
        self.unusable = f"{self.url}/file/folder"

    def names(self) -> list[str]:
        return [path.name for path in self.folder.iterdir()]

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


class TestFolderByPath(TestFolder):
    @pytest.fixture(autouse=True)
    def path(self, place: None) -> None:
        self.url = str(self.folder)


class Memory:
    """Storage for mem: URLs, all of them one place; correct, and made wrong below."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    @hookimpl
    def kling_storage(self, url: str) -> Storage | None:
        return self.place(url) if self.answers(url) else None

    def answers(self, url: str) -> bool:
        return url.startswith("mem:")

    def place(self, url: str) -> Place:
        return Place(self, url)

    def check(self, url: str) -> None:
        if url == "mem:locked":
            raise StorageError("nothing can be stored here")

    def name(self, name: str) -> str:
        return name

    def start(self, name: str) -> None:
        """An upload begins."""

    def add(self, writer: Upload, chunk: bytes) -> None:
        writer.chunks.append(chunk)

    def commit(self, writer: Upload) -> Location:
        self.files[writer.name] = b"".join(writer.chunks)
        return Location(f"mem:{writer.name}")

    def abort(self, writer: Upload) -> None:
        writer.chunks = []


class Place:
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
    """Stores what it knows of the job beside the file; correct, and made wrong below."""

    def place(self, url: str) -> Place:
        return Cabinet(self, url)

    def label(self, job: JobContext) -> bytes:
        return f"{job.model} {dict(job.params or {})} {job.cost} {job.number}/{job.count}".encode()


class Cabinet(Place):
    memory: Filing

    def open_for(self, job: JobContext, name: str, content_type: str) -> Writer:
        self.memory.files[f"{name}.txt"] = self.memory.label(job)
        return self.open(name, content_type)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("storage", [Memory, Filing])
def test_a_correct_storage_passes(storage: type[Memory], check: str) -> None:
    run(storage(), check)


class NeedsParams(Filing):
    def label(self, job: JobContext) -> bytes:
        return str(job.params["prompt"]).encode()  # type: ignore[index]


class LosesTheFileOfAJob(Filing):
    def place(self, url: str) -> Place:
        class Lost(Cabinet):
            def open_for(self, job: JobContext, name: str, content_type: str) -> Writer:
                return Upload(Memory(), name)

        return Lost(self, url)


class TakesAll(Memory):
    def answers(self, url: str) -> bool:
        return True


class TakesWhatBeginsAlike(Memory):
    def answers(self, url: str) -> bool:
        return url.startswith("mem")


class NoStorage(Memory):
    def place(self, url: str) -> Any:
        return object()


class LeavesAProbe(Memory):
    def check(self, url: str) -> None:
        super().check(url)
        self.files[".probe"] = b""


class ChecksNothing(Memory):
    def check(self, url: str) -> None:
        pass


class RaisesItsOwn(Memory):
    def check(self, url: str) -> None:
        if url == "mem:locked":
            raise PermissionError("no")


class TellsSecretInError(Memory):
    def check(self, url: str) -> None:
        if url == "mem:locked":
            raise StorageError("no, with the password hush")


class VisibleAtOnce(Memory):
    def start(self, name: str) -> None:
        self.files[name] = b""


class VisibleWhileWritten(Memory):
    def add(self, writer: Upload, chunk: bytes) -> None:
        super().add(writer, chunk)
        self.files[writer.name] = b"".join(writer.chunks)

    def abort(self, writer: Upload) -> None:
        if not writer.committed:
            self.files.pop(writer.name, None)


class NeverThere(Memory):
    def commit(self, writer: Upload) -> Location:
        return Location(f"mem:{writer.name}")


class SaysNothing(Memory):
    def commit(self, writer: Upload) -> Any:
        super().commit(writer)


class SaysNothingOfTheUrl(Memory):
    def commit(self, writer: Upload) -> Location:
        super().commit(writer)
        return Location("")


class SaysTheSameOfAll(Memory):
    def commit(self, writer: Upload) -> Location:
        super().commit(writer)
        return Location("mem:")


class EmptyLink(Memory):
    def commit(self, writer: Upload) -> Location:
        return Location(super().commit(writer).url, "")


class RefusesToReplace(Memory):
    def start(self, name: str) -> None:
        if name in self.files:
            raise StorageError("there is one")


class KeepsTheOld(Memory):
    def commit(self, writer: Upload) -> Location:
        self.files.setdefault(writer.name, b"".join(writer.chunks))
        return Location(f"mem:{writer.name}")


class RemovesTheOldAtOnce(Memory):
    def start(self, name: str) -> None:
        self.files.pop(name, None)


class AbortRemovesTheOld(Memory):
    def abort(self, writer: Upload) -> None:
        if not writer.committed:
            self.files.pop(writer.name, None)


class AbortLeavesThePart(Memory):
    def abort(self, writer: Upload) -> None:
        self.files[f"{writer.name}.part"] = b"".join(writer.chunks)


class AbortsOnce(Memory):
    def abort(self, writer: Upload) -> None:
        if writer.name == "":
            raise RuntimeError("aborted before")
        writer.name = ""


class AbortTakesBack(Memory):
    def abort(self, writer: Upload) -> None:
        if writer.committed:
            self.files.pop(writer.name, None)


class AbortRaisesAfterCommit(Memory):
    def abort(self, writer: Upload) -> None:
        if writer.committed:
            raise RuntimeError("committed before")


class EndsAtAnEmptyChunk(Memory):
    def add(self, writer: Upload, chunk: bytes) -> None:
        if writer.chunks[-1:] != [b""]:
            super().add(writer, chunk)


class DropsBytes(Memory):
    def add(self, writer: Upload, chunk: bytes) -> None:
        if len(chunk) > 1:
            super().add(writer, chunk)


class KeepsAMegabyte(Memory):
    def commit(self, writer: Upload) -> Location:
        location = super().commit(writer)
        self.files[writer.name] = self.files[writer.name][:1_000_000]
        return location


class OneBufferForAll(Memory):
    """What several threads write lands in one buffer; nothing is lost while one alone writes."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer: list[bytes] = []
        self.open = 0
        self.all_there = threading.Event()

    def start(self, name: str) -> None:
        self.open += 1
        if self.open == 1:
            self.buffer = []
        self.all_there.wait(0.1)

    def add(self, writer: Upload, chunk: bytes) -> None:
        self.buffer.append(chunk)

    def commit(self, writer: Upload) -> Location:
        writer.chunks = self.buffer
        self.open -= 1
        return super().commit(writer)


class OnePartForAName(Memory):
    """Two writers of one name share the file that is written beside the target."""

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


class BeginsAnew(Memory):
    def place(self, url: str) -> Place:
        self.files.clear()
        return super().place(url)


class SmallLetters(Memory):
    def name(self, name: str) -> str:
        return name.lower()


class ShortNames(Memory):
    def name(self, name: str) -> str:
        return name[:100]


class Reverses(Memory):
    def commit(self, writer: Upload) -> Location:
        writer.chunks.reverse()
        return super().commit(writer)


class NotInThreads(Memory):
    def start(self, name: str) -> None:
        assert threading.current_thread() is threading.main_thread()


class Sidecar(Memory):
    def commit(self, writer: Upload) -> Location:
        self.files[f"{writer.name}.json"] = b"{}"
        return super().commit(writer)


class ShowsSecretInRepr(Memory):
    def place(self, url: str) -> Place:
        class Shown(Place):
            def __repr__(self) -> str:
                return "Place(password='hush')"

        return Shown(self, url)


class ShowsSecretInUrl(Memory):
    def commit(self, writer: Upload) -> Location:
        return Location(super().commit(writer).url.replace("mem:", "mem:me:hush@"))


MUTANTS: list[tuple[type[Memory], str]] = [
    (TakesAll, "test_hook_handles_only_its_urls"),
    (TakesWhatBeginsAlike, "test_hook_handles_only_its_urls"),
    (NoStorage, "test_hook_handles_only_its_urls"),
    (LeavesAProbe, "test_check_leaves_no_files"),
    (ChecksNothing, "test_unusable_url_is_an_error"),
    (RaisesItsOwn, "test_unusable_url_is_an_error"),
    (TellsSecretInError, "test_unusable_url_is_an_error"),
    (VisibleAtOnce, "test_file_appears_complete_on_commit"),
    (VisibleWhileWritten, "test_file_appears_complete_on_commit"),
    (NeverThere, "test_file_appears_complete_on_commit"),
    (Reverses, "test_file_appears_complete_on_commit"),
    (SaysNothing, "test_commit_returns_a_location"),
    (SaysNothingOfTheUrl, "test_commit_returns_a_location"),
    (SaysTheSameOfAll, "test_commit_returns_a_location"),
    (EmptyLink, "test_commit_returns_a_location"),
    (KeepsTheOld, "test_commit_replaces_an_existing_file"),
    (RemovesTheOldAtOnce, "test_commit_replaces_an_existing_file"),
    (AbortRemovesTheOld, "test_commit_replaces_an_existing_file"),
    (AbortLeavesThePart, "test_aborted_file_leaves_nothing"),
    (AbortsOnce, "test_abort_may_be_called_twice"),
    (AbortTakesBack, "test_abort_after_commit_keeps_the_file"),
    (AbortRaisesAfterCommit, "test_abort_after_commit_keeps_the_file"),
    (EndsAtAnEmptyChunk, "test_chunks_may_have_any_size"),
    (DropsBytes, "test_chunks_may_have_any_size"),
    (KeepsAMegabyte, "test_chunks_may_have_any_size"),
    (OneBufferForAll, "test_writers_in_threads_are_independent"),
    (OnePartForAName, "test_writers_of_one_name_are_independent"),
    (BeginsAnew, "test_second_storage_keeps_files"),
    (SmallLetters, "test_safe_names_are_kept"),
    (ShortNames, "test_safe_names_are_kept"),
    (Sidecar, "test_blocking_client_stores_a_job"),
    (NotInThreads, "test_async_client_stores_a_job"),
    (NeedsParams, "test_open_for_stores_a_file"),
    (LosesTheFileOfAJob, "test_open_for_stores_a_file"),
    (ShowsSecretInRepr, "test_no_repr_or_url_contains_a_secret"),
    (ShowsSecretInUrl, "test_no_repr_or_url_contains_a_secret"),
]


@pytest.mark.parametrize(("mutant", "check"), MUTANTS, ids=[mutant.__name__ for mutant, _ in MUTANTS])
def test_each_check_catches_its_defect(mutant: type[Memory], check: str) -> None:
    with pytest.raises((AssertionError, StorageError), match=r"\w+ .*\w"):
        run(mutant(), check)


def test_every_check_has_a_mutant() -> None:
    assert {check for _, check in MUTANTS} == set(CHECKS)
