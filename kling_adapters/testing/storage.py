"""What every storage plugin must do."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from functools import partial

import anyio

from kling_adapters.errors import ConfigError, StorageError
from kling_adapters.hookspecs import JobContext, JobStorage, Location, Storage, Writer
from kling_adapters.result import StoredFile
from kling_adapters.testing.gateway import MP4, FakeGateway
from kling_adapters.testing.plugin import PluginConformance, at_once

_VIDEO = "video/mp4"


class StorageConformance(PluginConformance):
    """Inherit it, and say where to store and how to look at what is there.

    class TestFolder(StorageConformance):
        plugin = "file_storage"

        @pytest.fixture(autouse=True)
        def place(self, tmp_path):
            self.folder = tmp_path
            self.url = tmp_path.as_uri()

        def names(self):
            return [path.name for path in self.folder.iterdir()]

        def read(self, name):
            return (self.folder / name).read_bytes()

    `url`: a place to store to. `unusable`: a URL of the plugin where nothing can be stored, such as one that does not
    exist; without it nothing is checked of that. `secrets`: texts that must be in no error, repr or URL.
    """

    url: str
    unusable: str | None = None
    secrets: Sequence[str] = ()

    def names(self) -> Iterable[str]:
        """Return the names of all files at `url`, as whoever looks there sees them."""
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        """Return what is in one of them."""
        raise NotImplementedError

    def test_answers_for_its_own_urls_only(self) -> None:
        """The hook gives a Storage for `url`, and None for what belongs to others."""
        found = self.ask("kling_storage", url=self.url)
        assert isinstance(found, Storage), f"kling_storage gave {found!r} for {self.url}, not a Storage"
        others = ["nobody-has-this-scheme://place/"]
        scheme, colon, rest = self.url.partition(":")
        if colon and len(scheme) > 1:
            others += [f"{scheme}x{colon}{rest}", f"x{scheme}{colon}{rest}"]
        for url in others:
            found = self.ask("kling_storage", url=url)
            assert found is None, (
                f"kling_storage gave {found!r} for {url}, which is not its own; None was due"
            )

    def test_check_leaves_nothing(self) -> None:
        """What `check` tries out is gone afterwards."""
        with self._only(*self.names()):
            self._storage()

    def test_an_unusable_place_is_a_storage_error(self) -> None:
        """Before a job is paid for, `check` (or the hook, by a ConfigError) says that nothing can be stored."""
        if self.unusable is None:
            return
        try:
            self.ask("kling_storage", url=self.unusable).check()
        except (StorageError, ConfigError) as error:
            self._tells_no_secret(str(error))
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} instead of a StorageError: {error}") from error
        else:
            raise AssertionError(f"check() finds nothing wrong with {self.unusable}")

    def test_a_file_appears_whole_when_it_is_committed(self) -> None:
        """Nothing is visible before; afterwards it is all there."""
        name, storage = _name(), self._storage()
        before = set(self.names())
        writer = storage.open(name, _VIDEO)
        for chunk in (MP4[:1000], MP4[1000:]):
            assert name not in set(self.names()), f"{name} is there before it is committed"
            writer.write(chunk)
        assert name not in set(self.names()), f"{name} is there before it is committed"
        with self._only(*before, name):
            writer.commit(_sha256(MP4))
        self._holds(name, MP4)

    def test_commit_says_where_the_file_is(self) -> None:
        """A Location with a URL, different for different files."""
        storage = self._storage()
        found = [self._store(storage, _name(), MP4) for _ in range(2)]
        for location in found:
            assert isinstance(location, Location), f"commit returned {location!r}, not a Location"
            assert location.url, "commit returned a Location without a URL"
            assert location.link != "", "a link that is empty should be None"
        assert found[0].url != found[1].url, f"two files have one URL: {found[0].url}"

    def test_a_file_of_the_same_name_is_replaced(self) -> None:
        """The old one stays until the new one is whole, and when the new one is given up."""
        name, storage = _name(), self._storage()
        self._store(storage, name, MP4)
        writer = storage.open(name, _VIDEO)
        writer.write(b"new")
        self._holds(name, MP4)
        writer.abort()
        self._holds(name, MP4)
        self._store(storage, name, b"newer")
        self._holds(name, b"newer")

    def test_an_aborted_file_leaves_nothing(self) -> None:
        """Whether something was written or not."""
        storage = self._storage()
        with self._only(*self.names()):
            for chunks in ((), (MP4,), (MP4, MP4)):
                writer = storage.open(_name(), _VIDEO)
                for chunk in chunks:
                    writer.write(chunk)
                self._abort(writer)

    def test_abort_may_come_twice(self) -> None:
        """It must not raise."""
        writer = self._storage().open(_name(), _VIDEO)
        writer.write(MP4)
        self._abort(writer)
        self._abort(writer)

    def test_abort_after_commit_leaves_the_file(self) -> None:
        """What is committed stays."""
        name = _name()
        writer = self._storage().open(name, _VIDEO)
        writer.write(MP4)
        writer.commit(_sha256(MP4))
        self._abort(writer)
        self._holds(name, MP4)

    def test_chunks_may_be_of_any_size(self) -> None:
        """Empty ones, single bytes, and several MB with an odd end."""
        large = MP4 * 500
        cases = {
            "empty chunks": [b"", MP4[:9], b"", MP4[9:], b""],
            "chunks of one byte": [MP4[at : at + 1] for at in range(2000)],
            "one chunk of 5 MB": [large],
            "chunks of 64 KiB": [large[at : at + 65536] for at in range(0, len(large), 65536)],
        }
        storage = self._storage()
        for what, chunks in cases.items():
            name = _name()
            self._store(storage, name, *chunks)
            self._holds(name, b"".join(chunks), what)

    def test_writers_in_several_threads_do_not_meet(self) -> None:
        """One Storage serves several jobs at a time."""
        storage = self._storage()
        contents = {_name(): bytes([number]) * 200_000 for number in range(4)}

        def store(name: str, content: bytes) -> Location:
            return self._store(storage, name, *[content[at : at + 5000] for at in range(0, 200_000, 5000)])

        at_once([partial(store, name, content) for name, content in contents.items()])
        for name, content in contents.items():
            self._holds(name, content)

    def test_two_writers_of_one_name_do_not_mix(self) -> None:
        """Each is whole; the one that is committed last stays."""
        name, storage = _name(), self._storage()
        first, second = storage.open(name, _VIDEO), storage.open(name, _VIDEO)
        for writer, content in ((first, b"1"), (second, b"2"), (first, b"1")):
            writer.write(content * 1000)
        first.commit(_sha256(b"1" * 2000))
        self._holds(name, b"1" * 2000)
        second.commit(_sha256(b"2" * 1000))
        self._holds(name, b"2" * 1000)

    def test_files_survive_another_storage_of_the_same_url(self) -> None:
        """As every call of the hook, and every process, makes one."""
        name, other = _name(), _name()
        self._store(self._storage(), name, MP4)
        with self._only(*self.names(), other):
            self._store(self._storage(), other, b"other")
        self._holds(name, MP4)

    def test_every_safe_name_is_kept(self) -> None:
        """Every safe character, and the longest name there can be."""
        letters = "abcdefghijklmnopqrstuvwxyz"
        given = [f"{letters}{letters.upper()}0123456789._-.mp4", "0", "a..b--c__d", "n" * 133 + ".webm"]
        storage = self._storage()
        with self._only(*self.names(), *given):
            for name in given:
                self._store(storage, name, name.encode())
        for name in given:
            self._holds(name, name.encode())

    def test_a_job_is_stored_by_the_blocking_client(self) -> None:
        """The digest of what is stored is that of what the gateway gave."""
        before = set(self.names())
        with FakeGateway() as gateway, self.client(gateway, api_key=gateway.api_key) as kling:
            self._is_stored(before, kling.run("kling-2", prompt="x", save_to=self.url).saved)

    def test_a_job_is_stored_by_the_asynchronous_client(self) -> None:
        """The same, from worker threads."""

        async def run(gateway: FakeGateway) -> tuple[StoredFile, ...]:
            async with self.async_client(gateway, api_key=gateway.api_key) as kling:
                return (await kling.run("kling-2", prompt="x", save_to=self.url)).saved

        before = set(self.names())
        with FakeGateway() as gateway:
            self._is_stored(before, anyio.run(run, gateway))

    def test_a_file_of_a_job_is_stored(self) -> None:
        """A storage with `open_for` stores the file whatever is known of the job, and `open` still works."""
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
                writer = storage.open_for(job, _name(), _VIDEO)
                writer.write(MP4)
                location = writer.commit(_sha256(MP4))
            except Exception as error:
                raise AssertionError(f"a file of {job!r} is not stored: {error!r}") from error
            assert isinstance(location, Location), f"commit returned {location!r}, not a Location"
            self._has_one_video(set(self.names()) - before)

    def test_no_secret_is_shown(self) -> None:
        """In no repr and no URL."""
        storage = self._storage()
        writer = storage.open(_name(), _VIDEO)
        writer.write(MP4)
        self._tells_no_secret(repr(storage), repr(writer), writer.commit(_sha256(MP4)).url)

    def _storage(self) -> Storage:
        storage: Storage = self.ask("kling_storage", url=self.url)
        storage.check()
        return storage

    def _store(self, storage: Storage, name: str, *chunks: bytes) -> Location:
        writer = storage.open(name, _VIDEO)
        for chunk in chunks:
            writer.write(chunk)
        return writer.commit(_sha256(b"".join(chunks)))

    def _abort(self, writer: Writer) -> None:
        try:
            writer.abort()
        except Exception as error:
            raise AssertionError(f"abort() raised {type(error).__name__}: {error}") from error

    @contextmanager
    def _only(self, *names: str) -> Generator[None]:
        """Check that there are these files afterwards and no others."""
        yield
        found = set(self.names())
        assert not found - set(names), f"there should be no {sorted(found - set(names))}"
        assert not set(names) - found, f"{sorted(set(names) - found)} should be there"

    def _holds(self, name: str, content: bytes, what: str = "what was written") -> None:
        assert name in set(self.names()), f"{name} should be there"
        found = self.read(name)
        assert found == content, (
            f"{name} holds {len(found)} bytes, which are not {what} ({len(content)} bytes)"
        )

    def _is_stored(self, before: set[str], saved: Sequence[StoredFile]) -> None:
        new = set(self.names()) - before
        # One that knows the job may store what it knows beside the file.
        if not isinstance(self._storage(), JobStorage):
            assert len(new) == 1, f"one file should be there, and there is: {sorted(new)}"
        self._has_one_video(new)
        assert [file.sha256 for file in saved] == [_sha256(MP4)]

    def _has_one_video(self, names: set[str]) -> None:
        videos = [name for name in names if self.read(name) == MP4]
        assert len(videos) == 1, f"what the gateway gave should be stored once in {sorted(names)}"

    def _tells_no_secret(self, *texts: str) -> None:
        for secret in self.secrets:
            for text in texts:
                # Not the text itself: it would be in the log of the tests.
                assert secret not in text, f"{text.replace(secret, '[secret]')!r} shows a secret"


def _name() -> str:
    return f"kling-2-{uuid.uuid4()}.mp4"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
