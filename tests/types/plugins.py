"""What plugin authors may and may not write; see calls.py."""

from collections.abc import Awaitable, Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import assert_type

import click

from kling_adapters import CatalogEntry, Clock, ConfigError, Kling, StoredFile, events
from kling_adapters.hookspecs import (
    Auth,
    JobContext,
    JobStorage,
    KeyPool,
    Location,
    RenewableAuth,
    Storage,
    Writer,
    hookimpl,
)
from kling_adapters.models import Kling2
from kling_adapters.testing import (
    AuthConformance,
    EventRecorder,
    FakeGateway,
    GatewayRequest,
    NotifierConformance,
    SimulatedClock,
    StorageConformance,
)


class Key:
    def api_key(self) -> str:
        return "SG_1"


class Keyless:
    def key(self) -> str:
        return "SG_1"


class MaybeKey:
    def api_key(self) -> str | None:
        return None


class AsyncKey:
    async def api_key(self) -> str:
        return "SG_1"


class Pool(Key):
    def keys(self) -> Iterable[str]:
        return ["SG_1"]

    def accepted(self, key: str, request_id: str) -> None: ...

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        return retry_after is None

    def key_of(self, request_id: str) -> str | None:
        return None


class SilentPool(Key):
    def keys(self) -> Iterable[str]:
        return ["SG_1"]

    def accepted(self, key: str, request_id: str) -> None: ...

    def refused(self, key: str, status: int, retry_after: float | None) -> None: ...

    def key_of(self, request_id: str) -> str | None:
        return None


class ForgetfulPool(Key):
    def keys(self) -> Iterable[str]:
        return ["SG_1"]

    def accepted(self, key: str, request_id: str) -> None: ...

    def refused(self, key: str, status: int) -> bool:
        return True

    def key_of(self, request_id: str) -> str | None:
        return None


class Vault(Key):
    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        return status == 401


class File:
    def write(self, chunk: bytes) -> None: ...

    def commit(self, sha256: str) -> Location:
        return Location("file:///a.mp4")

    def abort(self) -> None: ...


class UrlFile:
    def write(self, chunk: bytes) -> None: ...

    def commit(self, sha256: str) -> str:
        return "file:///a.mp4"

    def abort(self) -> None: ...


class Folder:
    def check(self) -> None: ...

    def open(self, name: str, content_type: str) -> File:
        return File()


class Filing(Folder):
    def open_for(self, job: JobContext, name: str, content_type: str) -> File:
        assert_type(job.cost, float | None)
        return File()


class NamelessFiling(Folder):
    def open_for(self, job: JobContext) -> File:
        return File()


class UrlFolder:
    def check(self) -> None: ...

    def open(self, name: str, content_type: str) -> UrlFile:
        return UrlFile()


class UncheckedFolder:
    def open(self, name: str, content_type: str) -> File:
        return File()


class Nap:
    def now(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None: ...


def protocols(found: object) -> None:
    auth: Auth = Key()
    auth = Pool()
    auth = Keyless()  # refused
    auth = MaybeKey()  # refused
    auth = AsyncKey()  # refused
    auth = "SG_1"  # refused
    pool: KeyPool = Pool()
    pool = Key()  # refused
    pool = SilentPool()  # refused
    pool = ForgetfulPool()  # refused
    renewable: RenewableAuth = Vault()
    renewable = Pool()
    renewable = Key()  # refused
    renewable = SilentPool()  # refused
    filing: JobStorage = Filing()
    filing = Folder()  # refused
    filing = NamelessFiling()  # refused
    assert_type(renewable.refused("SG_1", 401, None), bool)
    assert_type(filing.open("a.mp4", "video/mp4"), Writer)
    storage: Storage = Folder()
    storage = UrlFolder()  # refused
    storage = UncheckedFolder()  # refused
    storage = Path("renders")  # refused
    writer: Writer = File()
    writer = UrlFile()  # refused
    writer = BytesIO()  # refused
    clock: Clock = SimulatedClock()
    clock = Nap()  # refused
    Location(Path("a.mp4"))  # refused
    Location()  # refused
    assert_type(storage.open("a.mp4", "video/mp4"), Writer)
    assert_type(writer.commit("00"), Location)
    assert_type(pool.refused("SG_1", 429, None), bool)
    print(auth.api_key().upper(), clock.now() + 1)
    print(pool.key_of("5f0c3c4e").upper())  # refused
    if isinstance(found, KeyPool):
        assert_type(found.key_of("5f0c3c4e"), str | None)


class Plugin:
    @hookimpl
    def kling_register_adapters(self, register: Callable[[CatalogEntry], None]) -> None:
        register(CatalogEntry("acme-1", "Acme 1", "video", None, "acme.acme_1", "Acme1"))
        register(CatalogEntry("acme-1", "Acme 1", "film", None, "acme.acme_1", "Acme1"))  # refused
        register(CatalogEntry("acme-1", "Acme 1", "video", "60 s", "acme.acme_1", "Acme1"))  # refused
        register(CatalogEntry("acme-1"))  # refused
        register(Kling2)  # refused
        register("acme-1")  # refused

    @hookimpl
    def kling_cli(self, app: click.Group) -> None:
        app.add_command(click.Command("acme"))
        app.add_command("acme")  # refused

    @hookimpl
    def kling_auth(self, gateway: str, chosen: bool) -> Auth | None:
        if chosen:
            raise ConfigError("no key")
        if gateway.startswith("http:"):
            return None
        return Keyless() if gateway else Key()  # refused

    @hookimpl
    def kling_storage(self, url: str) -> Storage | None:
        if not url.startswith("acme:"):
            return UncheckedFolder()  # refused
        return Folder()

    @hookimpl(tryfirst=True)
    def kling_event(self, event: events.Event) -> None:
        match event:
            case events.Completed(result=result):
                print(result.metrics.cost)
                print(result.metrics.cost * 2)  # refused
            case events.Stored(files=files):
                assert_type(files, tuple[StoredFile, ...])
            case _:
                pass

    @hookimpl
    def kling_close(self) -> None: ...


class Notifier:
    @hookimpl
    async def kling_event(self, event: events.Event) -> None: ...


class Deferred:
    @hookimpl
    def kling_event(self, event: events.Event) -> Awaitable[None] | None:
        return None


class TestKey(AuthConformance):
    hint = "ACME_KEY"

    def configure(self, gateway: str, *keys: str) -> None: ...


class TestFolder(StorageConformance):
    url = "acme://renders/"
    unusable = None

    def names(self) -> Iterable[str]:
        return []

    def read(self, name: str) -> str:  # refused
        return name


class TestNotifier(NotifierConformance):
    plugin = Notifier


def tests(recorder: EventRecorder) -> None:
    with FakeGateway(fails="blocked") as gateway:
        kling = Kling(base_url=gateway.base_url, api_key=gateway.api_key, plugins=[recorder, Plugin()])
    assert_type(gateway.requests, list[GatewayRequest])
    assert_type(recorder.events, list[events.Event])
    print(kling.plugins[0].state == "loadd")  # refused
    print(kling.plugins[0].distribution.upper())  # refused
    print(recorder.events[0].result)  # refused
    print(gateway.request)  # refused
    FakeGateway(fails=True)  # refused
