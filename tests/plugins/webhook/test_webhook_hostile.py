"""kling-webhook with proxies, hostile receivers and planted files."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
import standardwebhooks
from kling_webhook import Webhook, WebhookRefused, endpoint, receive
from kling_webhook.deadletters import DeadLetters
from kling_webhook.message import Message

from kling_adapters import ConfigError, events
from tests.plugins.webhook.conftest import SECRET


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve every connection in a separate thread."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    def handle(connection: socket.socket) -> None:
        with connection:
            try:
                answer(connection)
            except OSError:
                return

    # A raw socket: each test writes its own bytes.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def letters(tmp_path: Path) -> DeadLetters:
    return DeadLetters(tmp_path / "letters.jsonl")


def message(number: int = 1) -> Message:
    return Message(f"msg_{number}", {"type": "t", "timestamp": "", "data": {"request_id": f"r{number}"}})


def test_local_receiver_bypasses_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    through_proxy: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    def spy(connection: socket.socket) -> None:
        through_proxy.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with listening(answer) as port, listening(spy) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for host in ("127.0.0.1", "localhost"):
            receiver = endpoint.Endpoint(f"http://user:hunter2@{host}:{port}/tok3n", SECRET)
            assert receiver.post(message()) is None
    assert through_proxy == []


def test_response_body_is_not_read() -> None:
    sent = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 10000000000\r\n\r\n"
        )
        sent.wait(30)

    with listening(answer) as port:
        assert endpoint.Endpoint(f"http://127.0.0.1:{port}/", SECRET).post(message()) is None
        sent.set()


def test_slow_response_fails_at_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "ATTEMPT_SECONDS", 0.3)
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not over.wait(0.05):
            connection.sendall(b"x-a: b\r\n")

    with listening(answer) as port:
        failure = endpoint.Endpoint(f"http://127.0.0.1:{port}/", SECRET).post(message())
        over.set()
    assert failure == ("no response within 0.3 seconds", True)


def test_jobs_share_four_threads(tmp_path: Path) -> None:
    peak = 0
    open_now: set[int] = set()
    lock = threading.Lock()
    all_busy = threading.Event()

    def answer(connection: socket.socket) -> None:
        nonlocal peak
        connection.recv(65536)
        with lock:
            open_now.add(connection.fileno())
            peak = max(peak, len(open_now))
            if peak == 4:
                all_busy.set()
        all_busy.wait(30)
        with lock:
            open_now.discard(connection.fileno())
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    earlier = threading.enumerate()
    with listening(answer) as port:
        plugin = Webhook(f"http://127.0.0.1:{port}/", secret=SECRET, dead_letters=tmp_path / "letters")
        for number in range(200):
            plugin.kling_event(events.Expired(f"r{number}", None, 1))
        workers = [
            thread for thread in set(threading.enumerate()) - set(earlier) if thread.name == "kling-webhook"
        ]
        assert len(workers) == 4
        plugin.kling_close()
    assert peak == 4
    assert not (tmp_path / "letters").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX file modes")
def test_dead_letter_file_is_created_private(letters: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    real_open = os.open

    def record_mode(path: Any, flags: int, *mode: int, **options: Any) -> int:
        descriptor = real_open(path, flags, *mode, **options)
        if "letters.jsonl" in str(path) and not str(path).endswith(".lock"):
            modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    before = os.umask(0)
    try:
        monkeypatch.setattr(os, "open", record_mode)
        letters.append([message(1), message(2)], "no")
        letters.remove([next(iter(letters.read()))])
    finally:
        os.umask(before)
    assert set(modes) == {0o600}
    assert stat.S_IMODE(letters.path.stat().st_mode) == 0o600
    assert [letter.id for letter in letters.read().values() if letter] == ["msg_2"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX links")
def test_link_as_dead_letter_file_is_rejected(letters: DeadLetters, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    victim.chmod(0o644)
    letters.path.symlink_to(victim)
    with pytest.raises(OSError, match="it is a link; expected a regular file"):
        letters.append([message()], "no")
    with pytest.raises(ConfigError, match="it is a link"):
        letters.read()
    assert (victim.read_text(), stat.S_IMODE(victim.stat().st_mode)) == ("mine", 0o644)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe_as_dead_letter_file_is_rejected(letters: DeadLetters) -> None:
    os.mkfifo(letters.path)
    with pytest.raises(OSError, match=r"not a regular file|No such device"):
        letters.append([message()], "no")
    with pytest.raises(ConfigError, match="it is not a regular file"):
        letters.read()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX links")
def test_planted_link_gets_no_rewritten_letters(letters: DeadLetters, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    letters.path.with_name("letters.jsonl.new").symlink_to(victim)
    letters.append([message(1), message(2)], "no")
    letters.remove([next(iter(letters.read()))])
    assert victim.read_text() == "mine"
    assert not letters.path.is_symlink()


@pytest.mark.parametrize("body", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_deeply_nested_signed_body_is_refused(body: str) -> None:
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(SECRET).sign("msg_1", now, body),
    }

    class FakeRequest:
        def __init__(self) -> None:
            self.headers = headers

        async def body(self) -> bytes:
            return body.encode()

    with pytest.raises(WebhookRefused) as caught:
        anyio.run(receive, FakeRequest(), SECRET)
    assert caught.value.status == 400


def test_deeply_nested_dead_letter_is_unreadable(letters: DeadLetters) -> None:
    letters.append([message()], "no")
    with letters.path.open("ab") as file:
        file.write(b"[" * 100_000 + b"\n")
    assert [letter and letter.id for letter in letters.read().values()] == ["msg_1", None]
    assert json.loads(next(iter(letters.read())))["id"] == "msg_1"
