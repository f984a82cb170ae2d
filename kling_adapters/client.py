"""Kling and AsyncKling: the same calls, over the same flows, one blocking and one awaitable."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import PathLike, fspath
from typing import Any, Self

from kling_adapters import flows
from kling_adapters.adapter import Adapter
from kling_adapters.catalog import Catalog
from kling_adapters.discovery import PluginInfo
from kling_adapters.driver import AsyncDriver, Clock, SyncDriver, SystemClock
from kling_adapters.errors import ConfigError, ParamsInvalid, Problem, StorageError
from kling_adapters.flows import JobRef, Session
from kling_adapters.hookspecs import Auth, KeyPool, Storage
from kling_adapters.job import AsyncJob, AsyncResult, Job, Result
from kling_adapters.journal import Journal, default_path
from kling_adapters.models._calls import AsyncCalls, Extra, SyncCalls
from kling_adapters.models._gateway import BASE_URL
from kling_adapters.params import Params, given
from kling_adapters.plugins import Plugins
from kling_adapters.result import Credits
from kling_adapters.wire import Gateway


class _GivenKey:
    """The key that the client was given."""

    def __init__(self, key: str) -> None:
        self._key = key

    def api_key(self) -> str:
        return self._key


class _Client:
    """What both clients are made of, and how they turn a call into a request body."""

    def __init__(
        self,
        api_key: str | None,
        auth: str | None,
        base_url: str,
        plugins: Iterable[object],
        strict_plugins: bool,
        journal: str | PathLike[str] | None,
    ) -> None:
        if api_key is not None and auth is not None:
            raise ConfigError(f"both an api_key and auth={auth!r} are given: one of them is to be used")
        path = default_path() if journal == "" else journal
        self._session = Session(Gateway(base_url), self._find_auth, None if path is None else Journal(path))
        self._plugins = Plugins(plugins, strict=strict_plugins)
        self._auth_name = auth
        self._auth: Auth | None = _GivenKey(api_key) if api_key else None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._session.gateway.base_url!r})"

    @property
    def catalog(self) -> Catalog:
        """Every model that can be submitted, by slug."""
        return self._plugins.catalog

    @property
    def plugins(self) -> tuple[PluginInfo, ...]:
        """Every plugin that was found, broken and disabled ones too."""
        return self._plugins.found

    def _find_auth(self) -> Auth:
        with self._lock:
            if self._auth is None:
                self._auth = self._plugins.auth(self._session.gateway.base_url, self._auth_name)
            return self._auth

    def _find_key(self, request_id: str | None) -> str:
        """Return the key for a request that starts nothing; one about a job takes the key that submitted it."""
        auth = self._find_auth()
        known = auth.key_of(request_id) if request_id is not None and isinstance(auth, KeyPool) else None
        return known or auth.api_key()

    def _prepare(
        self, model: str | Params, params: Mapping[str, Any], extra: Extra
    ) -> tuple[Adapter, Mapping[str, Any]]:
        """Return the adapter and a body that may be sent. Raises UnknownModel or ParamsInvalid."""
        if isinstance(model, str):
            valid = self.catalog.find(model).load().model_validate(params)
        else:
            # Once more: model_copy() and changed lists are not validated when they are made.
            valid = type(model).model_validate(given(model))
        slug = valid.adapter.slug
        known = {field.alias or name for name, field in type(valid).model_fields.items()}
        problems = [
            Problem(name, "the spec knows it: give it as a parameter, not as extra")
            for name in extra or ()
            if name in known
        ]
        if problems:
            raise ParamsInvalid(slug, problems)
        # Local media stays in the body until the flow uploads it.
        return valid.adapter, {**_json_object(slug, extra or {}), **given(valid)}

    def _find(self, request_id: str, model: str | None) -> JobRef:
        entry = None if model is None else self.catalog.find(model)
        return JobRef(request_id, model, entry.latency, entry.returns) if entry else JobRef(request_id)


def _json_object(model: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `body` if it can be sent as JSON. Raises ParamsInvalid naming each parameter that cannot."""
    problems: list[Problem] = []
    for name, value in body.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            problems.append(Problem(str(name), f"cannot be written as JSON: {error}", value))
    if problems:
        raise ParamsInvalid(model, problems)
    return body


