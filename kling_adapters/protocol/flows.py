"""Submit, ask, wait and collect, as generators of effects: no I/O, no clock, no async.

A flow yields what it wants done and is handed the outcome; a driver (`driver.py`) does it, blocking or not. Whatever
fails in a driver is raised inside the flow. So both clients run the same text, and tests run it on scripted outcomes.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NoReturn, ParamSpec, TypeAlias, TypeVar

from kling_adapters import errors
from kling_adapters._text import escape
from kling_adapters.events import (
    Completed,
    Expired,
    Failed,
    StateChanged,
    Stored,
    SubmitFailed,
    Submitted,
)
from kling_adapters.hookspecs import Auth, JobContext, KeyPool, RenewableAuth, Storage
from kling_adapters.journal.base import BaseJournal
from kling_adapters.journal.entries import EXPIRED, REFUSED, UNCERTAIN, fingerprint
from kling_adapters.journal.null import NullJournal
from kling_adapters.media import urls
from kling_adapters.media.inputs import describe_media, digest_media, iter_media, replace_media
from kling_adapters.media.reader import LocalMedia, MediaError
from kling_adapters.media.uploads import Uploads
from kling_adapters.media.urls import DataUrl
from kling_adapters.models._gateway import OUTPUT_LIFETIME, STATES, STATUSES
from kling_adapters.protocol import polling, recall, wire
from kling_adapters.protocol.download import Download, safe_stem
from kling_adapters.protocol.effects import Call, Emit, Fetch, Flow, Now, Send, Sleep
from kling_adapters.result import Artifact, Credits, JobStatus, ResultData, StoredFile
from kling_adapters.schema.adapter import Adapter, Returns

log = logging.getLogger("kling_adapters")

STATUS_BUDGET = 30.0
"""Seconds within which a single question is repeated when it fails."""
UPLOAD_BUDGET = 300.0
"""Seconds within which an upload is repeated when it fails."""
UPLOAD_LIFETIME = OUTPUT_LIFETIME - 86400.0
"""Seconds for which an uploaded file is used again: a day less than it lives, so that the job still finds it."""
MISSING_LIMIT = 3
"""How often the gateway must not know a job before it is taken to have expired: one wrong 404 must not lose it."""
MAX_TOTAL_BYTES = 16 * 1024**3
"""Bytes that the files of one result may have together."""
DOWNLOAD_FAILURES = 8
"""How often in a row a download may bring nothing new."""
LONGEST_TURN = 1800.0
"""Seconds for which a submit waits until the rate limit of its key lets it go."""
SHORTEST_EXCHANGE = 5.0
LONGEST_EXCHANGE = 120.0
"""Seconds for one request and its answer, body included, when a timeout bounds them."""


def _usable_key(auth: Auth) -> wire.Key:
    """Return the key that a plugin gives. Raises ConfigError if it gives none that can be used."""
    try:
        key = _key(auth.api_key())
    except errors.KlingError:
        raise
    except Exception as error:  # noqa: BLE001  its text is not repeated: it may hold the key
        raise errors.ConfigError(
            f"the plugin that gives the API key failed with {type(error).__name__}; nothing was sent"
        ) from None
    if key is None or not re.fullmatch("[!-~]+", key):
        raise errors.ConfigError(
            "the API key is empty, no text, or holds characters that no key has, such as spaces; nothing was sent"
        )
    return key


def _key(given: Any) -> wire.Key | None:
    return wire.Key(given) if isinstance(given, str) else None


FindStorage: TypeAlias = Callable[[str], Storage]
T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """What all flows of a client share: its gateway, where its key comes from, and its journal if it keeps one.

    `handle` makes what the user knows a job by, and `make_result` a result, for the errors that carry one. `closed` is
    set once the client is closed.
    """

    gateway: wire.Gateway
    find_auth: Callable[[], Auth]
    journal: BaseJournal = field(default_factory=NullJournal)
    handle: Callable[[JobRef], Any] = lambda job: job
    make_result: Callable[[ResultData], Any] = lambda data: data
    closed: threading.Event = field(default_factory=threading.Event, repr=False)
    budgets: dict[str, polling.Budget] = field(default_factory=dict[str, polling.Budget], repr=False)
    uploads: Uploads = field(default_factory=Uploads)

    def check_open(self, request_id: str | None = None) -> None:
        """Raise ConfigError if the client is closed: nothing may be sent or written down any more, for a job or at all."""
        if not self.closed.is_set():
            return
        consequence = "Nothing was sent"
        if request_id is not None:
            # It may have been closed between the submit and the end of the job.
            consequence = (
                f"Job {request_id} is not affected and may be billed; within the hour, ask for it with "
                f'kling.job("{request_id}")'
            )
        raise errors.ConfigError(f"this client is closed; make a new one. {consequence}")

    def find_key(self, request_id: str | None) -> wire.Key:
        """Return the key for a request that starts nothing; one about a job takes the key that submitted it."""
        auth = self.find_auth()
        if request_id is None or not isinstance(auth, KeyPool):
            return _usable_key(auth)
        return _key(self._known_key(auth, request_id)) or _usable_key(auth)

    def check_key(self) -> None:
        """Raise ConfigError if there is no key at all. A pool is not asked: it would count the key as in use."""
        auth = self.find_auth()
        if not isinstance(auth, KeyPool):
            _usable_key(auth)

    def has_another_key(self, key: wire.Key) -> bool:
        """Report a key that the gateway took for no valid one; a pool hears of it when it submits."""
        auth = self.find_auth()
        if isinstance(auth, KeyPool) or not isinstance(auth, RenewableAuth):
            return False
        return bool(_tell(auth.refused, key, 401, None))

    def _known_key(self, auth: KeyPool, request_id: str) -> str | None:
        known = auth.key_of(request_id)
        if known is None and (entry := self.journal.find(self.gateway.base_url, request_id)) is not None:
            pool = auth.keys()
            known = next((key for key in pool if fingerprint(key) == entry.key), None)
            if known is not None:
                _tell(auth.accepted, known, request_id)
        return known

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()


@dataclass(frozen=True)
class JobRef:
    """What is known of a job without asking: `latency` in seconds; model, latency and returns are None after a restart."""

    request_id: str
    model: str | None = None
    latency: float | None = None
    returns: Returns | None = None

    @classmethod
    def of(cls, request_id: str, model: str, adapter: Adapter | None) -> JobRef:
        """Return what is known of a job of a model, described by its `adapter` if there is one."""
        return cls(request_id, model, adapter.latency, adapter.returns) if adapter else cls(request_id, model)


Started = TypeVar("Started", JobRef, ResultData)


def submit(
    session: Session,
    model: str,
    body: Mapping[str, Any],
    adapter: Adapter | None = None,
    save_to: str | None = None,
    tag: str | None = None,
    timeout: float | None = None,
) -> Flow[JobRef]:
    """Start one job of a model, described by its `adapter` if there is one; `save_to` and `tag` go into the journal.

    `timeout`: seconds for uploads, retries and waits together. A request that was sent is not cut off by it: nobody would
    know whether a job was started.
    Repeated only when nothing can have been started: no connection was made, or the gateway's table calls the answer
    safe, or the plugin that gives the key has another than the one that was refused.
    Raises SubmitUncertain when a job may have been started, ApiError or TransportError when none was, and StorageError
    when the intent cannot be written to the journal; then nothing was sent. Local media in the body is uploaded first.
    """

    def read(answer: wire.Answer) -> JobRef | None:
        request_id = wire.read_request_id(answer) if 200 <= answer.status < 300 else None
        return None if request_id is None else JobRef.of(request_id, model, adapter)

    session.check_open()
    start: float = yield Now()
    end = _end(start, timeout)
    try:
        body = yield from _uploaded(session, body, end)
        request = session.gateway.submit(model, body)
        job = yield from _accepted(session, request, model, body, save_to, tag, read, end)
    except (errors.SubmitUncertain, errors.ApiError, errors.TransportError) as error:
        yield Emit(SubmitFailed(model, str(error), isinstance(error, errors.SubmitUncertain)))
        raise
    yield Emit(Submitted(job.request_id, model, body, (yield Now()) - start))
    return job


def submit_to(
    session: Session,
    model: str,
    body: Mapping[str, Any],
    adapter: Adapter | None,
    timeout: float | None,
    find_storage: FindStorage,
    save_to: str | None,
    tag: str | None = None,
) -> Flow[JobRef]:
    """Submit a job whose output belongs in `save_to`; a place that cannot be used is refused before anything is sent."""
    session.check_open()
    if save_to is not None:
        yield from open_first(find_storage, save_to)
    return (yield from submit(session, model, body, adapter, save_to, tag, timeout))


def run(
    session: Session,
    adapter: Adapter,
    body: Mapping[str, Any],
    timeout: float | None,
    find_storage: FindStorage,
    save_to: str | None,
    tag: str | None = None,
) -> Flow[tuple[ResultData, tuple[StoredFile, ...]]]:
    """Submit, wait and collect, within `timeout` seconds in all. A place that cannot be used is refused before.

    What completed and could not be stored is in the StorageError, and in the journal with its place, for `resume`.
    """
    session.check_open()
    end = _end((yield Now()), timeout)
    storage = None if save_to is None else (yield from open_first(find_storage, save_to))
    job = yield from submit(session, adapter.slug, body, adapter, save_to, tag, timeout)
    left = None if timeout is None else max(0.0, end - (yield Now()))
    result = yield from wait(session, job, left)
    return result, (yield from _collect_paid(session, result, storage, end))


def run_sync_to(
    session: Session,
    adapter: Adapter,
    body: Mapping[str, Any],
    timeout: float | None,
    find_storage: FindStorage,
    save_to: str | None,
    tag: str | None = None,
) -> Flow[tuple[ResultData, tuple[StoredFile, ...]]]:
    """Do as run_sync, then collect. A place that cannot be used is refused before anything is sent."""
    session.check_open()
    storage = None if save_to is None else (yield from open_first(find_storage, save_to))
    result = yield from run_sync(session, adapter, body, timeout, tag)
    return result, (yield from _collect_paid(session, result, storage))


def _collect_paid(
    session: Session, result: ResultData, storage: Storage | None, end: float = float("inf")
) -> Flow[tuple[StoredFile, ...]]:
    """Collect into a storage, if there is one; the StorageError carries the result, which is paid for."""
    if storage is None:
        return ()
    try:
        return (yield from collect(session, result, storage, end))
    except errors.StorageError as error:
        error.result = session.make_result(result)
        raise


def _end(start: float, timeout: float | None) -> float:
    return float("inf") if timeout is None else start + timeout


def run_sync(
    session: Session,
    adapter: Adapter,
    body: Mapping[str, Any],
    timeout: float | None,
    tag: str | None = None,
) -> Flow[ResultData]:
    """Run one job in a call that is answered at its end, within `timeout` seconds; None for what its latency suggests.

    Uploads, retries and waits before may take as long once more: an answer that is cut off may have been paid for.
    Written down and refused as a submit is, and repeated if it cannot have run; raises JobFailed, too. A call that is
    not answered, or with 5xx, is SubmitUncertain.
    """
    session.check_open()
    model = adapter.slug
    start: float = yield Now()
    end = _end(start, timeout)
    patience = polling.deadline(adapter.latency) if timeout is None else timeout
    read = partial(wire.read_sync, model, adapter.returns)
    try:
        body = yield from _uploaded(session, body, end)
        request = replace(session.gateway.run_sync(model, body, patience), deadline=patience)
        result = yield from _accepted(session, request, model, body, None, tag, read, end, is_sync=True)
    except (errors.SubmitUncertain, errors.ApiError, errors.TransportError) as error:
        yield Emit(SubmitFailed(model, str(error), isinstance(error, errors.SubmitUncertain)))
        raise
    except errors.JobFailed as error:
        yield Emit(Failed(error.request_id, model, error.message, polls=0))
        raise
    yield Emit(Submitted(result.request_id, model, body, (yield Now()) - start))
    yield Emit(Completed(result.request_id, model, result, polls=0))
    return result


def _uploaded(session: Session, body: Mapping[str, Any], end: float) -> Flow[Mapping[str, Any]]:
    """Upload the local media in a body and return it with URLs instead. Raises ConfigError, ApiError or TransportError."""
    urls: list[str] = []
    for media in iter_media(body):
        try:
            urls.append((yield from _upload(session, media, end)))
        except MediaError as error:
            raise errors.ConfigError(
                f"{describe_media(media)} cannot be uploaded: it is {error}. No job was started"
            ) from error
        except errors.TransportError as error:
            raise errors.TransportError(
                f"{describe_media(media)} could not be uploaded, so no job was started: {error}"
            ) from error
    if urls and (yield Now()) >= end:
        raise errors.TransportError("the timeout was spent on uploads. No job was started")
    found = iter(urls)
    replaced: Mapping[str, Any] = replace_media(body, lambda _: next(found))
    return replaced


def _upload(session: Session, media: LocalMedia, end: float) -> Flow[str]:
    """Return the URL of a file, which is uploaded unless the same content has been."""
    gateway, uploads = session.gateway, session.uploads
    sha256: str = yield Call(partial(digest_media, media))
    now: float = yield Now()
    while not uploads.begin(sha256):
        yield Sleep(0.1)
    try:
        if (known := uploads.find(sha256, now - UPLOAD_LIFETIME)) is not None:
            return known
        url = yield from _note(session.journal.find_upload, gateway.base_url, sha256, UPLOAD_LIFETIME)
        if url is None:
            log.info("uploading %s", describe_media(media))
            data_url: DataUrl = yield Call(partial(urls.make_data_url, media, sha256))
            request = gateway.upload(data_url)
            url = yield from _ask(session, request, wire.read_upload, None, UPLOAD_BUDGET, end)
            yield from _note(session.journal.record_upload, gateway.base_url, sha256, url)
        uploads.keep(sha256, url, now)
        return url
    finally:
        uploads.end(sha256)


@dataclass
class _Submit:
    """A submit on its way: its key, and the number of its entry in the journal, 0 if there is none."""

    model: str
    is_sync: bool
    auth: Auth
    key: wire.Key
    entry: int = 0
    may_have_started: bool = False


def _accepted(
    session: Session,
    request: wire.Request,
    model: str,
    body: Mapping[str, Any],
    save_to: str | None,
    tag: str | None,
    read: Callable[[wire.Answer], Started | None],
    end: float,
    *,
    is_sync: bool = False,
) -> Flow[Started]:
    """Write down the intent, send the submit until the gateway has accepted it, and return what `read` makes of that."""
    auth: Auth = yield Call(session.find_auth)
    submit = _Submit(model, is_sync, auth, (yield Call(partial(_usable_key, auth))))
    journal, base_url = session.journal, session.gateway.base_url
    submit.entry = yield Call(partial(journal.intend, base_url, model, body, submit.key, save_to, tag))
    entry = submit.entry
    try:
        started = yield from _sent(session, request, submit, read, end)
    except errors.SubmitUncertain as error:
        error.entry = entry or None
        yield from _note(journal.update, entry, state=UNCERTAIN, reason=error.reason)
        raise
    except errors.JobFailed as error:
        request_id, reason = error.request_id, error.message
        yield from _note(journal.update, entry, request_id=request_id, state="FAILED", reason=reason)
        raise
    except errors.KlingError as error:
        yield from _note(journal.update, entry, state=REFUSED, reason=str(error))
        raise
    except BaseException as error:
        # A cancelled task, or Ctrl-C: nothing can be waited for any more.
        state = UNCERTAIN if submit.may_have_started else REFUSED
        reason = f"the submit was interrupted by {type(error).__name__}"
        _tell(journal.update, entry, state=state, reason=reason)
        raise
    request_id = started.request_id
    if isinstance(started, ResultData):
        # At once: there must be no moment in which it looks like a job that can be polled.
        yield from _note(
            journal.update,
            entry,
            request_id=request_id,
            state="COMPLETED",
            result=started.body,
            cost=started.metrics.cost,
        )
    else:
        yield from _note(journal.update, entry, request_id=request_id, state="QUEUED")
    if isinstance(auth, KeyPool):
        yield Call(partial(_tell, partial(auth.accepted, submit.key, request_id)))
    return started


def _sent(
    session: Session,
    request: wire.Request,
    submit: _Submit,
    read: Callable[[wire.Answer], Started | None],
    end: float,
) -> Flow[Started]:
    """Send a submit until the gateway has accepted it, and return what `read` makes of the answer.

    At the time `end` it is not sent again: the last refusal is raised.
    """
    retries = polling.SubmitRetries()
    auth = submit.auth
    refused: set[str] = set()
    while True:
        budget = yield from _submit_turn(session, submit.key, end)
        submit.may_have_started = True
        outcome = yield from _send(replace(request, key=submit.key), budget)
        started = read(outcome) if isinstance(outcome, wire.Answer) else None
        if started is not None:
            return started
        error, may_be_repeated = _refusal(submit, outcome)
        submit.may_have_started = False
        reset = wire.seconds_until_reset(outcome) if isinstance(outcome, wire.Answer) else None
        has_another = False
        if isinstance(error, _REFUSALS_OF_A_KEY) and isinstance(auth, RenewableAuth):
            has_another = yield Call(partial(_tell, partial(auth.refused, submit.key, error.status, reset)))
        # Each key once: a pool that is wrong about its keys must not make a storm.
        if has_another and submit.key not in refused:
            refused.add(submit.key)
        elif not may_be_repeated:
            raise error
        else:
            limited = isinstance(error, errors.RateLimited)
            delay = retries.after_rate_limit(reset) if limited else retries.after_failure()
            if delay is None or (yield Now()) + delay > end:
                raise error
            log.info("submit of %s started nothing (%s); trying again in %.1f s", submit.model, error, delay)
            yield Sleep(delay)
        # The same, unless a pool has another.
        submit.key = yield Call(partial(_usable_key, auth))
        yield from _note(session.journal.update, submit.entry, key=fingerprint(submit.key))


P = ParamSpec("P")


def _note(what: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Flow[T | None]:
    """Call a method of the journal; a failure does not stop the job."""
    note = partial(_tell, what, *args, **kwargs)
    try:
        told: T | None = yield Call(note)
    except BaseException:
        # Ctrl-C in the middle of it: what is known of a job is worth the time. Nothing is harmed by writing it twice.
        note()
        raise
    return told


def _tell(note: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Call what notes something of a job. That it fails must not lose what is paid for."""
    try:
        return note(*args, **kwargs)
    except Exception:
        log.exception("a job goes on, but what became of it could not be noted")
        return None


