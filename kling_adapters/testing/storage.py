"""Requirements for storage plugins."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial

import anyio

from kling_adapters.errors import ConfigError, StorageError
from kling_adapters.hookspecs import JobContext, JobStorage, Location, Storage
from kling_adapters.result import StoredFile
from kling_adapters.testing.gateway import MP4, FakeGateway
from kling_adapters.testing.plugin import run_concurrently
from kling_adapters.testing.storage_base import VIDEO_TYPE, StorageAccess, compute_sha256, make_name


class StorageConformance(StorageAccess):
    """Requirements for plugins with `kling_storage`: define `plugin`, `url`, `names` and `read`.

    class TestFolder(StorageConformance):
        plugin = "file_storage"

        @pytest.fixture(autouse=True)
        def folder(self, tmp_path):
            self.folder = tmp_path
            self.url = tmp_path.as_uri()

        def names(self):
            return [path.name for path in self.folder.iterdir()]

        def read(self, name):
            return (self.folder / name).read_bytes()

    Attributes:
        url: A URL to store files to.
        unusable: A URL of the plugin where files cannot be stored, such as a missing bucket; None skips its
            check.
        secrets: Texts that no error, repr or URL may contain.

    """

    def test_hook_handles_only_its_urls(self) -> None:
        """The hook returns a Storage for `url`, and None for URLs of other plugins."""
        storage = self.call("kling_storage", url=self.url)
        assert isinstance(storage, Storage), (
            f"kling_storage returned {storage!r} for {self.url}; expected a Storage"
        )
        foreign_urls = ["unknown-scheme://bucket/"]
        scheme, colon, path = self.url.partition(":")
        if colon and len(scheme) > 1:
            foreign_urls += [f"{scheme}x{colon}{path}", f"x{scheme}{colon}{path}"]
        for url in foreign_urls:
            storage = self.call("kling_storage", url=url)
            assert storage is None, (
                f"kling_storage returned {storage!r} for {url}, a URL of another plugin; expected None"
            )

    def test_check_leaves_no_files(self) -> None:
        """`check` removes the files that it writes."""
        with self._expect_files(*self.names()):
            self._storage()

    def test_unusable_url_is_an_error(self) -> None:
        """For `unusable`, `check` raises StorageError, or the hook ConfigError: before a job is submitted."""
        if self.unusable is None:
            return
        try:
            self.call("kling_storage", url=self.unusable).check()
        except (StorageError, ConfigError) as error:
            self._expect_no_secret(str(error))
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} instead of a StorageError: {error}") from error
        else:
            raise AssertionError(f"check() raised no error for {self.unusable}")

    def test_file_appears_complete_on_commit(self) -> None:
        """The file is not visible before, and complete afterwards."""
        name, storage = make_name(), self._storage()
        before = set(self.names())
        writer = storage.open(name, VIDEO_TYPE)
        for chunk in (MP4[:1000], MP4[1000:]):
            assert name not in set(self.names()), f"{name} is visible before commit()"
            writer.write(chunk)
        assert name not in set(self.names()), f"{name} is visible before commit()"
        with self._expect_files(*before, name):
            writer.commit(compute_sha256(MP4))
        self._expect_content(name, MP4)

    def test_commit_returns_a_location(self) -> None:
        """A Location with a URL, which differs between files."""
        storage = self._storage()
        locations = [self._store(storage, make_name(), MP4) for _ in range(2)]
        for location in locations:
            assert isinstance(location, Location), f"commit() returned {location!r}; expected a Location"
            assert location.url, "commit() returned a Location without a URL"
            assert location.link != "", "an empty link should be None"
        assert locations[0].url != locations[1].url, f"two files have the same URL: {locations[0].url}"

    def test_commit_replaces_an_existing_file(self) -> None:
        """The existing file remains until `commit`, and after `abort`."""
        name, storage = make_name(), self._storage()
        self._store(storage, name, MP4)
        writer = storage.open(name, VIDEO_TYPE)
        writer.write(b"new")
        self._expect_content(name, MP4)
        writer.abort()
        self._expect_content(name, MP4)
        self._store(storage, name, b"newer")
        self._expect_content(name, b"newer")

    def test_aborted_file_leaves_nothing(self) -> None:
        """With and without written chunks."""
        storage = self._storage()
        with self._expect_files(*self.names()):
            for chunks in ((), (MP4,), (MP4, MP4)):
                writer = storage.open(make_name(), VIDEO_TYPE)
                for chunk in chunks:
                    writer.write(chunk)
                self._abort(writer)

    def test_abort_may_be_called_twice(self) -> None:
        """The second call raises nothing."""
        writer = self._storage().open(make_name(), VIDEO_TYPE)
        writer.write(MP4)
        self._abort(writer)
        self._abort(writer)

    def test_abort_after_commit_keeps_the_file(self) -> None:
        """A published file is not removed."""
        name = make_name()
        writer = self._storage().open(name, VIDEO_TYPE)
        writer.write(MP4)
        writer.commit(compute_sha256(MP4))
        self._abort(writer)
        self._expect_content(name, MP4)

    def test_chunks_may_have_any_size(self) -> None:
        """Empty chunks, single bytes, and several megabytes."""
        large = MP4 * 500
        cases = {
            "empty chunks": [b"", MP4[:9], b"", MP4[9:], b""],
            "chunks of one byte": [MP4[start : start + 1] for start in range(2000)],
            "one chunk of 5 MB": [large],
            "chunks of 64 KiB": [large[start : start + 65536] for start in range(0, len(large), 65536)],
        }
        storage = self._storage()
        for description, chunks in cases.items():
            name = make_name()
            self._store(storage, name, *chunks)
            self._expect_content(name, b"".join(chunks), description)

    def test_writers_in_threads_are_independent(self) -> None:
        """One Storage serves several jobs concurrently."""
        storage = self._storage()
        contents = {make_name(): bytes([number]) * 200_000 for number in range(4)}

        def store(name: str, content: bytes) -> Location:
            chunks = [content[start : start + 5000] for start in range(0, len(content), 5000)]
            return self._store(storage, name, *chunks)

        run_concurrently([partial(store, name, content) for name, content in contents.items()])
        for name, content in contents.items():
            self._expect_content(name, content)

    def test_writers_of_one_name_are_independent(self) -> None:
        """Each file is complete, and the last one to be committed remains."""
        name, storage = make_name(), self._storage()
        first, second = storage.open(name, VIDEO_TYPE), storage.open(name, VIDEO_TYPE)
        for writer, content in ((first, b"1"), (second, b"2"), (first, b"1")):
            writer.write(content * 1000)
        first.commit(compute_sha256(b"1" * 2000))
        self._expect_content(name, b"1" * 2000)
        second.commit(compute_sha256(b"2" * 1000))
        self._expect_content(name, b"2" * 1000)

    def test_second_storage_keeps_files(self) -> None:
        """Every call of the hook, and every process, creates a Storage."""
        name, second_name = make_name(), make_name()
        self._store(self._storage(), name, MP4)
        with self._expect_files(*self.names(), second_name):
            self._store(self._storage(), second_name, b"second")
        self._expect_content(name, MP4)

    def test_safe_names_are_kept(self) -> None:
        """All characters that a name may contain, and the longest name."""
        letters = "abcdefghijklmnopqrstuvwxyz"
        names = [f"{letters}{letters.upper()}0123456789._-.mp4", "0", "a..b--c__d", "n" * 133 + ".webm"]
        storage = self._storage()
        with self._expect_files(*self.names(), *names):
            for name in names:
                self._store(storage, name, name.encode())
        for name in names:
            self._expect_content(name, name.encode())

    def test_blocking_client_stores_a_job(self) -> None:
        """The stored file is the output of the job."""
        before = set(self.names())
        with FakeGateway() as gateway, self.client(gateway, api_key=gateway.api_key) as kling:
            self._expect_job(before, kling.run("kling-2", prompt="x", save_to=self.url).saved)

    def test_async_client_stores_a_job(self) -> None:
        """The same with AsyncKling, which calls the storage in worker threads."""

        async def run(gateway: FakeGateway) -> tuple[StoredFile, ...]:
            async with self.async_client(gateway, api_key=gateway.api_key) as kling:
                return (await kling.run("kling-2", prompt="x", save_to=self.url)).saved

        before = set(self.names())
        with FakeGateway() as gateway:
            self._expect_job(before, anyio.run(run, gateway))

    def test_open_for_stores_a_file(self) -> None:
        """A JobStorage stores files of jobs with and without model, parameters and cost."""
        storage = self._storage()
        if not isinstance(storage, JobStorage):
            return
        jobs = (
            JobContext(str(uuid.uuid4()), None, None, None, number=1, count=1),
            JobContext(str(uuid.uuid4()), "kling-2", {"prompt": "x"}, 1.5, number=2, count=2),
        )
        for job in jobs:
            before = set(self.names())
            try:
                writer = storage.open_for(job, make_name(), VIDEO_TYPE)
                writer.write(MP4)
                location = writer.commit(compute_sha256(MP4))
            except Exception as error:
                raise AssertionError(f"a file of {job!r} is not stored: {error!r}") from error
            assert isinstance(location, Location), f"commit() returned {location!r}; expected a Location"
            self._expect_one_video(set(self.names()) - before)

    def test_no_repr_or_url_contains_a_secret(self) -> None:
        """The repr of storage and writer, and the URL of a file."""
        storage = self._storage()
        writer = storage.open(make_name(), VIDEO_TYPE)
        writer.write(MP4)
        self._expect_no_secret(repr(storage), repr(writer), writer.commit(compute_sha256(MP4)).url)

    def _expect_job(self, before: set[str], saved: Sequence[StoredFile]) -> None:
        new = set(self.names()) - before
        # A JobStorage may store additional files.
        if not isinstance(self._storage(), JobStorage):
            assert len(new) == 1, f"one file should be stored, not {sorted(new)}"
        self._expect_one_video(new)
        assert [file.sha256 for file in saved] == [compute_sha256(MP4)]
