"""All errors of the package, as one tree.

KlingError
├── ConfigError             no key, or an unusable argument, plugin or address; nothing was sent
│   ├── RetiredModel        the spec says that the model takes no new jobs
│   └── UnknownModel        no adapter has this slug
├── ParamsInvalid           the parameters violate the spec: every problem at once; nothing was sent
├── ApiError                the gateway answered with an error status; in api_errors.py
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
├── TransportError          no answer, or an unreadable one; this request started no job
├── SubmitUncertain         the submit may have started a job that will be billed; do not repeat it blindly
├── JobFailed               the job FAILED; it is not billed
├── JobExpired              the gateway no longer has the job
├── WaitTimeout             the job has not ended yet; carries the job. Also a TimeoutError
└── StorageError            an output could not be downloaded or stored
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from kling_adapters import _text
from kling_adapters._local import ProcessLocal
from kling_adapters.handles import JobHandle, ResultHandle
from kling_adapters.problems import Problem
from kling_adapters.result import Metrics

MAX_SHOWN_PROBLEMS = 50
"""Problems in the message of a ParamsInvalid."""
UNCHECKED_ADVICE = "Pass unchecked={...} to submit() or run() to send a value as it is."


class KlingError(Exception):
    """Base class of all errors of this package.

    Errors can be copied and pickled, and so can subclasses with an `__init__` of their own: the message and
    the attributes are preserved.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # By default Python would call __init__ with the message, which fits the signature of no subclass.
        return _restore_error, (type(self), self.args), dict(vars(self))


def _restore_error(kind: type[KlingError], args: tuple[Any, ...]) -> KlingError:
    error = kind.__new__(kind, *args)
    # OSError.__new__, of WaitTimeout, discards them.
    error.args = args
    return error


class ConfigError(KlingError):
    """A key, argument, address or plugin is missing or unusable. Nothing was sent."""


class UnknownModel(ConfigError):
    """No adapter, built in or of a plugin, has this slug. Nothing was sent."""


class RetiredModel(ConfigError):
    """The spec says that the model takes no new jobs; earlier ones can be collected. Nothing was sent.

    `ModelRetired` is the error for the same answer of the gateway.

    Attributes:
        model: The slug of the model.
        since: The day from which it takes no jobs.
        use: The slug of its successor; None if the spec has none.

    """

    def __init__(self, model: str, since: str, use: str | None = None) -> None:
        self.model = model
        self.since = since
        self.use = use
        advice = f"Submit to {use} instead" if use else "It has no successor"
        super().__init__(
            f"{model} was retired on {since}. {advice}; earlier jobs can still be collected. Nothing was sent"
        )


class ParamsInvalid(KlingError):
    """The parameters violate the spec of the model. Nothing was sent.

    The message shows the first 50 problems.

    Attributes:
        model: The slug of the model.
        problems: Every broken constraint.
        can_be_unchecked: Whether a value is refused, which `submit(..., unchecked={...})` sends as it is.

    """

    def __init__(self, model: str, problems: Iterable[Problem], *, can_be_unchecked: bool = False) -> None:
        self.model = model
        self.can_be_unchecked = can_be_unchecked
        self.problems = tuple(problems)
        if not isinstance(cast("object", model), str):
            raise TypeError(f"model is of type {type(model).__name__}; expected a str")
        for problem in self.problems:
            if not isinstance(cast("object", problem), Problem):
                raise TypeError(f"problems contains a {type(problem).__name__}; expected Problem objects")
        count = len(self.problems)
        name = _text.escape(_text.shorten(model, 200))
        lines = [
            f"{count} problem{'' if count == 1 else 's'} with the parameters of {name}; nothing was sent:",
            *map(str, self.problems[:MAX_SHOWN_PROBLEMS]),
        ]
        if count > MAX_SHOWN_PROBLEMS:
            lines.append(f"and {count - MAX_SHOWN_PROBLEMS} more")
        if can_be_unchecked:
            lines.append(UNCHECKED_ADVICE)
        super().__init__("\n  ".join(lines))


