"""A real S3 server, an independent client for it, and jobs whose files are stored."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import anyio
import boto3
import pytest
from botocore.config import Config
from kling_objectstore import ObjectStore
from kling_sandbox import Sandbox

from kling_adapters import AsyncKling, Kling
from kling_adapters.hookspecs import Storage
from kling_adapters.testing import MP4, SimulatedClock

WEED = Path(sys.executable).with_name("weed")
KEY_ID, SECRET = "AKIDOFTHETESTS", "sEcReT/0123456789abcdefghijklmnop"
MB = 1024**2
BIG = MP4 + os.urandom(MB) * 64
PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
    "admin.port",
    "admin.port.grpc",
)


class S3Server:
    """A SeaweedFS process in a folder, and a boto3 client for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in PORTS]
            self._ports = dict(zip(PORTS, [listener.getsockname()[1] for listener in sockets], strict=True))
        self.port: int = self._ports["s3.port"]
        self.url = f"http://127.0.0.1:{self.port}"
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def __enter__(self) -> Self:
        flags = {
            **self._ports,
            "dir": self._folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "filer.localSocket": self._folder / "filer.sock",
            "s3.localSocket": self._folder / "s3.sock",
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "webdav": "false",
            "admin.ui": "false",
            "master.telemetry": "false",
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(WEED), "mini", *(f"-{name}={value}" for name, value in flags.items())],
                env={"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "HOME": str(self._folder)},
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        for _ in range(600):
            try:
                self.client.list_buckets()
            except Exception:  # noqa: BLE001  any error while the server starts
                time.sleep(0.05)  # another process has no simulated clock
            else:
                return self
        self.kill()
        raise AssertionError((self._folder / "log").read_text()[-3000:])

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Kill the process, as in a crash."""
        self._process.kill()
        self._process.wait()

    def bucket(self, name: str) -> str:
        self.client.create_bucket(Bucket=name)
        return name

    def names(self, bucket: str) -> list[str]:
        objects = self.client.list_objects_v2(Bucket=bucket).get("Contents", [])
        return [entry["Key"] for entry in objects]

    def uploads(self, bucket: str) -> list[Any]:
        return list(self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run one server for the tests of a process."""
    with S3Server(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server, request: pytest.FixtureRequest) -> str:
    """The name of a new bucket per test."""
    return s3.bucket(hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20])


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the test credentials; hide those of this machine."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "SEGMIND_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
def use_s3(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


Run = Callable[..., Any]


@pytest.fixture(params=[Kling, AsyncKling], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Return a function that runs a job on a client and saves its files."""

    def blocking(save_to: str, base_url: str, plugins: list[object]) -> Any:
        with Kling(
            base_url=base_url, api_key="SG_5a4db0c55a4db0c5", clock=SimulatedClock(), plugins=plugins
        ) as kling:
            return kling.run("kling-2", prompt="a lighthouse", save_to=save_to)

    async def awaiting(save_to: str, base_url: str, plugins: list[object]) -> Any:
        async with AsyncKling(
            base_url=base_url, api_key="SG_5a4db0c55a4db0c5", clock=SimulatedClock(), plugins=plugins
        ) as kling:
            return await kling.run("kling-2", prompt="a lighthouse", save_to=save_to)

    def call(save_to: str, base_url: str, *plugins: object) -> Any:
        if request.param is Kling:
            return blocking(save_to, base_url, list(plugins))
        return anyio.run(awaiting, save_to, base_url, list(plugins))

    return call


def open_storage(url: str) -> Storage:
    """Return the storage of a URL."""
    storage = ObjectStore().kling_storage(url)
    assert storage is not None
    return storage


def open_spools(folder: Path) -> list[str]:
    """List the temporary files of this process in a folder, unnamed ones included."""
    links: list[str] = []
    for number in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed since the listing
            links.append(str(number.readlink()))
    return [*map(str, folder.iterdir()), *(link for link in links if link.startswith(str(folder)))]
