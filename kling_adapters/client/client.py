"""Kling and AsyncKling: the same calls, over the same flows, one blocking and one awaitable."""

from __future__ import annotations

import atexit
import json
import math
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from os import PathLike
from queue import Empty, SimpleQueue
from typing import Any, NoReturn, Self, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import anyio

from kling_adapters.client import arguments
from kling_adapters.client.job import AsyncJob, AsyncResult, Job, Result
from kling_adapters.driver import AsyncDriver, Clock, SyncDriver, SystemClock
from kling_adapters.errors import ConfigError, ParamsInvalid
from kling_adapters.forks import ForkSafeLock
from kling_adapters.hookspecs import Auth
from kling_adapters.journal.journal import Journal, JournalEntry
from kling_adapters.media.inputs import check_media, iter_media, replace_media
from kling_adapters.media.reader import MediaError
from kling_adapters.models._calls import AsyncCalls, Extra, SyncCalls
from kling_adapters.plugins.manager import Plugins
from kling_adapters.plugins.selection import PluginInfo
from kling_adapters.problems import Problem
from kling_adapters.protocol import batch, flows
from kling_adapters.protocol.batch import Batch, Ended, Outcome, Request, Task
from kling_adapters.protocol.effects import Flow
from kling_adapters.protocol.flows import JobRef, Session
from kling_adapters.protocol.wire import Key
from kling_adapters.result import Credits, ResultData, StoredFile
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.catalog import Catalog
from kling_adapters.schema.fields import dump_set_fields
from kling_adapters.schema.params import Params

Place: TypeAlias = str | PathLike[str] | None
T = TypeVar("T")


class _GivenKey:
    """The key that the client was given."""

    def __init__(self, key: Key) -> None:
        self._key = key

    def api_key(self) -> Key:
        return self._key


