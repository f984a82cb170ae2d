"""Requests and answers of the gateway: pure functions between Python values and HTTP messages.

Answers are read with suspicion: whatever is missing or of another type than documented becomes None, and an answer
that cannot be read at all is said to be so. URLs in answers are never used to reach the gateway.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, TypeGuard, cast
from urllib.parse import quote, urlsplit

from kling_adapters import errors
from kling_adapters.media.urls import DataUrl, is_http_url
from kling_adapters.models import _gateway as gateway_table
from kling_adapters.protocol import local_hosts
from kling_adapters.result import Artifact, Credits, JobStatus, Kind, Metrics, ResultData
from kling_adapters.schema.adapter import Returns

_UPLOAD_TIMEOUT = 600.0
_SYNC_MAX_BYTES = 1024**3
LONGEST_ID = 2000  # it becomes part of an address
_LONGEST_RESET = 600.0  # a wrong header must not stop a key for days
_UPLOAD_HEAD, _UPLOAD_TAIL = b'{"data_urls": ["', b'"]}'
_JSON = {"content-type": "application/json"}
MAX_FILES = 100


class Key(str):
    """A key that a traceback with local variables, or a log of anything it is in, does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "[key]"


@dataclass(frozen=True)
class UploadBody:
    """The JSON body of an upload, made piece by piece while it is sent. Iterating may raise MediaError."""

    data_url: DataUrl

    def __len__(self) -> int:
        return self.data_url.size + len(_UPLOAD_HEAD) + len(_UPLOAD_TAIL)

    def __iter__(self) -> Iterator[bytes]:
        yield _UPLOAD_HEAD
        yield from self.data_url
        yield _UPLOAD_TAIL


