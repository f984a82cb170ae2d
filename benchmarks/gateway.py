"""A gateway that answers as fast as one process of Python can, so that the clients are measured and not their gateway.

It has no checks, no faults and no prices: the sandbox has those, and takes longer for them than a client for a request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.request import urlopen

KEY = "SG_0000000000000001"
MP4_HEAD = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41"
"""The first bytes of an MP4 file, by which a client knows its type."""
SMALL_FILE = 20_000
"""Bytes of the file of every job."""
SPREAD = 0.3
"""The standard deviation of the logarithm of the duration of jobs."""


def read_request_count(base_url: str) -> int:
    """Return the number of requests that a gateway has answered."""
    with urlopen(f"{base_url}/count") as response:  # noqa: S310  http on this machine
        return int(response.read())


@contextmanager
def run_gateway(seconds: float = 0.0, large_file: Path | None = None) -> Generator[str]:
    """Run a gateway in a process of its own.

    Args:
        seconds: The mean duration of a job.
        large_file: The file to serve at `/media/large.mp4`.

    Yields:
        The base URL.

    """
    command = [sys.executable, "-m", "benchmarks.gateway", str(seconds), str(large_file or "")]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


class _Gateway:
    """Jobs by their id, and the responses about them."""

    def __init__(self, seconds: float, large_file: Path | None) -> None:
        self.base_url = ""
        self.large_file = large_file
        self.small_file = MP4_HEAD.ljust(SMALL_FILE, b"\0")
        self.requests = 0
        self._seconds = seconds
        self._random = random.Random(14)
        self._ends: dict[str, float] = {}

    def make_body(self, method: str, path: str) -> dict[str, Any]:
        """Return the body of the response to a request about a job."""
        if method == "POST":
            request_id = str(uuid.uuid4())
            self._ends[request_id] = time.monotonic() + self._draw_duration()
            return {"request_id": request_id, "status": "QUEUED", **self._urls(request_id)}
        request_id = path.split("/")[3]
        if time.monotonic() < self._ends[request_id]:
            urls = self._urls(request_id)
            return {"status": "PROCESSING", "request_id": request_id, **urls, "metrics": {}}
        if path.endswith("/status"):
            metrics = {"inference_time": self._seconds}
            return {"status": "COMPLETED", "request_id": request_id, "metrics": metrics}
        return self._make_result(request_id)

    def _make_result(self, request_id: str) -> dict[str, Any]:
        name = "large.mp4" if self.large_file else f"{request_id}.mp4"
        size = self.large_file.stat().st_size if self.large_file else SMALL_FILE
        url = f"{self.base_url}/media/{name}"
        video = {"url": url, "content_type": "video/mp4", "file_name": name, "file_size": size}
        metrics = {"cost": 0.5, "remaining_credits": 100.0, "inference_time": self._seconds}
        return {
            "status": "COMPLETED", "request_id": request_id, "output": url, "video": video, "metrics": metrics
        }  # fmt: skip

    def _draw_duration(self) -> float:
        return self._seconds * self._random.lognormvariate(-(SPREAD**2) / 2, SPREAD)

    def _urls(self, request_id: str) -> dict[str, str]:
        url = f"{self.base_url}/v2/requests/{request_id}"
        return {"status_url": f"{url}/status", "response_url": url}


class _Connection(asyncio.Protocol):
    """A connection, over which a client sends one request after another."""

    def __init__(self, gateway: _Gateway) -> None:
        self._gateway = gateway
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        _, _, length = head.lower().partition(b"content-length:")
        if len(body) < int(length.partition(b"\r\n")[0] or 0):
            return
        self._received = b""
        method, path, _ = head.decode("latin-1").split(" ", 2)
        if path.startswith("/media/"):
            self._send_file(path)
        elif path == "/count":
            count = str(self._gateway.requests).encode()
            self._transport.write(_make_head("text/plain", len(count)) + count)
        else:
            self._gateway.requests += 1
            answer = json.dumps(self._gateway.make_body(method, path)).encode()
            self._transport.write(_make_head("application/json", len(answer)) + answer)

    def _send_file(self, path: str) -> None:
        if path.endswith("/large.mp4") and (file := self._gateway.large_file):
            # Kept, because the event loop has only weak references to tasks.
            self._transport.write(_make_head("video/mp4", file.stat().st_size))
            self._sending = asyncio.ensure_future(self._send_content(file))
        else:
            content = self._gateway.small_file
            self._transport.write(_make_head("video/mp4", len(content)) + content)

    async def _send_content(self, path: Path) -> None:
        with path.open("rb") as file:
            await asyncio.get_running_loop().sendfile(self._transport, file)


def _make_head(content_type: str, length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n".encode()


async def _serve(gateway: _Gateway) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(gateway), "127.0.0.1", 0, backlog=4096)
    gateway.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(gateway.base_url, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seconds", type=float)
    parser.add_argument("large_file")
    arguments = parser.parse_args()
    asyncio.run(
        _serve(_Gateway(arguments.seconds, Path(arguments.large_file) if arguments.large_file else None))
    )
