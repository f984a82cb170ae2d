"""The gateway and journal of a command, checked before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NotRequired, TypedDict

from kling_adapters.errors import ConfigError


class ClientOptions(TypedDict):
    """Arguments of `Kling` and `AsyncKling`."""

    base_url: str
    journal: Path | None
    rate_limit: float | None
    api_key: NotRequired[str]


def connect(
    stack: ExitStack,
    base_url: str | None,
    journal: str | None,
    *,
    rate_limit: float | None = None,
    sandbox: bool = False,
    submits: bool = False,
) -> ClientOptions:
    """Return the arguments of a client.

    Args:
        stack: Ends the sandbox, if one is started.
        base_url: The gateway of the command line; None for that of the environment.
        journal: The value of `--journal`.
        rate_limit: The value of `--rate-limit`.
        sandbox: Start a sandbox, and use it without a journal.
        submits: Check that the journal can be written.

    Raises:
        ConfigError: An address or the journal cannot be used, or the sandbox is not installed.

    """
    from kling_adapters.client.settings import resolve_gateway, resolve_journal

    if sandbox:
        address, key = stack.enter_context(_run_sandbox())
        # Its jobs end with it, so a journal would be useless.
        return {"base_url": address, "api_key": key, "journal": None, "rate_limit": rate_limit}
    path = resolve_journal(journal)
    gateway = resolve_gateway(base_url).base_url
    options: ClientOptions = {"base_url": gateway, "journal": path, "rate_limit": rate_limit}
    if submits and path is not None:
        _check_writable(path)
    return options


@contextmanager
def _run_sandbox() -> Generator[tuple[str, str]]:
    """Start a sandbox and yield its address and key."""
    try:
        from kling_sandbox import Sandbox
    except ImportError:
        raise ConfigError("the sandbox is not installed: pip install 'kling-adapters[sandbox]'") from None
    with Sandbox(timing="latency:0.01") as sandbox:
        yield sandbox.base_url, sandbox.api_key


def is_writable(journal: Path) -> bool:
    """Return whether this user can write the journal, or create it."""
    return _writable_place(journal)[0]


def _check_writable(journal: Path) -> None:
    """Raise ConfigError if submits could not be written to the journal."""
    is_usable, place, kind = _writable_place(journal)
    if not is_usable:
        raise ConfigError(
            f"the journal {journal} cannot be written: {place} is not {kind} that this user can write to. Set "
            "KLING_JOURNAL or --journal to a file in a folder that can be written to, or to none to go without a "
            "journal. Nothing was sent"
        )


def _writable_place(journal: Path) -> tuple[bool, Path, str]:
    """Return whether the journal can be written, and the file or folder that this depends on."""
    if journal.exists():
        can_write = os.access(journal, os.W_OK) and os.access(journal.parent, os.W_OK | os.X_OK)
        return journal.is_file() and can_write, journal, "a file"
    # The missing folders are made in the nearest one that exists.
    folder = next(folder for folder in journal.absolute().parents if folder.exists())
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK), folder, "a folder"
