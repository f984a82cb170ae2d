"""An answer may name any URL for its output; one in the network of this machine is not fetched."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from kling_adapters import (
    Artifact,
    AsyncResult,
    ConfigError,
    Kling,
    Metrics,
    Result,
    StorageError,
)
from kling_adapters._http.output_networks import OutputNetworks
from kling_adapters.testing import MP4
from tests.support.clients import OpenClient
from tests.support.scripted_server import KEY, Reply, ScriptedServer

Save = Callable[[str, Path], Any]


@pytest.fixture
def save(open_client: OpenClient) -> Save:
    """Store the output at a URL that a remote gateway named."""

    def save_output(url: str, folder: Path) -> Any:
        # Opened here, because a client reads the environment that the test has prepared.
        client = open_client("https://gateway.example")
        result_class: Any = AsyncResult if client.is_async else Result
        artifacts = (Artifact(url, "video"),)
        result = result_class("id", "kling-2", url, artifacts, Metrics(), {}, _driver=client.kling._driver)
        return client.view(result).save(folder)

    return save_output


class Server(ScriptedServer):
    """Serves a response over TLS at every address of this machine, under the names of ADDRESSES."""

    def __init__(self, authority: trustme.CA) -> None:
        self.status, self.answer, self.body = 200, {"content-type": "video/mp4"}, MP4
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*ADDRESSES).configure_cert(context)
        super().__init__(
            lambda _: Reply(self.status, self.body, self.answer),
            host="0.0.0.0",
            tls=context,
        )


ADDRESSES = {
    "files.example": ["127.0.0.7"],
    "mixed.example": ["10.0.0.1", "127.0.0.7"],
    "rebind.example": ["127.0.0.7", "127.0.0.1"],
    "proxied.example": [],
    "fake-ip.example": ["198.18.0.7"],
    "internal.example": ["192.168.0.9"],
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """The server stands at every address of this machine; 127.0.0.7 is the one that counts as public."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("KLING_OUTPUT_NETWORKS", "127.0.0.7/32, fd00:7::/64")
    real = socket.getaddrinfo
    lookups: Counter[str] = Counter()

    def look_up(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in ADDRESSES:
            return real(host, port, *rest, **more)
        lookups[name] += 1
        addresses = ADDRESSES[name]
        if name == "rebind.example":
            addresses = addresses[:1] if lookups[name] == 1 else addresses[1:]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return [result for address in addresses for result in real(address, port, *rest, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with Server(authority) as server:
        yield server


def test_public_output_is_stored(save: Save, server: Server, tmp_path: Path) -> None:
    [file] = save(f"https://files.example:{server.port}/a.mp4", tmp_path / "out")
    assert file.path.read_bytes() == MP4
    assert KEY not in str(server.requests)


@pytest.mark.parametrize("name", ["mixed.example", "rebind.example"])
def test_only_a_checked_address_is_connected_to(
    save: Save, server: Server, tmp_path: Path, name: str
) -> None:
    [file] = save(f"https://{name}:{server.port}/a.mp4", tmp_path / "out")
    assert file.path.read_bytes() == MP4
    assert server.addresses == ["127.0.0.7"]


def test_host_without_address_is_not_connected_to(save: Save, server: Server, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be looked up"):
        save(f"https://proxied.example:{server.port}/a.mp4", tmp_path / "out")


class Proxy(threading.Thread):
    """Makes the tunnels that it is asked for, all of them to one port of this machine."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._target = port
        # A tunnel carries bytes of both sides, so the scripted server cannot be one.
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://user:secret@127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        self._tunnels: list[tuple[socket.socket, socket.socket]] = []
        self._copiers: list[threading.Thread] = []

    def run(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.requests.append(near.recv(65536).split(b"\r\n")[0])
            far = socket.create_connection(("127.0.0.1", self._target))
            self._tunnels.append((near, far))
            near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            for here, there in ((near, far), (far, near)):
                self._copiers.append(threading.Thread(target=self._copy, args=(here, there), daemon=True))
                self._copiers[-1].start()

    @staticmethod
    def _copy(here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while data := here.recv(65536):
                there.sendall(data)
        with suppress(OSError):
            there.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join()
        for tunnel in self._tunnels:
            for side in tunnel:
                with suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)
        for copier in self._copiers:
            copier.join()
        # A socket that only the garbage collector closes is a warning in a later test.
        for tunnel in self._tunnels:
            for side in tunnel:
                side.close()


@pytest.fixture
def proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    proxy = Proxy(server.port)
    proxy.start()
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    yield proxy
    proxy.close()


@pytest.mark.parametrize("name", ["proxied.example", "fake-ip.example", "internal.example"])
def test_proxy_resolves_the_host(save: Save, server: Server, proxy: Proxy, tmp_path: Path, name: str) -> None:
    [file] = save(f"https://{name}:443/a.mp4", tmp_path / "out")
    assert file.path.read_bytes() == MP4
    assert proxy.requests == [f"CONNECT {name}:443 HTTP/1.1".encode()]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"])
def test_private_address_is_not_requested_from_a_proxy(
    save: Save, proxy: Proxy, tmp_path: Path, host: str
) -> None:
    with pytest.raises(StorageError, match="has no public address"):
        save(f"https://{host}/a.mp4", tmp_path / "out")
    assert proxy.requests == []


def test_host_outside_the_proxy_is_checked(
    save: Save, server: Server, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "example")
    with pytest.raises(StorageError, match=r"KLING_OUTPUT_NETWORKS=192\.168\.0\.9/32"):
        save("https://internal.example/a.mp4", tmp_path / "out")
    save(f"https://files.example:{server.port}/a.mp4", tmp_path / "out")
    assert proxy.requests == []


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "198.18.0.7", "224.0.0.1",
        "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1%eth0", "fec0::1", "fc00::1",
        "ff02::1", "ff0e::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::1",
        "2001:0:a00:1::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_special_address_is_not_public(address: str) -> None:
    with pytest.raises(StorageError, match="KLING_OUTPUT_NETWORKS"):
        OutputNetworks().check("cdn.example", [address])


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f::1", "64:ff9b::5db8:d70e"])
def test_public_address_is_public(address: str) -> None:
    assert OutputNetworks().check("cdn.example", [address]) == [address]


@pytest.mark.parametrize("address", ["10.20.30.40", "::ffff:10.20.30.40", "64:ff9b::a14:1e28", "fd00::1"])
def test_configured_network_is_allowed(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_OUTPUT_NETWORKS", "10.0.0.0/8, fd00::/8")
    assert OutputNetworks().check("cdn.example", [address]) == [address]


def test_invalid_network_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_OUTPUT_NETWORKS", "10.0.0.0/33")
    with pytest.raises(ConfigError, match=r"KLING_OUTPUT_NETWORKS must be networks .*Nothing was sent"):
        Kling(base_url="https://gateway.example", api_key=KEY, journal=None)


PRIVATE = [
    "https://127.0.0.1:{port}/a.mp4",
    "https://localhost:{port}/a.mp4",
    "https://[::1]:{port}/a.mp4",
    "https://127.1:{port}/a.mp4",
    "https://0x7f.0.0.1:{port}/a.mp4",
    "https://localhost.:{port}/a.mp4",
    "https://x.localhost:{port}/a.mp4",
    "https://[::ffff:10.0.0.1]:{port}/a.mp4",
    "https://169.254.169.254/latest/meta-data",
    "https://internal.example:{port}/a.mp4",
    "https://2130706433:{port}/a.mp4",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_output_in_a_private_network_is_not_fetched(
    save: Save, server: Server, tmp_path: Path, url: str
) -> None:
    with pytest.raises(StorageError, match="has no public address here") as caught:
        save(url.format(port=server.port), tmp_path / "out")
    assert caught.value.url == url.format(port=server.port)
    assert server.connections == 0
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("url", PRIVATE)
def test_redirect_to_a_private_network_is_not_followed(
    save: Save, server: Server, tmp_path: Path, url: str
) -> None:
    server.status, server.answer = 302, {"location": url.format(port=server.port)}
    with pytest.raises(StorageError, match="has no public address here"):
        save(f"https://files.example:{server.port}/a.mp4", tmp_path / "out")
    assert server.connections == 1


def test_redirect_from_https_to_http_is_not_followed(save: Save, server: Server, tmp_path: Path) -> None:
    server.status, server.answer = 302, {"location": f"http://files.example:{server.port}/a.mp4"}
    with pytest.raises(StorageError, match="redirected from https to plain http"):
        save(f"https://files.example:{server.port}/a.mp4", tmp_path / "out")
    assert server.connections == 1
