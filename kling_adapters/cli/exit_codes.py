"""The exit codes of the `kling` command, each with one meaning."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Self

from kling_adapters.api_errors import ApiError
from kling_adapters.errors import (
    ConfigError,
    JobExpired,
    JobFailed,
    KlingError,
    ParamsInvalid,
    StorageError,
    SubmitUncertain,
    WaitTimeout,
)


class ExitCode(IntEnum):
    """An exit code; `meaning` is its text in `kling --help` and docs/cli.md."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """Return a member of the enumeration."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code

    DONE = 0, "done"
    JOB_FAILED = 1, "a job failed"
    BAD_INPUT = 2, "bad input or configuration; nothing was sent"
    GATEWAY = 3, "the gateway refused a request or could not be reached; no job was started"
    UNCERTAIN = 4, "a job may be running and billed: its submit is uncertain, or its end was not seen"
    STORAGE = 5, "an output, the journal or standard output could not be read or written"
    UNKNOWN_JOB = 6, "the gateway does not have the job: the id is wrong, or its record has expired"
    INCOMPLETE = 7, "some lines of a batch were not submitted"
    INTERNAL_ERROR = 70, "internal error"
    INTERRUPTED = 130, "interrupted while no job was running"


# By severity: a batch ends with the last of these among its lines.
_BY_SEVERITY = (
    ExitCode.DONE,
    ExitCode.INCOMPLETE,
    ExitCode.JOB_FAILED,
    ExitCode.BAD_INPUT,
    ExitCode.UNKNOWN_JOB,
    ExitCode.GATEWAY,
    ExitCode.STORAGE,
    ExitCode.UNCERTAIN,
    ExitCode.INTERRUPTED,
    ExitCode.INTERNAL_ERROR,
)


_BY_ERROR: tuple[tuple[type[KlingError] | tuple[type[KlingError], ...], ExitCode], ...] = (
    (JobFailed, ExitCode.JOB_FAILED),
    ((ParamsInvalid, ConfigError), ExitCode.BAD_INPUT),
    ((SubmitUncertain, WaitTimeout), ExitCode.UNCERTAIN),
    (StorageError, ExitCode.STORAGE),
    (JobExpired, ExitCode.UNKNOWN_JOB),
    (KlingError, ExitCode.GATEWAY),
)


def exit_code(error: Exception) -> ExitCode:
    """Return the exit code of an error."""
    if isinstance(error, ApiError) and error.request_id is not None:
        return ExitCode.UNCERTAIN
    return next((code for kinds, code in _BY_ERROR if isinstance(error, kinds)), ExitCode.INTERNAL_ERROR)


def most_severe(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the most severe exit code; DONE if there are none."""
    return max(codes, key=_BY_SEVERITY.index, default=ExitCode.DONE)