class _Client:
    """What both clients are made of, and how they turn a call into a request body."""

    def __init__(
        self,
        api_key: Key | None,
        auth: str | None,
        base_url: str | None,
        plugins: Iterable[object],
        strict_plugins: bool,
        journal: str | PathLike[str] | None,
        clock: Clock | None,
    ) -> None:
        arguments.check_name("auth", auth)
        arguments.check_plugins(plugins)
        arguments.check_flag("strict_plugins", strict_plugins)
        arguments.check_clock(clock)
        if api_key is not None and auth is not None:
            raise ConfigError(f"Pass either api_key or auth={auth!r}, not both. Nothing was sent")
        gateway = arguments.resolve_gateway(base_url)
        path = arguments.resolve_journal(journal)
        self._session = Session(
            gateway,
            self._find_auth,
            None if path is None else Journal(path),
            self._handle,
            make_result=self._make_result,
        )
        self._plugins = Plugins(plugins, strict=strict_plugins)
        self._auth_name = auth
        self._auth: Auth | None = None if api_key is None else _GivenKey(api_key)
        self._lock = ForkSafeLock()

    def __repr__(self) -> str:
        # A traceback with local variables shows a client that could not be made, too.
        session: Session | None = getattr(self, "_session", None)
        return (
            f"{type(self).__name__}(base_url={session.gateway.base_url!r})" if session else super().__repr__()
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled: it holds connections and an API key. Make one in each process, "
            "and pass request objects or request ids"
        )

    @property
    def catalog(self) -> Catalog:
        """Every model that can be submitted, by slug."""
        return self._plugins.catalog

    @property
    def plugins(self) -> tuple[PluginInfo, ...]:
        """Every plugin that was found, broken and disabled ones too."""
        return self._plugins.found

    def _handle(self, ref: JobRef) -> Job | AsyncJob:
        raise NotImplementedError

    def _make_result(self, data: ResultData) -> Result | AsyncResult:
        raise NotImplementedError

    def _find_auth(self) -> Auth:
        with self._lock:
            if self._auth is None:
                self._auth = self._plugins.auth(self._session.gateway.base_url, self._auth_name)
            return self._auth

    def _prepare(
        self, model: str | Params, params: Mapping[str, Any], extra: Extra
    ) -> tuple[Adapter, Mapping[str, Any]]:
        """Return the adapter and a body that may be sent. Raises ConfigError, UnknownModel or ParamsInvalid."""
        arguments.check_model(model, params)
        if extra is not None:
            arguments.check_mapping("extra", extra)
        if isinstance(model, str):
            valid = self.catalog.find(model).load().model_validate(params)
        else:
            # Once more: model_copy() and changed lists are not validated when they are made.
            valid = type(model).model_validate(dump_set_fields(model))
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
        return valid.adapter, {**_json_object(slug, extra or {}), **dump_set_fields(valid)}

    def _prepare_raw(self, slug: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        arguments.check_slug("slug", slug)
        arguments.check_mapping("params", params)
        return _json_object(slug, params)

    def _submit_flow(
        self,
        slug: str,
        body: Mapping[str, Any],
        adapter: Adapter | None,
        save_to: Place,
        timeout: float | None,
    ) -> Flow[JobRef]:
        arguments.check_seconds("timeout", timeout)
        place = arguments.resolve_place("save_to", save_to)
        return flows.submit_to(self._session, slug, body, adapter, timeout, self._plugins.storage, place)

    def _run_flow(
        self,
        flow: Callable[..., Flow[tuple[ResultData, tuple[StoredFile, ...]]]],
        model: str | Params,
        params: Mapping[str, Any],
        extra: Extra,
        save_to: Place,
        timeout: float | None,
    ) -> Flow[tuple[ResultData, tuple[StoredFile, ...]]]:
        arguments.check_seconds("timeout", timeout)
        place = arguments.resolve_place("save_to", save_to)
        adapter, body = self._prepare(model, params, extra)
        return flow(self._session, adapter, body, timeout, self._plugins.storage, place)

    def _find(self, request_id: str, model: str | None) -> JobRef:
        arguments.check_request_id(request_id)
        if model is not None:
            arguments.check_slug("model", model)
        entry = None if model is None else self.catalog.find(model)
        return JobRef(request_id, model, entry.latency, entry.returns) if entry else JobRef(request_id)

    def _prepare_request(self, request: Request) -> tuple[Adapter, Mapping[str, Any]]:
        if isinstance(request, Params):
            return self._prepare(request, {}, None)
        if not isinstance(request, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                f"a request of type {type(request).__name__} cannot be sent; expected an object such as Kling2(...) or "
                'a mapping {"model": "kling-2", "prompt": ...}. Nothing was sent for it'
            )
        arguments.check_mapping("a request", request)
        params = dict(request)
        model = params.pop("model", None)
        if not isinstance(model, str):
            raise ConfigError(
                f"a request of a batch names its model, a slug; not {model!r}. Nothing was sent for it"
            )
        return self._prepare(model, params, None)

    def _map(
        self,
        requests: Iterable[Request],
        concurrency: int,
        save_to: Place,
        max_cost: float | None,
        name: str | None,
    ) -> tuple[Batch, Flow[None]]:
        self._session.check_open()
        arguments.check_requests(requests)
        arguments.check_concurrency(concurrency)
        arguments.check_max_cost(max_cost)
        arguments.check_name("name", name)
        place = arguments.resolve_place("save_to", save_to)
        many = Batch(self._session, self._plugins.storage, concurrency)
        return many, many.open_requests(requests, self._prepare_request, place, max_cost, name)

    def _resume(self, save_to: Place, concurrency: int) -> tuple[Batch, Flow[None]]:
        self._session.check_open()
        arguments.check_concurrency(concurrency)
        place = arguments.resolve_place("save_to", save_to)
        many = Batch(self._session, self._plugins.storage, concurrency)
        return many, many.open_journal(self._find_adapter, place)

    def _find_adapter(self, model: str) -> Adapter | None:
        entry = self.catalog.get(model)
        return entry.load().adapter if entry else None


def _json_object(model: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `body` if it can be sent as JSON once its local media is uploaded. Raises ParamsInvalid with all that cannot."""
    problems: list[Problem] = []
    for name, value in body.items():
        try:
            for media in iter_media(value):
                check_media(media)
            json.dumps(replace_media(value, lambda _: ""), allow_nan=False)
        except MediaError as error:
            problems.append(Problem(str(name), str(error), value))
        except (TypeError, ValueError, RecursionError) as error:
            problems.append(Problem(str(name), f"cannot be written as JSON: {error}", value))
    if problems:
        raise ParamsInvalid(model, problems)
    return body


_OPEN_BATCHES: WeakKeyDictionary[Generator[Any], Batch] = WeakKeyDictionary()


def _close_at_exit(many: Batch, outcomes: Generator[T]) -> Generator[T]:
    """Return the outcomes of a batch, which is left at exit if the caller has not: its submits are still answered then."""
    _OPEN_BATCHES[outcomes] = many
    return outcomes


def _wait_for(ends: SimpleQueue[T]) -> T:
    """Return the next item. A signal that comes just before a wait without a limit is handled only after the wait."""
    while True:
        with suppress(Empty):
            return ends.get(timeout=batch.NAP)


@atexit.register
def _close_batches() -> None:
    for outcomes, many in list(_OPEN_BATCHES.items()):
        many.leave()
        try:
            outcomes.close()
        except ValueError:
            # Another thread, which ends with the process, takes outcomes at this moment.
            end = time.monotonic() + flows.LONGEST_EXCHANGE
            while many.is_submitting and time.monotonic() < end:
                time.sleep(0.01)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_OPEN_BATCHES.clear)


class Kling(SyncCalls, _Client):
    """A client for the Kling models on the Segmind serverless API; use it in a `with` block, from any thread.

    `api_key`: by default what an authentication plugin gives, last of all the environment variable SEGMIND_API_KEY;
    `auth`: the name of the plugin to ask, such as "keyring"; by default that of KLING_AUTH, or any that answers.
    `base_url`: another gateway, such as a sandbox; https, or http on this machine. By default that of KLING_BASE_URL, or
    the gateway of Segmind.
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
        base_url: str | None = None,
        plugins: Iterable[object] = (),
        strict_plugins: bool = False,
        journal: str | PathLike[str] | None = "",
        clock: Clock | None = None,
    ) -> None:
        # At once: a traceback with local variables would show the text.
        api_key = key = arguments.wrap_key(api_key)
        _Client.__init__(self, key, auth, base_url, plugins, strict_plugins, journal, clock)
        self._driver = SyncDriver(self._session, self._plugins, clock or SystemClock())

    def __enter__(self) -> Self:
        self._session.check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and the journal, and let plugins finish. Later calls raise ConfigError."""
        self._session.closed.set()
        self._driver.close()
        self._session.close()

    def _submit(
        self,
        model: str | Params,
        params: Mapping[str, Any],
        extra: Extra,
        save_to: Place,
        timeout: float | None,
    ) -> Job:
        adapter, body = self._prepare(model, params, extra)
        flow = self._submit_flow(adapter.slug, body, adapter, save_to, timeout)
        return self._handle(self._driver.run(flow))

    def _handle(self, ref: JobRef) -> Job:
        return Job(self._driver, ref)

    def _make_result(self, data: ResultData, files: tuple[StoredFile, ...] = ()) -> Result:
        return Result(**vars(data), saved=files, _driver=self._driver)

    def _run(
        self,
        model: str | Params,
        params: Mapping[str, Any],
        extra: Extra,
        save_to: Place,
        timeout: float | None,
    ) -> Result:
        flow = self._run_flow(flows.run, model, params, extra, save_to, timeout)
        return self._make_result(*(self._driver.run(flow)))

    def _run_sync(
        self,
        model: str | Params,
        params: Mapping[str, Any],
        extra: Extra,
        save_to: Place,
        timeout: float | None,
    ) -> Result:
        flow = self._run_flow(flows.run_sync_to, model, params, extra, save_to, timeout)
        return self._make_result(*(self._driver.run(flow)))

    def submit_raw(
        self,
        slug: str,
        params: Mapping[str, Any],
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
    ) -> Job:
        """Submit to a model that no spec describes; local media is uploaded. Nothing is checked but that the rest is JSON.

        `save_to` and `timeout` as for `submit`. Raises as `submit` does.
        """
        flow = self._submit_flow(slug, self._prepare_raw(slug, params), None, save_to, timeout)
        return self._handle(self._driver.run(flow))

    def job(self, request_id: str, model: str | None = None) -> Job:
        """Return the handle of a job submitted earlier; `model`, its slug, helps to pace the polls.

        The gateway knows a job for an hour. Later, `wait` returns the result that the journal holds, if it holds one.
        """
        return self._handle(self._find(request_id, model))

    def map(
        self,
        requests: Iterable[Request],
        *,
        concurrency: int = 16,
        save_to: str | PathLike[str] | None = None,
        max_cost: float | None = None,
        name: str | None = None,
    ) -> Generator[Outcome[Result]]:
        """Bring every request to its end, `concurrency` at a time, and yield how each ended, the first to end first.

        A request is an object such as Kling2(...), or a mapping {"model": "kling-2", "prompt": ...}; each is taken
        from `requests` when there is room for it. A caller who takes outcomes slowly keeps no running job from being
        finished and stored in `save_to`; nothing more is submitted meanwhile.
        `name`: of the batch. What the journal knows under it, the same model and parameters as often as they come, is
        never submitted again: it is waited for, or stored, or reported as it ended. Only a submit that was refused is.
        `max_cost`: credits. Nothing is submitted that could exceed them, going by the highest cost seen of its model;
        while none is known, one job of the model is submitted at a time. The iteration then ends early. Jobs of earlier
        runs of the same name count.
        A request that cannot be sent is an outcome with its error, and the others go on. If `requests` itself raises,
        what was submitted is brought to its end before the error is raised here. Nothing more is submitted once the
        gateway refuses the key or the account has no credits, or three jobs in a row could not be stored: a warning of
        the log says so, and the iteration ends when the running jobs have ended.
        With a `name`, a file that is gone, or that was stored elsewhere than in `save_to`, is stored again while the
        gateway keeps it, for seven days; the log says so.
        Leaving early, with `contextlib.closing`, waits for requests that are being answered and no longer; jobs that
        were submitted go on, and are found by `resume`, or by the same `name`.
        Raises ConfigError and StorageError before anything is sent. The error of one job is in its outcome.
        """
        many, opening = self._map(requests, concurrency, save_to, max_cost, name)
        return _close_at_exit(many, self._each(many, opening))

    def resume(
        self, *, save_to: str | PathLike[str] | None = None, concurrency: int = 32
    ) -> Generator[Outcome[Result]]:
        """Bring every unfinished job of the journal and of this gateway to its end, and yield how each ended.

        What is stored goes where the job was submitted for, otherwise to `save_to`; with `save_to`, jobs that completed
        within seven days and were never stored are stored, too. Uncertain submits are reported,
        as SubmitUncertain with the number of their entry, and never submitted again. Leave it early as `map`.
        Raises ConfigError without a journal.
        """
        many, opening = self._resume(save_to, concurrency)
        return _close_at_exit(many, self._each(many, opening))

    def jobs(self) -> list[JournalEntry]:
        """Return every submit of the journal, the oldest first. Raises ConfigError if there is no journal."""
        return self._driver.run(batch.jobs(self._session))

    def _each(self, many: Batch, opening: Flow[None]) -> Generator[Outcome[Result]]:
        ended: SimpleQueue[Ended | None] = SimpleQueue()
        many.wake = partial(ended.put, None)

        def work(task: Task) -> None:
            ended.put(self._driver.run(many.flow(task)))

        process = os.getpid()
        try:
            self._driver.run(opening)
            while True:
                for task in many.ready():
                    # A daemon: a job that takes minutes must not keep the process from ending.
                    thread = threading.Thread(target=copy_context().run, args=(work, task), daemon=True)
                    try:
                        thread.start()
                    except RuntimeError as error:
                        # There are too many threads, or the interpreter ends: nobody would ever hand back the end.
                        many.end(Ended(task, None, None, (), error))
                        raise
                if not many.running:
                    break
                many.end(one := _wait_for(ended))
                # When the process ends, what was cut off is no outcome.
                if one is not None and not many.is_left:
                    yield self._outcome(one)
            if many.failure is not None:
                raise many.failure
        finally:
            many.leave()
            # The threads are gone in a forked child, and when the interpreter is being torn down.
            while many.running and os.getpid() == process and not sys.is_finalizing():
                many.end(_wait_for(ended))
            many.close()

    def _outcome(self, ended: Ended) -> Outcome[Result]:
        task, data = ended.task, ended.data
        result = None if data is None else self._make_result(data, ended.files)
        return Outcome(task.index, task.model, ended.request_id, result, ended.error)

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
        base_url: str | None = None,
        plugins: Iterable[object] = (),
        strict_plugins: bool = False,
        journal: str | PathLike[str] | None = "",
        clock: Clock | None = None,
    ) -> None:
        # At once: a traceback with local variables would show the text.
        api_key = key = arguments.wrap_key(api_key)
        _Client.__init__(self, key, auth, base_url, plugins, strict_plugins, journal, clock)
        self._driver = AsyncDriver(self._session, self._plugins, clock or SystemClock())

    async def __aenter__(self) -> Self:
        self._session.check_open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection and the journal, and let plugins finish. Later calls raise ConfigError."""
        self._session.closed.set()
        await self._driver.close()
        self._session.close()

    async def _submit(
        self,
        model: str | Params,
        params: Mapping[str, Any],
        extra: Extra,
        save_to: Place,
        timeout: float | None,
    ) -> AsyncJob:
        adapter, body = self._prepare(model, params, extra)
        flow = self._submit_flow(adapter.slug, body, adapter, save_to, timeout)
        return self._handle(await self._driver.run(flow))

    def _handle(self, ref: JobRef) -> AsyncJob:
        return AsyncJob(self._driver, ref)

    def _make_result(self, data: ResultData, files: tuple[StoredFile, ...] = ()) -> AsyncResult:
        return AsyncResult(**vars(data), saved=files, _driver=self._driver)

    async def _run(
        self,
        model: str | Params,
        params: Mapping[str, Any],
        extra: Extra,
        save_to: Place,
        timeout: float | None,
    ) -> AsyncResult:
        flow = self._run_flow(flows.run, model, params, extra, save_to, timeout)
        return self._make_result(*(await self._driver.run(flow)))

    async def _run_sync(
        self,
        model: str | Params,
        params: Mapping[str, Any],
        extra: Extra,
        save_to: Place,
        timeout: float | None,
    ) -> AsyncResult:
        flow = self._run_flow(flows.run_sync_to, model, params, extra, save_to, timeout)
        return self._make_result(*(await self._driver.run(flow)))

    async def submit_raw(
        self,
        slug: str,
        params: Mapping[str, Any],
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
    ) -> AsyncJob:
        """See Kling.submit_raw."""
        flow = self._submit_flow(slug, self._prepare_raw(slug, params), None, save_to, timeout)
        return self._handle(await self._driver.run(flow))

    def job(self, request_id: str, model: str | None = None) -> AsyncJob:
        """See Kling.job."""
        return self._handle(self._find(request_id, model))

    def map(
        self,
        requests: Iterable[Request],
        *,
        concurrency: int = 16,
        save_to: str | PathLike[str] | None = None,
        max_cost: float | None = None,
        name: str | None = None,
    ) -> AsyncGenerator[Outcome[AsyncResult]]:
        """See Kling.map. Iterate it in one task, within `contextlib.aclosing` to leave early; a time limit goes round the loop.

        Cancelling stops at once: a submit that was not answered yet is uncertain then, the rest can be resumed.
        """
        return self._each(*self._map(requests, concurrency, save_to, max_cost, name))

    def resume(
        self, *, save_to: str | PathLike[str] | None = None, concurrency: int = 32
    ) -> AsyncGenerator[Outcome[AsyncResult]]:
        """See Kling.resume, and `map` for how to iterate it."""
        return self._each(*self._resume(save_to, concurrency))

    async def jobs(self) -> list[JournalEntry]:
        """See Kling.jobs."""
        return await self._driver.run(batch.jobs(self._session))

    async def _each(self, many: Batch, opening: Flow[None]) -> AsyncGenerator[Outcome[AsyncResult]]:
        ends, ended = anyio.create_memory_object_stream[Ended | None](math.inf)
        many.wake = partial(ends.send_nowait, None)

        async def work(task: Task) -> None:
            ends.send_nowait(await self._driver.run(many.flow(task)))

        failure: BaseException | None = None
        try:
            with ends, ended:
                await self._driver.run(opening)
                async with anyio.create_task_group() as group:
                    try:
                        while True:
                            for task in many.ready():
                                group.start_soon(work, task)
                            if not many.running:
                                break
                            many.end(one := await ended.receive())
                            if one is not None:
                                yield self._outcome(one)
                    except (GeneratorExit, Exception) as error:  # noqa: BLE001
                        # Raised in here, it would cancel what is being submitted, as a cancellation does.
                        failure = error
                    many.leave()
                    while many.running:
                        many.end(await ended.receive())
            if failure is not None or (failure := many.failure) is not None:
                raise failure
        finally:
            many.close()

    def _outcome(self, ended: Ended) -> Outcome[AsyncResult]:
        task, data = ended.task, ended.data
        result = None if data is None else self._make_result(data, ended.files)
        return Outcome(task.index, task.model, ended.request_id, result, ended.error)

    async def credits(self) -> Credits:
        """See Kling.credits."""
        return await self._driver.run(flows.remaining_credits(self._session))
