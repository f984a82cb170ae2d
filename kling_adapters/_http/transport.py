"""Transports, which send requests; a failure says whether the request may have been received."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any

import anyio.to_thread

from kling_adapters._http.clients import ConnectionFactory, Connections, G
from kling_adapters._http.custom import (
    AsyncGatewayTransport,
    GatewayTransport,
    send_request,
    send_request_async,
)
from kling_adapters._http.exchange import Exchange
from kling_adapters._http.failures import find_failures, make_fault
from kling_adapters._http.file_body import FileBody
from kling_adapters._http.library import httpx
from kling_adapters._http.settings import ConnectionSettings
from kling_adapters.protocol.download import Download
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Outcome, Request, UploadBody


class SyncTransport:
    """Blocking transport of a client.

    Args:
        settings: The settings of the client.
        keys: The keys that any transport of the client has sent.
        custom: Transport of the caller, for requests to the gateway.

    """

    def __init__(
        self, settings: ConnectionSettings, keys: set[str], custom: GatewayTransport | None = None
    ) -> None:
        self._gateway = settings.gateway
        self._keys = keys
        self._connections = ConnectionFactory(settings).connect(custom)

    def send(self, request: Request) -> Outcome:
        """Return the complete answer, or the failure."""
        exchange = Exchange(self._gateway, request, self._keys)
        queue = _select_queue(self._connections, self._gateway, request)
        content = iter(request.body) if isinstance(request.body, UploadBody) else request.body
        request.queueing.is_waiting = True
        try:
            with queue.admit(request.deadline) as transport, exchange.observe():
                request.queueing.is_waiting = False
                sent = exchange.build_request(self._connections.request_type, content)
                with closing(send_request(transport, sent)) as response:
                    exchange.start_body(is_decoded=response.is_stream_consumed)
                    for chunk in _iter_raw_chunks(response):
                        exchange.add_chunk(chunk)
                    return exchange.read_answer(response)
        except find_failures() as error:
            return make_fault(error, self._keys)

    def fetch(self, request: Request, download: Download) -> Outcome:
        """Stream the body of the answer into `download`, and return the answer without it, or the failure."""
        exchange = Exchange(self._gateway, request, self._keys)
        try:
            with (
                self._connections.files.admit(request.deadline) as client,
                exchange.start() as arguments,
                client.stream(**arguments) as response,
            ):
                answer = exchange.read_head(response)
                if download.begin(answer.status, answer.headers):
                    exchange.start_file()
                    for chunk in response.iter_raw():
                        download.write(chunk)
                return answer
        except find_failures() as error:
            return make_fault(error, self._keys)

    def close(self) -> None:
        """Close the connections, except those of submits under way, which end with their answers."""
        self._connections.history.close()
        self._connections.queries.close()
        self._connections.files.close()


class AsyncTransport:
    """Asynchronous transport of a client, for asyncio and trio. Arguments as for SyncTransport."""

    def __init__(
        self, settings: ConnectionSettings, keys: set[str], custom: AsyncGatewayTransport | None = None
    ) -> None:
        self._gateway = settings.gateway
        self._keys = keys
        self._connections = ConnectionFactory(settings).connect_async(custom)

    async def send(self, request: Request) -> Outcome:
        """Return the complete answer, or the failure."""
        exchange = Exchange(self._gateway, request, self._keys)
        queue = _select_queue(self._connections, self._gateway, request)
        content = _read_in_threads(request.body) if isinstance(request.body, UploadBody) else request.body
        request.queueing.is_waiting = True
        try:
            async with queue.admit(request.deadline) as transport:
                request.queueing.is_waiting = False
                with exchange.observe():
                    sent = exchange.build_request(self._connections.request_type, content)
                    async with aclosing(await send_request_async(transport, sent)) as response:
                        exchange.start_body(is_decoded=response.is_stream_consumed)
                        async for chunk in _aiter_raw_chunks(response):
                            exchange.add_chunk(chunk)
                        return exchange.read_answer(response)
        except find_failures() as error:
            return make_fault(error, self._keys)

    async def fetch(self, request: Request, download: Download) -> Outcome:
        """Stream the body of the answer into `download`, and return the answer without it, or the failure."""
        exchange = Exchange(self._gateway, request, self._keys)
        try:
            async with self._connections.files.admit(request.deadline) as client:
                with exchange.start() as arguments:
                    async with client.stream(**arguments) as response:
                        answer = exchange.read_head(response)
                        if await anyio.to_thread.run_sync(download.begin, answer.status, answer.headers):
                            exchange.start_file()
                            await FileBody(download).write(response.aiter_raw())
                        return answer
        except find_failures() as error:
            return make_fault(error, self._keys)

    async def close(self) -> None:
        """Close the connections, except those of submits under way, which end with their answers."""
        await self._connections.history.close()
        await self._connections.queries.close()
        await self._connections.files.close()


def _select_queue(connections: Connections[G, Any], gateway: Gateway, request: Request) -> G:
    if isinstance(request.body, UploadBody):
        return connections.uploads
    if gateway.is_history(request.url):
        return connections.history
    return connections.submits if request.method == "POST" else connections.queries


def _iter_raw_chunks(response: httpx.Response) -> Iterator[bytes]:
    # The transport of a caller, such as httpx.MockTransport, may return an answer that has been read, and decoded.
    return iter((response.content,)) if response.is_stream_consumed else response.iter_raw()


async def _aiter_raw_chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    if response.is_stream_consumed:
        yield response.content
        return
    async for chunk in response.aiter_raw():
        yield chunk


async def _read_in_threads(body: UploadBody) -> AsyncIterator[bytes]:
    pieces: Iterator[bytes | None] = iter(body)
    while (piece := await anyio.to_thread.run_sync(next, pieces, None)) is not None:
        yield piece