def _refusal(submit: _Submit, outcome: wire.Outcome) -> tuple[errors.KlingError, bool]:
    """Return why a submit started nothing, and whether it may be repeated. Raises SubmitUncertain if it may have."""
    if isinstance(outcome, wire.Fault):
        if outcome.sent:
            raise errors.SubmitUncertain(submit.model, outcome.reason)
        return errors.TransportError(
            f"the gateway could not be reached: {outcome.reason}. Nothing was sent, no job was started. "
            "Check the network and base_url, then submit again."
        ), True
    row = STATUSES.get(outcome.status)
    verdict = row.submit if row else ("never" if 400 <= outcome.status < 500 else "uncertain")
    # The table tells of submits. A call that runs the job itself may have run it before it failed.
    if verdict == "uncertain" or (submit.is_sync and outcome.status >= 500):
        what = "without a request id" if 200 <= outcome.status < 300 else "which tells nothing of a job"
        words = wire.read_message(outcome)
        reason = f"the gateway answered {outcome.status}, {what}" + (f", but with: {words}" if words else "")
        raise errors.SubmitUncertain(submit.model, reason)
    return wire.api_error(outcome), verdict == "safe"


# Another key may do better.
_REFUSALS_OF_A_KEY = (errors.Unauthorized, errors.Forbidden, errors.InsufficientCredits, errors.RateLimited)


