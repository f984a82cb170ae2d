"""Every error of the package, as one tree.

KlingError
├── ConfigError             no key, a plugin or an address that cannot be used; nothing was sent
│   └── UnknownModel        no adapter has this slug
├── ParamsInvalid           the parameters break the spec; every problem at once; nothing was sent
├── ApiError                the gateway answered with an error status
│   ├── BadRequest          400
│   ├── Unauthorized        401
│   ├── Forbidden           403
│   ├── NotFound            404
│   ├── MethodNotAllowed    405
│   ├── NotAcceptable       406
│   │   └── InsufficientCredits
│   ├── ModelRetired        410
│   ├── Unprocessable       422
│   ├── RateLimited         429
│   ├── ServerError         500
│   ├── BadGateway          502
│   └── GatewayTimeout      504
├── TransportError          no answer, or one that cannot be read; nothing was started by it
├── SubmitUncertain         a job may have been started and billed: never repeat it blindly
├── JobFailed               the job ran and FAILED
├── JobExpired              the gateway no longer knows the job
├── WaitTimeout             the job has not ended yet; carries the job
└── StorageError            a finished output could not be fetched or stored
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, cast

from kling_adapters import _text
from kling_adapters._local import ProcessLocal

if TYPE_CHECKING:
    from kling_adapters.client.job import AsyncJob, AsyncResult, Job, Result
    from kling_adapters.result import Metrics


class KlingError(Exception):
    """The base of every error this package raises on purpose.

    Every error can be copied and pickled, also a subclass with an `__init__` of its own: message and attributes stay.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # Python would call __init__ with the message, which the signature of no subclass fits.
        return _restore_error, (type(self), self.args), dict(vars(self))


def _restore_error(kind: type[KlingError], args: tuple[Any, ...]) -> KlingError:
    return kind.__new__(kind, *args)


class ConfigError(KlingError):
    """Something is missing or wrong on this side: a key, an address, a plugin. Nothing was sent."""


class UnknownModel(ConfigError):
    """No adapter, built in or from a plugin, has this slug. Nothing was sent."""


@dataclass(frozen=True)
class Problem:
    """One broken constraint.

    `path` names the parameter, such as `elements[0].frontal_image_url`; `value` is what was given, or a description of
    it where it is not plain data (an open file, an object of a class); `allowed` says what may stand there;
    `suggestion` is the name or value that was probably meant. Its text has no control characters and is bounded.
    """

    path: str
    message: str
    value: Any = None
    allowed: str | None = None
    suggestion: str | None = None

    def __post_init__(self) -> None:
        for name in ("path", "message"):
            _expect_text(name, getattr(self, name))
        for name in ("allowed", "suggestion"):
            if getattr(self, name) is not None:
                _expect_text(name, getattr(self, name))
        if not _is_plain(self.value):
            # An open file can be neither copied nor pickled, and would be kept alive by the error.
            object.__setattr__(self, "value", _text.show(self.value))

    def __str__(self) -> str:
        text = f"{_text.shorten(self.path, 200)}: {_text.shorten(self.message)}"
        if self.allowed:
            text += f"; allowed: {_text.shorten(self.allowed)}"
        if self.suggestion:
            text += f"; did you mean {_text.shorten(self.suggestion, 200)}?"
        return _text.escape(text)


def _expect_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} of a Problem must be text, not {type(value).__name__}")


