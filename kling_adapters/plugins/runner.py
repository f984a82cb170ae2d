"""Calls of event hooks, each in the worker of its plugin, with a time limit. A failure is logged."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Awaitable, Coroutine, Generator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from kling_adapters.plugins.calls import call_hook, contain_exits

if TYPE_CHECKING:
    import pluggy

    from kling_adapters.plugins.worker import PluginWorker

log = logging.getLogger("kling_adapters")


class HookRunner:
    """Runs hooks of the plugins of one client."""

    def __init__(self) -> None:
        # By process and plugin: threads do not exist in a forked child, and those of the parent stay
        # untouched.
        self._workers: dict[tuple[int, str], PluginWorker] = {}

    def run(self, implementation: pluggy.HookImpl, subject: str, seconds: float, **arguments: object) -> None:
        """Call a hook and wait for its end.

        Args:
            implementation: The hook of a plugin.
            subject: The event or action, for messages.
            seconds: The longest time to wait, in seconds.
            arguments: The arguments of the hook.

        """
        from kling_adapters.plugins.worker import PluginWorker  # for events only

        name = implementation.plugin_name
        worker = self._workers.setdefault((os.getpid(), name), PluginWorker(name))
        outcome = worker.call(partial(_start_hook, implementation, subject, seconds, arguments), seconds)
        if outcome == "hangs":
            log.error(
                "plugin %s hangs: %s has not finished after %g s; the job continues", name, subject, seconds
            )
        elif outcome == "skipped":
            log.error("plugin %s hangs and did not receive %s", name, subject)

    def close(self) -> None:
        """End the workers of this process."""
        process = os.getpid()
        for key in [key for key in self._workers if key[0] == process]:
            # Another thread may close the client concurrently.
            if (worker := self._workers.pop(key, None)) is not None:
                worker.close()


@contextmanager
def log_failure(implementation: pluggy.HookImpl, consequence: str) -> Generator[None]:
    """Log an exception of a plugin."""
    try:
        yield
    except Exception:
        log.exception("plugin %s %s", implementation.plugin_name, consequence)


def _start_hook(
    implementation: pluggy.HookImpl, subject: str, seconds: float, arguments: dict[str, object]
) -> Coroutine[Any, Any, None] | None:
    """Call a hook, and return the coroutine that finishes it, if it is asynchronous."""
    with log_failure(implementation, f"failed on {subject}"):
        outcome = call_hook(implementation, **arguments)
        if inspect.isawaitable(outcome):
            return _finish_hook(implementation, subject, seconds, outcome)
    return None


async def _finish_hook(
    implementation: pluggy.HookImpl, subject: str, seconds: float, outcome: Awaitable[object]
) -> None:
    import asyncio  # for plugins with coroutines only

    with log_failure(implementation, f"failed on {subject}"), contain_exits():
        async with asyncio.timeout(seconds):
            await outcome
