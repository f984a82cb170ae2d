"""The gateways that jobs can run on: the sandbox of the application, and the account of the user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
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

    """

    name: str
    title: str
    client: AsyncKling

    @property
    def is_free(self) -> bool:
        """Whether jobs cost nothing."""
        return self.name == SANDBOX


class Connections:
    """The connections by name; the first is the default of forms.

    Args:
        settings: The settings of the application.
        schemas: JSON Schemas of all models by slug, for the sandbox; models may be added while it runs.

    """

    def __init__(self, settings: Settings, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self._settings, self._schemas = settings, schemas
        self._connections: dict[str, Connection] = {}
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Make the clients, and start the sandbox. Raises ConfigError if there is nothing to run jobs on."""
        settings = self._settings
        if settings.uses_account:
            client = AsyncKling(
                api_key=settings.api_key, base_url=settings.base_url, journal=settings.journal
            )
            await self._add(Connection(ACCOUNT, "Segmind", client))
        if settings.uses_sandbox:
            await self._open_sandbox()
        if not self._connections:
            raise ConfigError(
                "no gateway to run jobs on: set SEGMIND_API_KEY, or install the sandbox with "
                "pip install 'kling-adapters[sandbox]'. Nothing was sent"
            )

    async def _open_sandbox(self) -> None:
        try:
            from kling_sandbox import Sandbox
        except ImportError:
            return
        sandbox = Sandbox(timing=self._settings.sandbox_timing, schemas=self._schemas, credits=1e6)
        self._stack.enter_context(sandbox)
        client = AsyncKling(
            api_key=sandbox.api_key, base_url=sandbox.base_url, journal=self._settings.sandbox_journal
        )
        await self._add(Connection(SANDBOX, "Sandbox", client))

    async def _add(self, connection: Connection) -> None:
        await self._stack.enter_async_context(connection.client)
        self._connections[connection.name] = connection

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
