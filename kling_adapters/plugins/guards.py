"""Wrappers of the objects that hooks return, whose methods return the documented types only."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeGuard, TypeVar, cast

from kling_adapters.errors import ConfigError, KlingError, StorageError
from kling_adapters.hook_objects import (
    Auth,
    InstantAuth,
    JobContext,
    JobStorage,
    KeyPool,
    Location,
    RenewableAuth,
    Storage,
    Writer,
)
from kling_adapters.plugins.calls import PluginExit, contain_exits

log = logging.getLogger("kling_adapters")

T = TypeVar("T")


class GuardedAuth:
    """The Auth of a plugin; `plugin` is the name of the plugin."""

    def __init__(self, plugin: str, auth: Auth) -> None:
        self.plugin = plugin
        self._auth = auth

    def api_key(self) -> str:
        """See Auth."""
        try:
            with contain_exits():
                key: object = self._auth.api_key()
        except KlingError:
            raise
        except Exception as error:  # noqa: BLE001  the message may contain the key
            kind = type(error.__cause__ if isinstance(error, PluginExit) else error).__name__
            raise ConfigError(f"the auth plugin {self.plugin} failed with {kind}. Nothing was sent") from None
        if not _is_text(key):
            raise ConfigError(
                f"the auth plugin {self.plugin} returned a {type(key).__name__} as the API key; expected a "
                "str. Nothing was sent"
            )
        return key


class _GuardedInstant(GuardedAuth, InstantAuth):
    def __init__(self, plugin: str, auth: InstantAuth) -> None:
        super().__init__(plugin, auth)
        self._instant = auth

    def instant_key(self) -> str | None:
        return self._instant.instant_key()


class _GuardedRenewable(GuardedAuth):
    def __init__(self, plugin: str, auth: RenewableAuth) -> None:
        super().__init__(plugin, auth)
        self._renewable = auth

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        return bool(self._call_safely("refused", lambda: self._renewable.refused(key, status, retry_after)))

    def _call_safely(self, method: str, function: Callable[[], T]) -> T | None:
        """Call a method; log its failure, because the job may be billed."""
        try:
            with contain_exits():
                return function()
        except Exception as error:  # noqa: BLE001  message and traceback may contain a key
            kind = type(error).__name__
            log.error("plugin %s failed in %s() with %s; the job continues", self.plugin, method, kind)  # noqa: TRY400
            return None


class _GuardedPool(_GuardedRenewable):
    def __init__(self, plugin: str, auth: KeyPool) -> None:
        super().__init__(plugin, auth)
        self._pool = auth

    def keys(self) -> list[str]:
        keys = self._call_safely("keys", lambda: list(self._pool.keys()))
        return [key for key in keys or () if _is_text(key)]

    def accepted(self, key: str, request_id: str) -> None:
        self._call_safely("accepted", lambda: self._pool.accepted(key, request_id))

    def key_of(self, request_id: str) -> str | None:
        key = self._call_safely("key_of", lambda: self._pool.key_of(request_id))
        return key if _is_text(key) else None


class _GuardedStorage:
    def __init__(self, plugin: str, storage: Storage) -> None:
        self._plugin = plugin
        self._storage = storage

    def check(self) -> None:
        with contain_exits():
            self._storage.check()

    def open(self, name: str, content_type: str) -> Writer:
        with contain_exits():
            return self._guard(self._storage.open(name, content_type))

    def _guard(self, writer: object) -> Writer:
        if not isinstance(writer, Writer):
            raise StorageError(
                f"the storage plugin {self._plugin} opened a {type(writer).__name__} for the file; "
                "expected a Writer with write, commit and abort"
            )
        return _GuardedWriter(self._plugin, writer)


class _GuardedJobStorage(_GuardedStorage):
    def __init__(self, plugin: str, storage: JobStorage) -> None:
        super().__init__(plugin, storage)
        self._job_storage = storage

    def open_for(self, job: JobContext, name: str, content_type: str) -> Writer:
        with contain_exits():
            return self._guard(self._job_storage.open_for(job, name, content_type))


class _GuardedWriter:
    def __init__(self, plugin: str, writer: Writer) -> None:
        self._plugin = plugin
        self._writer = writer

    def write(self, chunk: bytes) -> None:
        with contain_exits():
            self._writer.write(chunk)

    def commit(self, sha256: str) -> Location:
        with contain_exits():
            location: object = self._writer.commit(sha256)
        if not _is_location(location):
            raise StorageError(
                f"the storage plugin {self._plugin} did not return the location of the file: commit() "
                f"returned {_describe_type(location)}; expected a Location with a URL. The file may be stored"
            )
        return location

    def abort(self) -> None:
        try:
            with contain_exits():
                self._writer.abort()
        except Exception:
            log.exception("plugin %s failed in abort(); a partial file may remain", self._plugin)


def guard_auth(plugin: str, auth: Auth) -> GuardedAuth:
    """Return a wrapper of an Auth with the same optional methods."""
    if isinstance(auth, KeyPool):
        return _GuardedPool(plugin, auth)
    if isinstance(auth, RenewableAuth):
        return _GuardedRenewable(plugin, auth)
    if isinstance(auth, InstantAuth):
        return _GuardedInstant(plugin, auth)
    return GuardedAuth(plugin, auth)


def guard_storage(plugin: str, storage: Storage) -> Storage:
    """Return a wrapper of a Storage with the same optional method."""
    if isinstance(storage, JobStorage):
        return _GuardedJobStorage(plugin, storage)
    return _GuardedStorage(plugin, storage)


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def _is_location(value: object) -> TypeGuard[Location]:
    if not isinstance(value, Location):
        return False
    url, link = cast("tuple[object, object]", (value.url, value.link))
    return isinstance(url, str) and bool(url) and (link is None or isinstance(link, str))


def _describe_type(value: object) -> str:
    # The value itself may contain a link that opens the file without credentials.
    return "a Location without a URL" if isinstance(value, Location) else f"a {type(value).__name__}"
