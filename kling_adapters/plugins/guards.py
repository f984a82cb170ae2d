"""Checks at the border to plugins: what they raise and return reaches the rest of the client in known forms only."""

from __future__ import annotations

import logging
import signal
import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeGuard, TypeVar, cast

import pluggy

from kling_adapters.errors import ConfigError, KlingError, StorageError
from kling_adapters.hookspecs import (
    Auth,
    JobContext,
    JobStorage,
    KeyPool,
    Location,
    RenewableAuth,
    Storage,
    Writer,
)

log = logging.getLogger("kling_adapters")

T = TypeVar("T")


class PluginExit(Exception):
    """A plugin tried to end the process, with sys.exit() say."""


@contextmanager
def contain_exits() -> Generator[None]:
    """Turn exceptions that would end the process into PluginExit; Ctrl-C, and other signals of the user, pass."""
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        if is_from_user(error):
            raise
        raise PluginExit(describe(error)) from error


def is_from_user(error: BaseException) -> bool:
    """Whether an exception was raised by Ctrl-C or by a signal handler of the application."""
    if threading.current_thread() is not threading.main_thread():
        return False
    handlers = [getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()]
    frames = traceback.walk_tb(error.__traceback__)
    return isinstance(error, KeyboardInterrupt) or any(frame.f_code in handlers for frame, _ in frames)


def describe(error: BaseException) -> str:
    """Return what an exception says, with its kind."""
    if isinstance(error, PluginExit):
        return str(error)
    return f"{type(error).__name__}: {error}".strip(": ")


def call_hook(implementation: pluggy.HookImpl, **arguments: Any) -> Any:
    """Call one implementation of a hook with as many of the arguments as it takes."""
    with contain_exits():
        return implementation.function(*(arguments[name] for name in implementation.argnames))


def guard_auth(plugin: str, auth: Auth) -> Auth:
    """Return an Auth that checks what the one of a plugin returns, with the same optional methods."""
    if isinstance(auth, KeyPool):
        return _GuardedPool(plugin, auth)
    if isinstance(auth, RenewableAuth):
        return _GuardedRenewable(plugin, auth)
    return _GuardedAuth(plugin, auth)


def guard_storage(plugin: str, storage: Storage) -> Storage:
    """Return a Storage that checks what the one of a plugin returns, with the same optional method."""
    if isinstance(storage, JobStorage):
        return _GuardedJobStorage(plugin, storage)
    return _GuardedStorage(plugin, storage)


class _GuardedAuth:
    def __init__(self, plugin: str, auth: Auth) -> None:
        self.plugin = plugin
        self._auth = auth

    def api_key(self) -> str:
        try:
            with contain_exits():
                key: object = self._auth.api_key()
        except KlingError:
            raise
        except Exception as error:  # noqa: BLE001  its text is not repeated: it may hold the key
            kind = type(error.__cause__ if isinstance(error, PluginExit) else error).__name__
            raise ConfigError(
                f"the plugin {self.plugin} that gives the API key failed with {kind}; nothing was sent"
            ) from None
        if not _is_text(key):
            raise ConfigError(
                f"the plugin {self.plugin} gave a {type(key).__name__} as the API key; expected a str. "
                "Nothing was sent"
            )
        return key


class _GuardedRenewable(_GuardedAuth):
    def __init__(self, plugin: str, auth: RenewableAuth) -> None:
        super().__init__(plugin, auth)
        self._renewable = auth

    def refused(self, key: str, status: int, retry_after: float | None) -> bool:
        return bool(self._call("refused", lambda: self._renewable.refused(key, status, retry_after)))

    def _call(self, method: str, function: Callable[[], T]) -> T | None:
        """Call a method whose failure must not harm a job that may be paid for."""
        try:
            with contain_exits():
                return function()
        except Exception as error:  # noqa: BLE001  without its text and traceback: they may hold a key
            log.error(  # noqa: TRY400
                "plugin %s failed in %s() with %s; the job goes on",
                *(self.plugin, method, type(error).__name__),
            )
            return None


class _GuardedPool(_GuardedRenewable):
    def __init__(self, plugin: str, auth: KeyPool) -> None:
        super().__init__(plugin, auth)
        self._pool = auth

    def keys(self) -> list[str]:
        keys = self._call("keys", lambda: list(self._pool.keys()))
        return [key for key in keys or () if _is_text(key)]

    def accepted(self, key: str, request_id: str) -> None:
        self._call("accepted", lambda: self._pool.accepted(key, request_id))

    def key_of(self, request_id: str) -> str | None:
        key = self._call("key_of", lambda: self._pool.key_of(request_id))
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
                f"the plugin {self._plugin} opened a {type(writer).__name__} for the file; "
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
                f"the plugin {self._plugin} does not say where the file is: commit() returned "
                f"{_shape(location)}; expected a Location with a URL. The file may be stored"
            )
        return location

    def abort(self) -> None:
        try:
            with contain_exits():
                self._writer.abort()
        except Exception:
            log.exception("plugin %s failed in abort(); a part of a file may be left", self._plugin)


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def _is_location(value: object) -> TypeGuard[Location]:
    if not isinstance(value, Location):
        return False
    url, link = cast("tuple[object, object]", (value.url, value.link))
    return isinstance(url, str) and bool(url) and (link is None or isinstance(link, str))


def _shape(value: object) -> str:
    # Not its text: the link of a Location opens the file to whoever reads it.
    return "a Location without a URL" if isinstance(value, Location) else f"a {type(value).__name__}"