class TransportError(KlingError):
    """The gateway could not be reached, or its answer could not be read. This request started no job."""


class SubmitUncertain(KlingError):
    """The submit was sent and no usable answer came back. A job may be running and may be billed.

    It is never repeated: a second job would be billed, too. `reconcile` looks for the job in the request history.

    Attributes:
        model: The slug of the model.
        reason: The cause.
        entry: The number of the submit in the journal; None without one. See `kling jobs --uncertain`.

    """

    entry: int | None = None

    def __init__(self, model: str, reason: str) -> None:
        self.model = model
        self.reason = reason
        super().__init__(_text.describe_uncertain(model, reason))

    def __str__(self) -> str:
        # The entry is known when the submit is recorded, after the error was made.
        return _text.describe_uncertain(self.model, self.reason, self.entry)


class JobFailed(KlingError):
    """The job FAILED; a blocked prompt or image is one of the causes. It is not billed.

    Attributes:
        request_id: The id of the job.
        message: The gateway's message.
        metrics: Times and cost of the job.

    """

    def __init__(self, request_id: str, message: str, metrics: Metrics) -> None:
        self.request_id = request_id
        self.message = message
        self.metrics = metrics
        super().__init__(
            f"job {request_id} failed: {message.rstrip('. ') or 'the gateway gave no reason'}. "
            "A failed job is not billed. Change the input and submit a new one."
        )


class JobExpired(KlingError):
    """The gateway no longer has the job: it keeps a record for one hour (specs/gateway.yaml).

    Attributes:
        request_id: The id of the job.

    """

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        super().__init__(
            f"the gateway does not have job {request_id}: the id is wrong, or its record has expired after "
            "one hour. If the job completed, it was billed, and the URL of its output works for seven days."
        )


class WaitTimeout(KlingError, TimeoutError):
    """The job had not ended within the timeout. It continues, and `job.wait()` waits for it again.

    Attributes:
        request_id: The id of the job.
        seconds: The duration of the wait in seconds.
        job: The job, to wait for it again; None in an error that was pickled.
        state: The last known state of the job, or "".

    """

    def __init__(self, request_id: str, seconds: float, job: JobHandle | None, state: str = "") -> None:
        self.request_id = request_id
        self.seconds = seconds
        self.state = state
        self._job: ProcessLocal[JobHandle] = ProcessLocal(job)
        super().__init__(
            f"job {request_id} has not ended after {_text.format_number(round(seconds, 1))} s"
            f"{f' ({state})' if state else ''}. It continues and will be billed when it completes. "
            f'Wait again with error.job.wait(), or kling.job("{request_id}").wait() within the hour.'
        )

    @property
    def job(self) -> JobHandle | None:
        """The job, to wait for it again; None in an error that was pickled."""
        return self._job.value


class StorageError(KlingError):
    """An output could not be downloaded, failed a check, or could not be stored. No partial file remains.

    Args:
        message: The cause, without a full stop.
        url: The URL of the output, if known.
        is_gone: Whether that URL answered that it has no such file, or refused access.

    Attributes:
        url: The URL of the output, if known.
        is_gone: Whether that URL answered that it has no such file, or refused access.
        result: After `run` and `run_direct`, the result, to save elsewhere; None before the submit.

    """

    result: ResultHandle | None = None

    def __init__(self, message: str, *, url: str | None = None, is_gone: bool = False) -> None:
        self.url = url
        self.is_gone = is_gone
        super().__init__(f"{message}.")

    def __str__(self) -> str:
        # The URL may be set later: a storage does not know the source of the output.
        text = super().__str__()
        if self.url and not self.is_gone:
            text += f" The output can still be fetched from {self.url} (URLs of outputs work for seven days)."
        return text