class _Missing(Exception):
    """The gateway has said often enough that it does not know the job."""


class _OutOfTime(Exception):
    """No usable answer came in time; `error` is the last failure."""

    def __init__(self, error: errors.KlingError) -> None:
        self.error = error


def remaining_credits(session: Session) -> Flow[Credits]:
    """Ask what is left on the account. Raises ApiError or TransportError."""
    return (yield from _ask(session, session.gateway.credits(), wire.read_credits, None))


def status(session: Session, job: JobRef) -> Flow[JobStatus]:
    """Ask for the state of a job. Raises JobExpired, ApiError or TransportError."""
    read = partial(wire.read_status, request_id=job.request_id)
    try:
        return (yield from _ask(session, session.gateway.status(job.request_id), read, job))
    except _Missing:
        ended = yield from _recalled(session, job, polling.Pace())
    return ended if isinstance(ended, JobStatus) else JobStatus("COMPLETED", ended.metrics)


def _ask(
    session: Session,
    request: wire.Request,
    read: Callable[[wire.Answer], T | None],
    job: JobRef | None,
    budget: float = STATUS_BUDGET,
    end: float = float("inf"),
) -> Flow[T]:
    """Ask once, and again within `budget` seconds if that fails; nothing is asked or answered after the time `end`."""
    session.check_open(job.request_id if job else None)
    last_retry = min(end, (yield Now()) + budget)
    try:
        return (yield from _get(session, request, read, job, last_retry, polling.Pace(), end))
    except _OutOfTime as last:
        raise last.error from None