@dataclass(frozen=True)
class Request:
    """An HTTP request; one that is for the gateway itself carries its `key`.

    `timeout`: seconds without a byte; `deadline`: seconds for the whole exchange, body included; `max_bytes`: the largest
    answer accepted. None stands for the default of the transport.
    """

    method: str
    url: str
    body: bytes | UploadBody | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    key: Key | None = field(default=None, kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)
    deadline: float | None = field(default=None, kw_only=True)
    max_bytes: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Answer:
    """An HTTP response, read whole. Header names are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any] | None:
        """The body as a JSON object, or None if it is anything else."""
        try:
            # From text: of bytes it would read other encodings, too, in which nobody has looked for the key.
            value = json.loads(self.body.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return None
        return cast("dict[str, Any]", value) if isinstance(value, dict) else None


@dataclass(frozen=True)
class Fault:
    """No answer. `sent` says whether any of the request may have reached the other side."""

    reason: str
    sent: bool


Outcome = Answer | Fault


class Gateway:
    """The addresses of one gateway. `base_url` may end in /v1 or /v2, as the official client writes it.

    Raises ConfigError unless it is https, or http on this machine or a host that KLING_LOCAL_HOSTS names: the key would
    cross the network in the clear.
    """

    def __init__(self, base_url: str) -> None:
        base = base_url.rstrip("/").removesuffix("/v1").removesuffix("/v2")
        try:
            parts = urlsplit(base)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            host, parts = "", urlsplit("")
        # What comes before an @ may be a password: the address is not repeated in the error.
        plain = re.fullmatch(r"[^\s?#@\\\x00-\x1f\x7f]+", base) is not None
        if not plain or not host or parts.scheme not in ("http", "https"):
            raise errors.ConfigError(
                f"base_url must be a plain http or https URL such as {gateway_table.BASE_URL}"
            )
        if host in ("0.0.0.0", "::"):  # noqa: S104
            raise errors.ConfigError(
                f"base_url names {host}, which is an address to listen on and not one to connect to; "
                "use 127.0.0.1 for a server on this machine. Nothing was sent"
            )
        self.is_local = local_hosts.is_local_host(host)
        if parts.scheme == "http" and not self.is_local:
            raise errors.ConfigError(
                f"base_url must be https: over http to {host} anyone on the way could read the key. "
                f"If {host} is a sandbox in your own network, name it in {local_hosts.VARIABLE}. Nothing was sent"
            )
        self.base_url = base
        told = gateway_table.UPLOAD_URL
        self.upload_url = told if base == gateway_table.BASE_URL else base + urlsplit(told).path

    def submit(self, slug: str, body: Mapping[str, Any]) -> Request:
        """The request that starts a billable job. Raises ConfigError for what is no slug, ValueError for no JSON."""
        return self._start(gateway_table.SUBMIT_PATH, slug, body)

    def run_sync(self, slug: str, body: Mapping[str, Any], timeout: float) -> Request:
        """The request that runs a billable job and is answered, within `timeout` seconds, with what it made."""
        request = self._start(gateway_table.SYNC_PATH, slug, body)
        return replace(request, timeout=timeout, max_bytes=_SYNC_MAX_BYTES)

    def _start(self, path: str, slug: str, body: Mapping[str, Any]) -> Request:
        if not is_slug(slug):
            raise errors.ConfigError(f"{slug[:50]!r} is not the slug of a model; nothing was sent")
        return _post(self.base_url + path.format(slug=slug), body)

    def upload(self, data_url: DataUrl) -> Request:
        """The request that makes a file fetchable by URL; it costs nothing."""
        body = UploadBody(data_url)
        headers = {**_JSON, "content-length": str(len(body))}
        return Request("POST", self.upload_url, body, headers, timeout=_UPLOAD_TIMEOUT)

    def status(self, request_id: str) -> Request:
        """The request for the state of a job."""
        return self._about(gateway_table.STATUS_PATH, request_id)

    def result(self, request_id: str) -> Request:
        """The request for the final body of a job."""
        return self._about(gateway_table.RESULT_PATH, request_id)

    def _about(self, path: str, request_id: str) -> Request:
        url = self.base_url + path.format(request_id=quote(request_id, safe="", errors="replace"))
        return Request("GET", url)

    def credits(self) -> Request:
        """The request for what is left on the account; it costs nothing."""
        return Request("GET", self.base_url + gateway_table.CREDITS_PATH)


def is_slug(text: str) -> bool:
    """Return whether a text can be the slug of a model, which becomes part of an address."""
    return re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text) is not None


def _post(url: str, body: Mapping[str, Any]) -> Request:
    content = json.dumps(body, allow_nan=False).encode()
    return Request("POST", url, content, _JSON)


def read_upload(answer: Answer) -> str | None:
    """The URL in the answer to an upload, or None if there is none that could be sent on."""
    body = answer.json() or {}
    urls = _list(body.get("file_urls")) or _list(body.get("urls"))
    url = urls[0] if urls and answer.status < 300 else None
    return url if is_http_url(url) else None


def read_request_id(answer: Answer) -> str | None:
    """The id in the answer to a submit, or None if there is none that could be used."""
    return _usable_id((answer.json() or {}).get("request_id"))


def _usable_id(value: Any) -> str | None:
    request_id = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(request_id, str) or not request_id.strip() or len(request_id) > LONGEST_ID:
        return None
    return request_id if request_id.isprintable() else None


def read_status(answer: Answer, request_id: str | None = None) -> JobStatus | None:
    """The state in an answer about a job, or None if it holds none. FAILED comes as 422 and is an answer like any other.

    An answer that names another job than `request_id` is not one about this job.
    """
    body = answer.json()
    if body is None or answer.status not in (200, 422) or names_another_job(body, request_id):
        return None
    state, error = body.get("status"), body.get("error")
    if not isinstance(state, str):
        if answer.status != 422:
            return None
        state = "FAILED"
    return JobStatus(_state(state), _metrics(body), _plain(error) if isinstance(error, str) else None)


def names_another_job(body: Mapping[str, Any], request_id: str | None) -> bool:
    """Return whether an answer names a job, and it is not the one that was asked about."""
    named = _usable_id(body.get("request_id"))
    return None not in (named, request_id) and str(named).casefold() != str(request_id).casefold()


def _state(text: str) -> str:
    """Return a state as the gateway documents it, however it is written; another one as it came."""
    state = _plain(text).strip()
    return state.upper() if state.upper() in gateway_table.STATES else state


def read_end(
    request_id: str, model: str | None, returns: Returns | None, answer: Answer
) -> ResultData | JobStatus | None:
    """The result of a COMPLETED job, or the status of a FAILED one, in the answer to `Gateway.result`; else None."""
    found, body = read_status(answer, request_id), answer.json()
    if found is None or body is None or found.state not in ("COMPLETED", "FAILED"):
        return None
    if found.state == "FAILED":
        return found
    return ResultData(request_id, model, body.get("output"), _artifacts(body, returns), found.metrics, body)


def read_sync(model: str, returns: Returns, answer: Answer) -> ResultData | None:
    """The result in the answer to a synchronous call: the file itself, and what it cost in the headers; else None.

    Raises JobFailed if the answer tells that the job ran and FAILED.
    """
    told = {name: value for name, value in answer.headers.items() if name.startswith("x-")}
    named = _usable_id(told.get("x-request-id", "").strip()) or read_request_id(answer)
    request_id = named or f"sync-{uuid.uuid4()}"
    metrics = Metrics(
        cost=_decimal(told.get("x-cost")),
        remaining_credits=_decimal(told.get("x-remaining-credits")),
        inference_time=_decimal(told.get("x-generation-time")),
    )
    state = (answer.json() or {}).get("status")
    if answer.status == 422 and isinstance(state, str) and _state(state) == "FAILED":
        raise errors.JobFailed(request_id, read_message(answer), metrics)
    if not (200 <= answer.status < 300 and answer.body):
        return None
    content_type = answer.headers.get("content-type")
    output = answer.body.decode("utf-8", "replace") if returns == "text" else None
    file = Artifact("", returns, content_type, len(answer.body), answer.body)
    return ResultData(request_id, model, output, (file,), metrics, told)


def read_credits(answer: Answer) -> Credits | None:
    """What is left on the account; None if the answer does not say."""
    body = answer.json()
    if body is None or answer.status != 200:
        return None
    return Credits(_number(body.get("credits")), _number(body.get("free-credits")))


def api_error(answer: Answer, request_id: str | None = None) -> errors.ApiError:
    """The error class for the status of an answer, with the gateway's own words."""
    row = gateway_table.STATUSES.get(answer.status)
    message = read_message(answer)
    kind = _ERRORS.get(answer.status, errors.ApiError)
    if kind is errors.NotAcceptable and any(word in message.lower() for word in ("credit", "balance")):
        kind = errors.InsufficientCredits
    return kind(answer.status, message, meaning=row.meaning if row else "", request_id=request_id)


