"""Connections of the server: access to them, and ends that HTTP servers do not allow."""

import asyncio
import socket
import struct

from starlette.types import Receive, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol


class Protocol(H11Protocol):
    """The HTTP protocol of uvicorn, with the connection in the scope of its requests."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Store the connection for `get_transport`."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def get_transport(scope: Scope) -> asyncio.Transport:
    """Return the connection of a request."""
    transport: asyncio.Transport = scope["state"]["transport"]
    return transport


async def end_connection(scope: Scope, receive: Receive, data: bytes = b"", *, reset: bool) -> None:
    """Send bytes unchanged and end the connection, with a RST or a FIN."""
    connection = get_transport(scope)
    connection.write(data)
    if reset:
        # A reset drops bytes that are not sent yet.
        while connection.get_write_buffer_size() and not connection.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        if not connection.is_closing():
            linger = struct.pack("ii", 1, 0)
            connection.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.abort()
    else:
        connection.close()
    # Before the disconnect, the server would send a response of its own.
    while (await receive())["type"] != "http.disconnect":
        pass
