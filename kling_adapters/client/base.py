"""The parts of a client, and the checks of its arguments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from kling_adapters.client import arguments, settings
from kling_adapters.driver.clock import Clock, SystemClock
from kling_adapters.errors import ConfigError
from kling_adapters.forks import ForkSafeLock
from kling_adapters.hook_objects import Auth, InstantAuth
from kling_adapters.journal.base import BaseJournal
from kling_adapters.journal.journal import Journal
from kling_adapters.journal.null import NullJournal
from kling_adapters.plugins.manager import Plugins
from kling_adapters.plugins.selection import PluginInfo
from kling_adapters.protocol.messages import Key
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.result import ResultData, StoredFile
from kling_adapters.schema.catalog import Catalog

Driver = TypeVar("Driver")
JobHandle = TypeVar("JobHandle")
JobResult = TypeVar("JobResult", bound=ResultData)
Transport = TypeVar("Transport")


class BaseClient(ABC, Generic[Driver, JobHandle, JobResult, Transport]):
    """Settings, plugins and journal of a client."""

    def __init__(
        self,
        *,
        api_key: str | None = None,
        auth: str | None = None,
        base_url: str | None = None,
        plugins: Iterable[object] = (),
        strict_plugins: bool = False,
        journal: str | PathLike[str] | None = "",
        history: bool | None = None,
        resubmit_after: float | None = None,
        timeout: float | None = None,
        rate_limit: float | None = None,
        proxy: str | None = None,
        transport: Transport | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make a client. Nothing is sent, and plugins are loaded when first needed.

        Args:
            api_key: The API key, which is sent to the gateway and nowhere else. By default the key of an
                authentication plugin; the last of them reads the environment variable SEGMIND_API_KEY.
            auth: Name of the authentication plugin, such as "keyring"; by default that of KLING_AUTH, or the
                first that has a key.
            base_url: Another gateway, such as a sandbox; https, or http on this machine. By default that of
                KLING_BASE_URL, or the gateway of Segmind.
            plugins: Plugin objects besides the installed plugins.
            strict_plugins: Raise ConfigError for a broken plugin, instead of continuing without it.
            journal: Path of the journal, which records every submit before it is sent, so that `resume` finds
                the unfinished jobs of a process that died. None for no journal; by default KLING_JOURNAL, or
                a file in the state folder of the user.
            history: Whether the client may read the request history of the account, to find jobs and outputs that
                it would otherwise lose. By default True, or False if KLING_HISTORY is 0. At the gateway of Segmind,
                the history is on another host, which receives the API key.
            resubmit_after: Seconds after which a submit that was cut off is sent once more, if the request history
                could be read throughout and has not listed its job. The risk is yours: if the job is listed later,
                which may take two hours, both are billed. By default never. Needs the journal.
            timeout: Default `timeout` of every call except `map` and `resume`, in seconds.
            rate_limit: Requests a minute of the plan of the key, such as 5 or 50, which are then never exceeded by
                the clients of one journal together. By default that of KLING_RATE_LIMIT, or the limit is learned from
                refused requests.
            proxy: URL of the proxy for every request, such as "http://proxy.example:3128"; it replaces the
                proxies of the environment.
            transport: A transport of httpx or httpx2, or an object with its method `handle_request`, of AsyncKling
                `handle_async_request`, that sends the requests to the gateway, each with the API key. Outputs
                are still downloaded by the client's own transport, which checks their addresses. It must raise
                `ConnectError` or `ConnectTimeout` of its library only if nothing was sent: the submit is then
                repeated.
            clock: Clock of all waits, for tests.

        Raises:
            ConfigError: An argument or an environment variable is invalid. Nothing was sent.

        """
        api_key = key = settings.wrap_key(api_key)
        _check_exclusive({"api_key": key, "auth": auth}, {"proxy": proxy, "transport": transport})
        _check_settings(auth, plugins, strict_plugins, timeout, resubmit_after, proxy, clock)
        self._session = Session(
            settings.resolve_gateway(base_url),
            self._find_auth,
            self._open_journal(journal),
            self._make_job,
            make_result=self._make_result,
            auth=None if key is None else _FixedKey(key),
            uses_history=settings.resolve_history(history),
            resubmit_after=resubmit_after,
            find_schema=self._find_schema,
            rate_limit=settings.resolve_rate_limit(rate_limit),
        )
        self._plugins = Plugins(plugins, strict=strict_plugins)
        self._auth_name, self._timeout, self._lock = auth, timeout, ForkSafeLock()
        self._driver = self._make_driver(clock or SystemClock(), proxy, transport)

    def __repr__(self) -> str:
        # A traceback with local variables shows a client that could not be made, too.
        session: Session | None = getattr(self, "_session", None)
        return (
            f"{type(self).__name__}(base_url={session.gateway.base_url!r})" if session else super().__repr__()
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled: it holds connections and an API key. Make one in "
            "each process, and pass request objects or request ids"
        )

    @property
    def base_url(self) -> str:
        """Base URL of the gateway, as in `JournalEntry.gateway`."""
        return self._session.gateway.base_url

    @property
    def journal_path(self) -> Path | None:
        """Path of the journal; None for a client without one."""
        journal = self._session.journal
        return journal.path if isinstance(journal, Journal) else None

    @property
    def catalog(self) -> Catalog:
        """The models of all loaded plugins, by slug."""
        return self._plugins.catalog

    @property
    def plugins(self) -> tuple[PluginInfo, ...]:
        """All plugins, including broken and disabled ones."""
        return self._plugins.infos

    @abstractmethod
    def _make_driver(self, clock: Clock, proxy: str | None, transport: Transport | None) -> Driver: ...

    @abstractmethod
    def _make_job(self, ref: JobRef) -> JobHandle: ...

    @abstractmethod
    def _make_result(self, data: ResultData, files: tuple[StoredFile, ...] = ()) -> JobResult: ...

    def _open_journal(self, journal: str | PathLike[str] | None) -> BaseJournal:
        path = settings.resolve_journal(journal)
        return NullJournal() if path is None else Journal(path)

    def _find_schema(self, slug: str) -> Mapping[str, Any] | None:
        entry = self.catalog.get(slug)
        return None if entry is None else entry.json_schema()

    def _find_auth(self) -> Auth:
        with self._lock:
            if self._session.auth is None:
                self._session.auth = self._plugins.auth(self._session.gateway.base_url, self._auth_name)
            return self._session.auth


def _check_settings(
    auth: str | None,
    plugins: Iterable[object],
    strict_plugins: bool,
    timeout: float | None,
    resubmit_after: float | None,
    proxy: str | None,
    clock: Clock | None,
) -> None:
    arguments.check_name("auth", auth)
    settings.check_plugins(plugins)
    settings.check_flag("strict_plugins", strict_plugins)
    arguments.check_seconds("timeout", timeout)
    arguments.check_seconds("resubmit_after", resubmit_after)
    settings.check_proxy(proxy)
    settings.check_clock(clock)


def _check_exclusive(*groups: Mapping[str, object]) -> None:
    for group in groups:
        if all(value is not None for value in group.values()):
            raise ConfigError(f"Pass either {' or '.join(group)}, not both. Nothing was sent")


class _FixedKey(InstantAuth):
    """The key of `Kling(api_key=...)`."""

    def __init__(self, key: Key) -> None:
        self._key = key

    def api_key(self) -> Key:
        return self._key

    instant_key = api_key