def wait(session: Session, job: JobRef, timeout: float | None) -> Flow[ResultData]:
    """Poll until the job has ended, then fetch its result; `timeout` in seconds, None for what its latency suggests.

    Failures of polls are survived until then. Raises JobFailed, JobExpired, WaitTimeout, or ApiError when the gateway
    refuses to answer (a key that is not valid, say).
    """

    def read_end(answer: wire.Answer) -> ResultData | JobStatus | None:
        return wire.read_end(job.request_id, job.model, job.returns, answer)

    session.check_open(job.request_id)
    pace = polling.Pace()
    start: float = yield Now()
    end = start + (polling.deadline(job.latency) if timeout is None else timeout)
    ended: ResultData | JobStatus
    try:
        yield from _until_completed(session, job, start, end, pace)
        # A result that is ready is worth some more time, whatever was left.
        end = max(end, (yield Now()) + STATUS_BUDGET)
        request = session.gateway.result(job.request_id)
        asking: Flow[ResultData | JobStatus] = _get(session, request, read_end, job, end, pace, end)
        ended = yield from asking
    except _Missing:
        ended = yield from _recalled(session, job, pace)
    except _OutOfTime as last:
        seconds = (yield Now()) - start
        seen = f"the last failure: {last.error}"
        raise errors.WaitTimeout(job.request_id, seconds, session.handle(job), seen) from last.error
    if isinstance(ended, JobStatus):
        return (yield from _failed(session, job, ended, pace))
    base_url, body, cost = session.gateway.base_url, ended.body, ended.metrics.cost
    yield from _note(
        session.journal.update_job, base_url, job.request_id, state="COMPLETED", result=body, cost=cost
    )
    yield Emit(Completed(job.request_id, job.model, ended, pace.polls))
    return ended


