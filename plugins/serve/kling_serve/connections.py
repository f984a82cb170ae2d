"""The gateways that jobs can run on: the sandbox of the application, and the account of the user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from os import PathLike
from typing import Any, Final

from kling_adapters import AsyncKling, ConfigError
from kling_serve.settings import Settings

SANDBOX: Final = "sandbox"
ACCOUNT: Final = "account"


@dataclass(frozen=True, eq=False)
class Connection:
    """A client of one gateway, with a journal of its own.

    Attributes:
        name: The name in forms and addresses: sandbox or account.
        title: The name for readers.
        client: The client.
        base_url: The address that code has to name; None if the environment names it.
        sandbox_key: The key of the sandbox, which is not a secret; None for an account.
        estimator: A client of the same journal that never reads the request history, so that an estimate sends nothing.

    """

    name: str
    title: str
    client: AsyncKling
    estimator: AsyncKling
    base_url: str | None = None
    sandbox_key: str | None = None

    @property
    def is_free(self) -> bool:
        """True if jobs cost nothing."""
        return self.sandbox_key is not None


class Connections:
    """The connections by name; the first is the default of forms.

    Args:
        settings: The settings of the application.
        schemas: JSON Schemas of all models by slug, for the sandbox; models may be added while it runs.

    Raises ConfigError if the address of the gateway is invalid.

    """

    def __init__(self, settings: Settings, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self._settings, self._schemas = settings, schemas
        AsyncKling(base_url=settings.base_url, journal=None)  # refuses an invalid address, also without a key
        self._connections: dict[str, Connection] = {}
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Make the clients, and start the sandbox. Raises ConfigError if there is nothing to run jobs on."""
        settings = self._settings
        if settings.uses_account:
            await self._add(ACCOUNT, "Segmind", settings.api_key, settings.base_url, settings.journal)
        if settings.uses_sandbox:
            await self._open_sandbox()
        if not self._connections:
            sandbox = "install the sandbox with pip install 'kling-adapters[sandbox]'"
            advice = sandbox if settings.uses_sandbox else "leave out --no-sandbox"
            raise ConfigError(
                f"no gateway to run jobs on: set SEGMIND_API_KEY, or {advice}. Nothing was sent"
            )

    async def _open_sandbox(self) -> None:
        try:
            from kling_sandbox import Sandbox
        except ImportError:
            return
        try:
            sandbox = Sandbox(timing=self._settings.sandbox_timing, schemas=self._schemas, credits=1e6)
        except ValueError as error:
            raise ConfigError(f"the sandbox cannot start: {error}. Nothing was sent") from None
        self._stack.enter_context(sandbox)
        journal = self._settings.sandbox_journal
        await self._add(SANDBOX, "Sandbox", sandbox.api_key, sandbox.base_url, journal)

    async def _add(
        self, name: str, title: str, api_key: str | None, base_url: str | None, journal: str | PathLike[str]
    ) -> None:
        client = AsyncKling(api_key=api_key, base_url=base_url, journal=journal)
        estimator = AsyncKling(api_key=api_key, base_url=base_url, journal=journal, history=False)
        for part in (client, estimator):
            await self._stack.enter_async_context(part)
        sandbox_key = api_key if name == SANDBOX else None
        self._connections[name] = Connection(name, title, client, estimator, base_url, sandbox_key)

    async def close(self) -> None:
        """Close the clients and the sandbox."""
        await self._stack.aclose()

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._connections.values())

    def find(self, name: str | None) -> Connection:
        """Return a connection by name, the default for None. Raises ConfigError for an unknown name."""
        if name is None:
            return next(iter(self))
        if name not in self._connections:
            names = ", ".join(self._connections)
            raise ConfigError(f"there is no gateway of this name; expected {names}. Nothing was sent")
        return self._connections[name]