class Kling(SyncCalls, _Client):
    """A client for the Kling models on the Segmind serverless API; use it in a `with` block, from any thread.

    `api_key`: by default what an authentication plugin gives, last of all the environment variable SEGMIND_API_KEY;
    `auth`: the name of the plugin to ask, such as "keyring"; by default that of KLING_AUTH, or any that answers.
    `base_url`: another gateway, such as a sandbox; https, or http on this machine.
    `journal`: the file that every submit is written to before it is sent, so that `resume` finds what a process left
    unfinished when it died; None for none, by default KLING_JOURNAL or a file in the state folder of the user.
    `plugins`: plugin objects besides the installed ones; `strict_plugins`: a broken plugin is a ConfigError.
    `clock`: time, for tests. The key is sent to `base_url` and nowhere else.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        auth: str | None = None,
        base_url: str = BASE_URL,
        plugins: Iterable[object] = (),
        strict_plugins: bool = False,
        journal: str | PathLike[str] | None = "",
        clock: Clock | None = None,
    ) -> None:
        _Client.__init__(self, api_key, auth, base_url, plugins, strict_plugins, journal)
        self._driver = SyncDriver(self._session, self._plugins, self._find_key, clock or SystemClock())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and the journal, and let plugins finish."""
        self._driver.close()
        self._session.close()

    def _submit(self, model: str | Params, params: Mapping[str, Any], extra: Extra) -> Job:
        return self._start(*self._prepare(model, params, extra))

    def _start(self, adapter: Adapter, body: Mapping[str, Any], save_to: str | None = None) -> Job:
        return Job(
            self._driver,
            self._driver.run(flows.submit(self._session, adapter.slug, body, adapter, save_to)),
        )

    def _run(
        self,
        model: str | Params,
        params: Mapping[str, Any],
        extra: Extra,
        save_to: str | PathLike[str] | None,
        timeout: float | None,
    ) -> Result:
        prepared = self._prepare(model, params, extra)
        storage: Storage | None = None
        if save_to is not None:
            storage = self._driver.run(flows.open_storage(self._plugins.storage, fspath(save_to)))
        result = self._start(*prepared, None if save_to is None else fspath(save_to)).wait(timeout)
        if storage is None:
            return result
        return replace(result, saved=self._driver.run(flows.collect(self._session, result, storage)))

    def _run_sync(
        self,
        model: str | Params,
        params: Mapping[str, Any],
        extra: Extra,
        save_to: str | PathLike[str] | None,
        timeout: float | None,
    ) -> Result:
        adapter, body = self._prepare(model, params, extra)
        storage: Storage | None = None
        if save_to is not None:
            storage = self._driver.run(flows.open_storage(self._plugins.storage, fspath(save_to)))
        data = self._driver.run(flows.run_sync(self._session, adapter, body, timeout))
        result = Result(**vars(data), _driver=self._driver)
        if storage is None:
            return result
        try:
            return replace(result, saved=self._driver.run(flows.collect(self._session, result, storage)))
        except StorageError as error:
            error.result = result
            raise

    def submit_raw(self, slug: str, params: Mapping[str, Any]) -> Job:
        """Submit to a model that no spec describes: nothing is checked but that it is JSON. Raises as `submit` does."""
        return Job(
            self._driver,
            self._driver.run(flows.submit(self._session, slug, _json_object(slug, params))),
        )

    def job(self, request_id: str, model: str | None = None) -> Job:
        """Return the handle of a job submitted earlier, for up to an hour; `model`, its slug, helps to pace the polls."""
        return Job(self._driver, self._find(request_id, model))

    def credits(self) -> Credits:
        """Ask what is left on the account; costs nothing. Raises ApiError or TransportError."""
        return self._driver.run(flows.remaining_credits(self._session))


class AsyncKling(AsyncCalls, _Client):
    """Kling, with `async with` and `await`; see there for the arguments. For asyncio, and trio through anyio."""

    def __init__(
        self,
        *,
        api_key: str | None = None,
        auth: str | None = None,
        base_url: str = BASE_URL,
        plugins: Iterable[object] = (),
        strict_plugins: bool = False,
        journal: str | PathLike[str] | None = "",
        clock: Clock | None = None,
    ) -> None:
        _Client.__init__(self, api_key, auth, base_url, plugins, strict_plugins, journal)
        self._driver = AsyncDriver(self._session, self._plugins, self._find_key, clock or SystemClock())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection and the journal, and let plugins finish."""
        await self._driver.close()
        self._session.close()

    async def _submit(self, model: str | Params, params: Mapping[str, Any], extra: Extra) -> AsyncJob:
        return await self._start(*self._prepare(model, params, extra))

    async def _start(self, adapter: Adapter, body: Mapping[str, Any], save_to: str | None = None) -> AsyncJob:
        return AsyncJob(
            self._driver,
            await self._driver.run(flows.submit(self._session, adapter.slug, body, adapter, save_to)),
        )

    async def _run(
        self,
        model: str | Params,
        params: Mapping[str, Any],
        extra: Extra,
        save_to: str | PathLike[str] | None,
        timeout: float | None,
    ) -> AsyncResult:
        prepared = self._prepare(model, params, extra)
        storage: Storage | None = None
        if save_to is not None:
            storage = await self._driver.run(flows.open_storage(self._plugins.storage, fspath(save_to)))
        result = await (await self._start(*prepared, None if save_to is None else fspath(save_to))).wait(
            timeout
        )
        if storage is None:
            return result
        return replace(result, saved=await self._driver.run(flows.collect(self._session, result, storage)))

    async def _run_sync(
        self,
        model: str | Params,
        params: Mapping[str, Any],
        extra: Extra,
        save_to: str | PathLike[str] | None,
        timeout: float | None,
    ) -> AsyncResult:
        adapter, body = self._prepare(model, params, extra)
        storage: Storage | None = None
        if save_to is not None:
            storage = await self._driver.run(flows.open_storage(self._plugins.storage, fspath(save_to)))
        data = await self._driver.run(flows.run_sync(self._session, adapter, body, timeout))
        result = AsyncResult(**vars(data), _driver=self._driver)
        if storage is None:
            return result
        try:
            return replace(
                result, saved=await self._driver.run(flows.collect(self._session, result, storage))
            )
        except StorageError as error:
            error.result = result
            raise

    async def submit_raw(self, slug: str, params: Mapping[str, Any]) -> AsyncJob:
        """See Kling.submit_raw."""
        body = _json_object(slug, params)
        return AsyncJob(self._driver, await self._driver.run(flows.submit(self._session, slug, body)))

    def job(self, request_id: str, model: str | None = None) -> AsyncJob:
        """See Kling.job."""
        return AsyncJob(self._driver, self._find(request_id, model))

    async def credits(self) -> Credits:
        """See Kling.credits."""
        return await self._driver.run(flows.remaining_credits(self._session))