def _until_completed(
    session: Session, job: JobRef, start: float, end: float, pace: polling.Pace
) -> Flow[None]:
    last: str | None = None
    request = session.gateway.status(job.request_id)
    read = partial(wire.read_status, request_id=job.request_id)
    while True:
        found = yield from _get(session, request, read, job, end, pace, end)
        if found.state == "COMPLETED":
            return
        if found.state == "FAILED":
            yield from _failed(session, job, found, pace)
        if found.state != last:
            if found.state not in STATES:
                log.warning(
                    "job %s is %r, a state that is not documented; waiting on", job.request_id, found.state
                )
            base_url = session.gateway.base_url
            yield from _note(session.journal.update_job, base_url, job.request_id, state=found.state)
            yield Emit(StateChanged(job.request_id, job.model, found.state))
            last = found.state
        now: float = yield Now()
        if now >= end:
            seen = f"its last state is {found.state}" + (f": {found.error}" if found.error else "")
            raise errors.WaitTimeout(job.request_id, now - start, session.handle(job), seen)
        yield Sleep(min(pace.interval(now - start), end - now))


def _recalled(session: Session, job: JobRef, pace: polling.Pace) -> Flow[ResultData | JobStatus]:
    """Return how the journal says that a job ended which the gateway does not know. Raises ConfigError or JobExpired."""
    base_url = session.gateway.base_url
    entry = yield from _note(session.journal.find, base_url, job.request_id)
    if entry is not None:
        if (ended := recall.read_end(entry, job.returns)) is not None:
            return ended
        recall.check_key(entry, (yield Call(partial(session.find_key, job.request_id))))
    yield from _note(session.journal.update_job, base_url, job.request_id, state=EXPIRED)
    yield Emit(Expired(job.request_id, job.model, pace.polls))
    raise errors.JobExpired(job.request_id)


