"""The reference of errors, HTTP status codes and exit codes, from the code and from gateway.yaml."""

from __future__ import annotations

from collections.abc import Iterator

import kling_adapters
from kling_adapters import GATEWAY_STATUSES, ApiError, KlingError, errors
from kling_adapters.cli.exit_codes import ExitCode, exit_code

_SUBMIT = {
    "safe": "no job was started; the client sends the submit again",
    "never": "no job was started; the same request would be answered the same",
    "uncertain": "a job may have been started and billed; the client looks for it and never sends the submit again",
}


def describe_errors() -> str:
    """Return the page of errors, status codes and exit codes."""
    tree = (errors.__doc__ or "").partition("\n\n")[2].strip()
    lines = [
        "# Errors, statuses and exit codes",
        "",
        "What each costs is in [What can go wrong](../guide/failures.md).",
        "",
        "## The tree of errors",
        "",
        "```text",
        tree,
        "```",
        "",
        "## HTTP status codes of the gateway",
        "",
        "From `specs/gateway.yaml`. The last column is about a submit that is answered with the status.",
        "",
        *_status_rows(),
        "",
        "## Exit codes of kling",
        "",
        "| code | meaning | errors |",
        "|---|---|---|",
        *_exit_code_rows(),
        "",
    ]
    return "\n".join(lines)


def _status_rows() -> Iterator[str]:
    yield from ("| status | error | meaning | a submit |", "|---|---|---|---|")
    for status, row in GATEWAY_STATUSES.items():
        yield f"| {status} | `{row.name}` | {row.meaning} | {_SUBMIT[row.submit]} |"


def _exit_code_rows() -> Iterator[str]:
    names: dict[int, list[str]] = {}
    for name in kling_adapters.__all__:
        kind = getattr(kling_adapters, name)
        if isinstance(kind, type) and issubclass(kind, KlingError):
            error = kind.__new__(kind)
            if isinstance(error, ApiError):
                error.request_id = None
            names.setdefault(exit_code(error), []).append(f"`{name}`")
    about_job = ApiError(401, "", request_id="id")
    names[exit_code(about_job)].append("an `ApiError` with a `request_id`")
    for code in ExitCode:
        yield f"| {int(code)} | {code.meaning} | {', '.join(names.get(code, []))} |"
