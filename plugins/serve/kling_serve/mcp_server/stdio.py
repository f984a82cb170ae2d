"""`kling mcp`: the server for one client on standard input and output."""

from __future__ import annotations

import asyncio
import logging
import sys

from kling_serve.app import make_studio, run_studio
from kling_serve.mcp_server.server import OWNER, serve_stdio
from kling_serve.settings import Settings

__all__ = ["OWNER", "run"]


def run(settings: Settings) -> None:
    """Serve until the client closes standard input. The log goes to standard error."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    studio = make_studio(settings)
    async with run_studio(studio):
        await serve_stdio(studio)