def _failed(session: Session, job: JobRef, found: JobStatus, pace: polling.Pace) -> Flow[NoReturn]:
    base_url = session.gateway.base_url
    yield from _note(session.journal.update_job, base_url, job.request_id, state="FAILED", reason=found.error)
    yield Emit(Failed(job.request_id, job.model, found.error or "", pace.polls))
    raise errors.JobFailed(job.request_id, found.error or "", found.metrics)


def _get(
    session: Session,
    request: wire.Request,
    read: Callable[[wire.Answer], T | None],
    job: JobRef | None,
    end: float,
    pace: polling.Pace,
    cutoff: float,
) -> Flow[T]:
    """Repeat a GET through every failure until `read` makes something of the answer.

    A refusal is raised at once, as ApiError; at the time `end` the last failure is raised within _OutOfTime. An exchange
    is cut off at the time `cutoff`, but for the few seconds that each has.
    """
    request_id = job.request_id if job else None
    failures = missing = 0
    refused: set[str] = set()
    while True:
        key: wire.Key = yield Call(partial(session.find_key, request_id))
        budget = yield from _turn(session, key, end, request_id)
        deadline = _deadline(request, cutoff - (yield Now()))
        outcome = yield from _send(replace(request, key=key, deadline=deadline), budget)
        pace.polls += 1
        if isinstance(outcome, wire.Answer):
            found = read(outcome)
            if found is not None:
                return found
            error: errors.KlingError = _unusable(outcome, request_id)
            if outcome.status == 404 and job is not None:
                missing += 1
                if missing == MISSING_LIMIT:
                    raise _Missing
            elif 400 <= outcome.status < 500 and outcome.status not in (408, 422, 425, 429):
                # Each key once: a plugin that is wrong about its keys must not make a storm.
                has_another = outcome.status == 401 and key not in refused
                refused.add(key)
                if not (has_another and (yield Call(partial(session.has_another_key, key)))):
                    raise error
        else:
            error = errors.TransportError(
                f"the gateway could not be reached: {outcome.reason}. Nothing was started by this"
            )
        failures += 1
        if isinstance(outcome, wire.Answer) and outcome.status == 429:
            delay = pace.rate_limited(wire.seconds_until_reset(outcome), failures)
        else:
            delay = polling.backoff(failures)
        now: float = yield Now()
        if now >= end:
            raise _OutOfTime(error)
        log.info(
            "%s %s failed (%s); trying again in %.1f s",
            request.method,
            request.url,
            error,
            min(delay, end - now),
        )
        yield Sleep(min(delay, end - now))


