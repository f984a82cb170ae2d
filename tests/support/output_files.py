"""Output files of a scripted gateway, sent whole or in parts, and what a client stored of them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from kling_adapters import StoredFile
from kling_adapters.testing import MP4
from tests.support.scripted_server import (
    Reply,
    Request,
    ScriptedServer,
    gateway_script,
    result_reply,
)

HTML = b"<!doctype html><html><body>" + b"Sign in to go on. " * 100 + b"</body></html>"
ALTERED = MP4[:12] + bytes(reversed(MP4[12:]))


def script_output(
    server: ScriptedServer, files: Any, *, output: str = "/files/x.mp4", **described: Any
) -> None:
    """Script a gateway whose job is done; `described` is what its result says of the video."""
    video = {"url": server.url + output, "content_type": "video/mp4", **described}
    server.play(gateway_script(result=[result_reply(server.url + output, video=video)], files=files))


def list_files(folder: Path) -> list[Path]:
    """Return the files below a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def check_stored(saved: tuple[StoredFile, ...], folder: Path, content: bytes = MP4) -> None:
    """Check that a folder has exactly the files that were reported, as they were reported."""
    assert [file.path for file in saved] == list_files(folder)
    for file in saved:
        data = file.path.read_bytes()
        assert data == content
        assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def read_range_start(received: Request) -> int:
    """Return the start of the range of a request."""
    match = re.fullmatch(r"bytes=(\d+)-", received.headers.get("range", "bytes=0-"))
    assert match
    return int(match[1])


def part_reply(
    start: int, sent: int | None, content: bytes = MP4, etag: str = '"one"', says: str = ""
) -> Reply:
    """Return the response with the file from `start` on, cut after `sent` bytes."""
    rest = content[start:]
    headers = {"content-range": says or f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
    if etag:
        headers["etag"] = etag
    cut = sent is not None and sent < len(rest)
    return Reply(
        206 if start else 200, rest, headers, announce=len(rest) if cut else -1, sent=sent if cut else None
    )