def seconds_until_reset(answer: Answer) -> float | None:
    """How many seconds the gateway asks to wait, from `Retry-After` or `x-rate-limit-reset-at-utc`; None if it does not.

    A point in time is compared with the gateway's own `Date`, so that a wrong clock here does no harm. Never more than
    ten minutes.
    """
    retry_after = answer.headers.get("retry-after", "").strip()
    if re.fullmatch("[0-9]{1,9}", retry_after):
        return min(float(retry_after), _LONGEST_RESET)
    reset = _time(answer.headers.get("x-rate-limit-reset-at-utc", "")) or _time(retry_after)
    if reset is None:
        return None
    now = _time(answer.headers.get("date", "")) or datetime.now(UTC)
    return min(max(0.0, (reset - now).total_seconds()), _LONGEST_RESET)


_ERRORS = {
    400: errors.BadRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    406: errors.NotAcceptable,
    410: errors.ModelRetired,
    422: errors.Unprocessable,
    429: errors.RateLimited,
    500: errors.ServerError,
    502: errors.BadGateway,
    504: errors.GatewayTimeout,
}


def read_message(answer: Answer) -> str:
    """Return the gateway's own words in an answer, or "" if it has none."""
    body = answer.json() or {}
    words = [body[key] for key in ("error", "error_description", "message") if isinstance(body.get(key), str)]
    sentences = (" ".join(_plain(text).split()).rstrip(".") for text in words)
    return ". ".join(filter(None, sentences))[:500]