_SCALARS = (type(None), bool, int, float, str, bytes)
_DEEPEST = 20


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is data that can be copied and pickled, whatever it holds."""
    if type(value) in _SCALARS or isinstance(value, PurePath):
        return True
    if depth == _DEEPEST:
        return False
    if type(value) is dict:
        pairs = cast("Mapping[Any, Any]", value).items()
        return all(_is_plain(name, depth + 1) and _is_plain(member, depth + 1) for name, member in pairs)
    if type(value) in (list, tuple):
        return all(_is_plain(item, depth + 1) for item in cast("Iterable[Any]", value))
    return False


MOST_SHOWN = 50
"""Problems that the message of a ParamsInvalid shows."""


class ParamsInvalid(KlingError):
    """The parameters do not satisfy the spec of the model. Nothing was sent and nothing is billed.

    `problems` holds every broken constraint, not just the first. The message shows the first 50.
    """

    def __init__(self, model: str, problems: Iterable[Problem]) -> None:
        self.model = model
        self.problems = tuple(problems)
        if not isinstance(cast("object", model), str):
            raise TypeError(f"model must be text, not {type(model).__name__}")
        for problem in self.problems:
            if not isinstance(cast("object", problem), Problem):
                raise TypeError(f"problems must be Problems, not {type(problem).__name__}")
        count = len(self.problems)
        name = _text.escape(_text.shorten(model, 200))
        lines = [
            f"{count} problem{'' if count == 1 else 's'} with the parameters of {name}; nothing was sent:",
            *map(str, self.problems[:MOST_SHOWN]),
        ]
        if count > MOST_SHOWN:
            lines.append(f"and {count - MOST_SHOWN} more")
        super().__init__("\n  ".join(lines))


class ApiError(KlingError):
    """The gateway answered with an error.

    `status` is the HTTP status code, `message` the gateway's own words, `request_id` the job that was
    asked about (None for a submit), `meaning` what the gateway's table says of the code.
    """

    advice: ClassVar[str] = ""

    def __init__(
        self, status: int, message: str, *, meaning: str = "", request_id: str | None = None
    ) -> None:
        self.status = status
        self.message = message
        self.meaning = meaning
        self.request_id = request_id
        text = f"the gateway answered {status}" + (f" ({meaning})" if meaning else "")
        text += f": {message.rstrip('. ')}" if message else ""
        if request_id is None:
            text += ". No job was started and nothing is billed by this request."
        else:
            text += f". Job {request_id} is not affected; ask for it again within the hour."
        super().__init__(f"{text} {self.advice}".rstrip())


class BadRequest(ApiError):
    """400: the gateway refused the parameters."""

    advice = "Compare the parameters with `kling show`; if the spec is wrong, please report it."


class Unauthorized(ApiError):
    """401: the key is missing or invalid."""

    advice = "Check the API key (SEGMIND_API_KEY, or the api_key argument)."


class Forbidden(ApiError):
    """403: this account is not permitted to do that."""

    advice = "Ask for access to this model, or use the key of an account that has it."


class NotFound(ApiError):
    """404: no such model, or the account has no credit record."""

    advice = "Check the slug with `kling models`."


class MethodNotAllowed(ApiError):
    """405: the address does not take this verb; usually a wrong base_url."""

    advice = "Check base_url."


class NotAcceptable(ApiError):
    """406: the request was refused up front. InsufficientCredits when the message speaks of credits."""


class InsufficientCredits(NotAcceptable):
    """406 with a message about credits: the account cannot pay for the job."""

    advice = "Buy credits, or lower what the job asks for."


class ModelRetired(ApiError):
    """410: the model is no longer offered."""

    advice = "Choose another model: `kling models`."


class Unprocessable(ApiError):
    """422 where no job was asked about. A job that FAILED raises JobFailed instead."""


class RateLimited(ApiError):
    """429, and the budget for waiting has been spent."""

    advice = "Send fewer requests at once, or wait a minute."


class ServerError(ApiError):
    """500: an error inside the gateway; often a value it did not check."""

    advice = "Try again later; if it goes on, check the values."


class BadGateway(ApiError):
    """502: the service behind the gateway could not be reached."""

    advice = "Try again later."


class GatewayTimeout(ApiError):
    """504 on a request that starts nothing. On a submit it is SubmitUncertain."""

    advice = "Try again later."


class TransportError(KlingError):
    """The gateway could not be reached or its answer could not be read. Nothing was started by this request."""


class SubmitUncertain(KlingError):
    """The submit went out, but no usable answer came back: a job may be running and may be billed.

    The gateway has no way to ask; it is never repeated automatically. `model` is the slug, `reason` what happened,
    `entry` its number in the journal, if there is one: `kling jobs --uncertain` shows it.
    """

    entry: int | None = None

    def __init__(self, model: str, reason: str) -> None:
        self.model = model
        self.reason = reason
        super().__init__(
            f"it is not known whether a {model} job was started: {reason}. It may be billed. "
            "It was not repeated, because a second submit could be billed twice. "
            "Look at the requests and the credits of your account before you submit again."
        )


class JobFailed(KlingError):
    """The job ran and ended FAILED; content blocks are among the causes. A failed job is not billed.

    `message` is the gateway's reason, `metrics` its account of the job.
    """

    def __init__(self, request_id: str, message: str, metrics: Metrics) -> None:
        self.request_id = request_id
        self.message = message
        self.metrics = metrics
        super().__init__(
            f"job {request_id} failed: {message.rstrip('. ') or 'no reason was given'}. A failed job is not billed; "
            "change the input and submit a new one."
        )


class JobExpired(KlingError):
    """The gateway no longer knows the job: records live one hour. Its outcome cannot be learnt any more."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        super().__init__(
            f"the gateway does not know job {request_id}: the id is wrong, or its record has expired (they live "
            "one hour). If it completed it was billed; an output whose URL you kept can be had for seven days."
        )


class WaitTimeout(KlingError):
    """The job had not ended when the time was up. It goes on; `job.wait()` takes up where this stopped.

    `request_id` is its id, `seconds` the time waited, `seen` what the gateway last said, or "", `job` the handle; where
    the error was pickled, `job` is None.
    """

    def __init__(self, request_id: str, seconds: float, job: Job | AsyncJob | None, seen: str = "") -> None:
        self.request_id = request_id
        self.seconds = seconds
        self.seen = seen
        self._job: ProcessLocal[Job | AsyncJob] = ProcessLocal(job)
        super().__init__(
            f"job {request_id} has not ended after {_text.format_number(round(seconds, 1))} s"
            f"{f' ({seen})' if seen else ''}; it goes on and will be billed when it completes. "
            f'Wait again with error.job.wait(), or kling.job("{request_id}").wait() within the hour.'
        )

    @property
    def job(self) -> Job | AsyncJob | None:
        """The job, to wait for it again; None in an error that comes from another process."""
        return self._job.value


class StorageError(KlingError):
    """An output could not be fetched, did not pass the checks, or could not be stored.

    Nothing is left under the target name. `url`, if known, is where the output can still be had, unless `is_gone`: then
    that address answered that the output is not there, or refused it. `result`, of `run_sync`, holds the output: it can
    be saved elsewhere, but not in another process.
    """

    result: Result | AsyncResult | None = None

    def __init__(self, message: str, *, url: str | None = None, is_gone: bool = False) -> None:
        self.url = url
        self.is_gone = is_gone
        super().__init__(f"{message}.")

    def __str__(self) -> str:
        # The url may be added later: a storage does not know where the output came from.
        can_be_fetched = self.url and not self.is_gone
        still = f" The output can still be fetched from {self.url} (files live seven days)."
        return f"{super().__str__()}{still if can_be_fetched else ''}"