def _deadline(request: wire.Request, left: float) -> float | None:
    """Return the seconds for one exchange when `left` seconds are left for all; None for the transport's own limit."""
    if left == float("inf"):
        return None
    return min(request.timeout or LONGEST_EXCHANGE, max(SHORTEST_EXCHANGE, left))


def _turn(session: Session, key: str, end: float, request_id: str | None) -> Flow[polling.Budget]:
    """Wait until it is the turn of a key, but not beyond the time `end`; return what its requests may ask for."""
    budget = session.budgets.setdefault(key, polling.Budget())
    now: float = yield Now()
    while delay := min(budget.turn(now), max(0.0, end - now)):
        yield Sleep(delay)
        now = yield Now()
        if not budget.is_limited(now):
            break
    session.check_open(request_id)
    return budget


def _submit_turn(session: Session, key: str, end: float) -> Flow[polling.Budget]:
    """Wait as _turn does. Raises RateLimited if the turn of the key comes too late."""
    budget = session.budgets.setdefault(key, polling.Budget())
    now: float = yield Now()
    end = min(end, now + LONGEST_TURN)
    while delay := budget.turn(now):
        if now + delay > end:
            message = f"the limit of this key lasts for {delay:.0f} s, longer than this submit may wait"
            raise errors.RateLimited(429, message, meaning=STATUSES[429].meaning)
        yield Sleep(delay)
        now = yield Now()
        if not budget.is_limited(now):
            break
    session.check_open()
    return budget


def _send(request: wire.Request, budget: polling.Budget) -> Flow[wire.Outcome]:
    """Send a request, and learn from the answer what its key may ask for."""
    sent: float = yield Now()
    outcome: wire.Outcome = yield Send(request)
    if isinstance(outcome, wire.Answer):
        if outcome.status == 429:
            budget.limited(sent, (yield Now()), wire.seconds_until_reset(outcome))
        else:
            budget.answered()
    return outcome


def _unusable(answer: wire.Answer, request_id: str | None) -> errors.KlingError:
    if answer.status >= 400:
        return wire.api_error(answer, request_id)
    body, words = answer.json() or {}, wire.read_message(answer)
    what = "an answer about another job" if wire.names_another_job(body, request_id) else "no usable answer"
    return errors.TransportError(
        f"the gateway answered {answer.status} with {what}" + (f": {words}" if words else "")
    )


def open_storage(find: FindStorage, url: str) -> Flow[Storage]:
    """Return the storage that `url` names, checked, so that a wrong one is known before a job is paid for."""
    storage: Storage = yield Call(partial(find, url))
    try:
        yield Call(storage.check)
    except errors.KlingError:
        raise
    except Exception as error:
        raise errors.StorageError(f"nothing can be stored to {url}: {error}") from error
    return storage


def open_first(find: FindStorage, url: str) -> Flow[Storage]:
    """Do as open_storage before anything is sent, and say so."""
    try:
        return (yield from open_storage(find, url))
    except errors.StorageError as error:
        # The same error, not one that carries it: a plugin has seen to it that nothing secret is within.
        error.args = (f"{str(error).rstrip('.')}. Nothing was sent.",)
        raise