def _plain(text: str) -> str:
    """Words of the gateway without what would steer the terminal or break the log that they end up in."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _time(text: str) -> datetime | None:
    """Read an ISO 8601 time, a unix time in seconds or milliseconds, or an HTTP date."""
    text = text.strip()
    try:
        if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text):
            seconds = float(text)
            return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
        moment = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _number(value: Any) -> float | None:
    return (
        float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
        else None
    )


def _decimal(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,30})?", text) else None


def _metrics(body: Mapping[str, Any]) -> Metrics:
    given = _object(body.get("metrics"))
    count = given.get("retry_count")
    return Metrics(
        cost=_number(given.get("cost")),
        remaining_credits=_number(given.get("remaining_credits")),
        inference_time=_number(given.get("inference_time")),
        queue_time=_number(given.get("queue_time")),
        total_time=_number(given.get("total_time")),
        retry_count=count if isinstance(count, int) and not isinstance(count, bool) else None,
    )


def _artifacts(body: Mapping[str, Any], returns: Returns | None) -> tuple[Artifact, ...]:
    """The files of a result, described by `video`, `images` or `audio`, else the URLs of `output`."""
    found = [_artifact(body.get("video"), "video"), _artifact(body.get("audio"), "audio")]
    found += [_artifact(image, "image") for image in _list(body.get("images"))[:MAX_FILES]]
    described = tuple(artifact for artifact in found if artifact is not None)
    if described:
        return described
    return tuple(
        Artifact(url, kind or returns or _kind(url))
        for url, kind in islice(_output_urls(body.get("output"), None), MAX_FILES)
    )


def _output_urls(value: Any, kind: Kind | None, depth: int = 3) -> Iterator[tuple[str, Kind | None]]:
    """Yield the URLs of an output with the kind that their place in it shows: `url`, `[{url}]`, `{video: url}` ..."""
    if _is_url(value):
        yield value, kind
    elif depth:
        for item in _list(value):
            yield from _output_urls(item, kind, depth - 1)
        for name, member in _object(value).items():
            if name == "url" or name in _OUTPUT_NAMES:
                yield from _output_urls(member, _OUTPUT_NAMES.get(name) or kind, depth - 1)


def _artifact(value: Any, kind: Kind) -> Artifact | None:
    given = _object(value) or {"url": value}
    url, content_type, size = given.get("url"), given.get("content_type"), given.get("file_size")
    if not _is_url(url):
        return None
    return Artifact(
        url,
        kind,
        content_type if isinstance(content_type, str) else None,
        size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None,
    )


_OUTPUT_NAMES: dict[str, Kind] = {
    "video": "video",
    "videos": "video",
    "image": "image",
    "images": "image",
    "audio": "audio",
    "audios": "audio",
}


def _object(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, list) else ()


def _is_url(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _kind(url: str) -> Kind:
    suffix = re.split("[?#]", url)[0].lower().rpartition(".")[2]
    kinds: dict[str, Kind] = {
        "mp4": "video",
        "webm": "video",
        "mov": "video",
        "png": "image",
        "jpg": "image",
        "jpeg": "image",
    }
    kinds |= {"webp": "image", "mp3": "audio", "wav": "audio", "txt": "text", "json": "text"}
    return kinds.get(suffix, "file")
