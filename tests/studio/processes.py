"""`kling serve` and `kling sandbox` as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

KLING = (sys.executable, "-c", "from kling_adapters.cli import main; main()")
_SECONDS = 30.0


class Process:
    """A command of `kling` that serves; use it in a `with` block."""

    options: tuple[str, ...] = ()

    def __init__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._command = (*KLING, *arguments)
        self._environment = {**os.environ, **(environment or {})}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGTERM)

    def start(self) -> None:
        """Start it, and read what it prints until it serves."""
        self._process = subprocess.Popen(
            [*self._command, *self.options], env=self._environment, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.read_address(self._process.stdout.readline().split())
        self.read_secret(self._process.stdout.readline().split())

    def read_address(self, words: list[str]) -> None:
        """Read the first line."""
        assert words, "the process ended before it served"
        self.base_url = words[-1]

    def read_secret(self, words: list[str]) -> None:
        """Read the second line."""
        self.secret = words[-1]

    def end(self, number: int) -> None:
        """Send a signal, and wait for the end."""
        self._process.send_signal(number)
        try:
            self._process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise


class StudioProcess(Process):
    """A studio.

    Args:
        folder: Its folder.
        *options: Options of `kling serve`.
        environment: Environment variables; without them there is no account, only the sandbox.

    """

    def __init__(self, folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        super().__init__("serve", "--folder", str(folder), *options, environment=environment)
        self._port = "0"

    def start(self) -> None:
        """Start it, at the port of `keep_port`."""
        self.options = ("--port", self._port)
        super().start()

    def keep_port(self) -> None:
        """Use the present port at every further start."""
        self._port = self.base_url.rpartition(":")[2]

    @property
    def link(self) -> str:
        """The link that signs the first browser in."""
        return self.secret

    @property
    def token(self) -> str:
        """The token of programs."""
        return (self.folder / "token").read_text("ascii")


class SandboxProcess(Process):
    """A sandbox that outlives a studio, which connects to it as its gateway."""

    def __init__(self, timing: str) -> None:
        super().__init__("sandbox", "--timing", timing)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a client."""
        return {"KLING_BASE_URL": self.base_url, "SEGMIND_API_KEY": self.secret}