def save(
    session: Session, result: ResultData, find_storage: FindStorage, to: str
) -> Flow[tuple[StoredFile, ...]]:
    """Fetch every file of a result to where `to` names. Raises as open_storage and collect do.

    The place is in the journal before the first byte is fetched, so that `resume` finishes what a dead process began.
    """
    session.check_open()
    storage = yield from open_storage(find_storage, to)
    if all(artifact.content is None for artifact in result.artifacts):
        base_url = session.gateway.base_url
        yield from _note(session.journal.record_destination, base_url, result.request_id, to)
    return (yield from collect(session, result, storage))


def collect(
    session: Session, result: ResultData, storage: Storage, end: float = float("inf")
) -> Flow[tuple[StoredFile, ...]]:
    """Fetch every file of a result into a storage by the time `end`. Each is whole or absent; raises StorageError."""
    if not result.artifacts:
        raise errors.StorageError(
            f"job {result.request_id} has no file to store; its output is {result.output!r}"
        )
    start: float = yield Now()
    base_url = session.gateway.base_url
    entry = yield from _note(session.journal.find, base_url, result.request_id)
    params = entry.params if entry else None
    count = len(result.artifacts)
    files: list[StoredFile] = []
    for number, artifact in enumerate(result.artifacts, start=1):
        stem = safe_stem(result.model, result.request_id, str(number) if count > 1 else None)
        # Only a gateway on this machine, the sandbox, may offer its files in the clear.
        if (
            artifact.content is None
            and not artifact.url.startswith("https://")
            and not session.gateway.is_local
        ):
            raise errors.StorageError(
                f"the output is offered over plain http and was not fetched: {escape(artifact.url)}"
            )
        context = JobContext(
            result.request_id, result.model, params, result.metrics.cost, number=number, count=count
        )
        left = MAX_TOTAL_BYTES - sum(file.size for file in files)
        download = Download(artifact, stem, storage, context, left)
        try:
            if artifact.content is None:
                yield from _fetch(session, artifact, download, end)
            else:
                yield Call(partial(download.take, artifact.content), is_left=True)
            files.append((yield Call(download.commit, is_left=True)))
        except errors.StorageError as error:
            error.url = error.url or artifact.url
            yield Call(download.abort)
            raise
        finally:
            # For what ends a flow at once, a cancelled task say; when there is nothing to do it does nothing.
            download.abort()
    stored = tuple(files)
    yield from _note(session.journal.update_job, base_url, result.request_id, files=stored)
    yield Emit(Stored(result.request_id, result.model, stored, (yield Now()) - start))
    return stored


def _fetch(session: Session, artifact: Artifact, download: Download, end: float) -> Flow[None]:
    """Download until every byte is there, going on where a cut connection left off, but not beyond the time `end`."""
    failures = most = 0
    reason = "the timeout was over before it began"
    while True:
        if session.closed.is_set():
            raise errors.StorageError("this client was closed before the output was stored")
        left = end - (yield Now())
        if left <= 0:
            raise errors.StorageError(f"the output could not be fetched in time: {reason}")
        deadline = None if left == float("inf") else left
        request = wire.Request("GET", artifact.url, None, download.headers(), deadline=deadline)
        outcome: wire.Outcome = yield Fetch(request, download)
        if isinstance(outcome, wire.Answer) and outcome.status in (200, 206) and download.is_whole():
            return
        reason = outcome.reason if isinstance(outcome, wire.Fault) else f"status {outcome.status}"
        if isinstance(outcome, wire.Answer) and outcome.status in (200, 206):
            told = artifact.size if download.received == download.expected else download.expected
            reason = f"{download.received} of {told} bytes came"
        if isinstance(outcome, wire.Answer) and outcome.status in (401, 403, 404, 410):
            raise errors.StorageError(
                f"the output cannot be fetched from {escape(artifact.url)}: {reason}", is_gone=True
            )
        # Only what has never come before is progress: a server that starts anew each time must not go on for ever.
        failures = 1 if download.received > most else failures + 1
        most = max(most, download.received)
        if failures >= DOWNLOAD_FAILURES:
            raise errors.StorageError(f"the output could not be fetched: {reason}")
        log.info("download of %s was cut (%s); going on", escape(artifact.url), reason)
        yield Sleep(min(polling.backoff(failures), max(0.0, end - (yield Now()))))
