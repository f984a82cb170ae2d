"""An answer may name any URL for its output; what leads into the network of this machine is not fetched."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from kling_adapters import Artifact, AsyncKling, AsyncResult, Kling, Metrics, Result, StorageError
from kling_adapters.testing import MP4

from .stub import KEY

Save = Callable[[str, Path], Any]


@pytest.fixture(params=["sync", "async"])
def save(request: pytest.FixtureRequest) -> Save:
    """Stores the output at a URL, which a gateway that is not on this machine has named."""

    def result(kind: Any, url: str, client: Any) -> Any:
        artifact = Artifact(url, "video")
        return kind("id", "kling-2", url, (artifact,), Metrics(), {}, _driver=client._driver)

    def blocking(url: str, folder: Path) -> Any:
        with Kling(base_url="https://gateway.example", api_key=KEY) as kling:
            return result(Result, url, kling).save(folder)

    async def awaiting(url: str, folder: Path) -> Any:
        async with AsyncKling(base_url="https://gateway.example", api_key=KEY) as kling:
            return await result(AsyncResult, url, kling).save(folder)

    return blocking if request.param == "sync" else lambda *given: anyio.run(awaiting, *given)


class Server:
    """Answers as told, over TLS for the name files.example, and counts the connections."""

    def __init__(self, authority: trustme.CA) -> None:
        self.connections = 0
        self.headers: dict[str, str] = {}
        self.status, self.answer, self.body = 200, {"content-type": "video/mp4"}, MP4
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.headers = dict(self.headers)
                self.send_response(server.status)
                for name, value in {**server.answer, "content-length": str(len(server.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(server.body)

            def log_message(self, *_: Any) -> None: ...

        class Counting(ThreadingHTTPServer):
            def get_request(self) -> Any:
                server.connections += 1
                connection, address = super().get_request()
                return context.wrap_socket(connection, server_side=True), address

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("files.example", "proxied.example").configure_cert(context)
        self.http = Counting(("127.0.0.1", 0), Handler)
        self.port = self.http.server_port


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """The name of the server has a public address when it is looked up to be judged; proxied.example has none then."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    names = {
        "files.example": "93.184.215.14",
        "proxied.example": "",
        "internal.example": "192.168.0.9",
        "mixed.example": "10.0.0.1",
    }
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        known = names.get(name, name)
        if not known and port is None:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return real(known if port is None or name not in names else "127.0.0.1", port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    server = Server(authority)
    thread = threading.Thread(target=server.http.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def test_a_public_output_is_stored(save: Save, server: Server, tmp_path: Path) -> None:
    [file] = save(f"https://files.example:{server.port}/a.mp4", tmp_path / "out")
    assert file.path.read_bytes() == MP4
    assert KEY not in str(server.headers)


def test_a_name_that_only_a_proxy_can_look_up_is_left_to_the_connection(
    save: Save, server: Server, tmp_path: Path
) -> None:
    [file] = save(f"https://proxied.example:{server.port}/a.mp4", tmp_path / "out")
    assert file.path.read_bytes() == MP4


PRIVATE = [
    "https://127.0.0.1:{port}/a.mp4",
    "https://localhost:{port}/a.mp4",
    "https://[::1]:{port}/a.mp4",
    "https://[::ffff:10.0.0.1]:{port}/a.mp4",
    "https://169.254.169.254/latest/meta-data",
    "https://internal.example:{port}/a.mp4",
    "https://2130706433:{port}/a.mp4",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_an_output_in_the_private_network_is_not_fetched(
    save: Save, server: Server, tmp_path: Path, url: str
) -> None:
    with pytest.raises(StorageError, match="which is no public address") as caught:
        save(url.format(port=server.port), tmp_path / "out")
    assert caught.value.url == url.format(port=server.port)
    assert server.connections == 0
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("url", PRIVATE)
def test_a_redirect_into_the_private_network_is_not_followed(
    save: Save, server: Server, tmp_path: Path, url: str
) -> None:
    server.status, server.answer = 302, {"location": url.format(port=server.port)}
    with pytest.raises(StorageError, match="which is no public address"):
        save(f"https://files.example:{server.port}/a.mp4", tmp_path / "out")
    assert server.connections == 1


def test_a_redirect_from_https_to_http_is_not_followed(save: Save, server: Server, tmp_path: Path) -> None:
    server.status, server.answer = 302, {"location": f"http://files.example:{server.port}/a.mp4"}
    with pytest.raises(StorageError, match="redirected from https to plain http"):
        save(f"https://files.example:{server.port}/a.mp4", tmp_path / "out")
    assert server.connections == 1
