"""Notations of keys, hosts, proxies and destinations."""

from __future__ import annotations

import codecs
import os
import random
import shutil
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from kling_adapters import ConfigError, Kling, StorageError
from kling_adapters.builtin.env_auth import EnvironmentKey
from kling_adapters.builtin.file_storage import MIN_FREE_BYTES, FileWriter, Folder, kling_storage
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.result import StoredFile

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "segmind_api_key", "segmind_api_key_file"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    "text", ["SG_key\n", ' "SG_key" ', "'SG_key'\r\n", "\ufeffSG_key", '\ufeff"SG_key"\n']
)
def test_key_is_read_in_usual_notations(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", text)
    assert EnvironmentKey().api_key() == "SG_key"
    monkeypatch.delenv("SEGMIND_API_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SEGMIND_API_KEY_FILE", "~/key")
    for content in (text.encode(), codecs.BOM_UTF16_LE + text.removeprefix("\ufeff").encode("utf-16-le")):
        (tmp_path / "key").write_bytes(content)
        assert EnvironmentKey().api_key() == "SG_key"


@pytest.mark.parametrize("text", ['""', "''", "\ufeff", " \n"])
def test_quotes_alone_are_not_a_key(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", text)
    with pytest.raises(ConfigError, match="no API key"):
        EnvironmentKey().api_key()


LOOPBACK = [
    "localhost",
    "LOCALHOST.",
    "sandbox.localhost",
    "127.0.0.1",
    "127.9.9.9",
    "[::1]",
    "[::ffff:127.0.0.1]",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_loopback_is_local_in_every_form(host: str) -> None:
    assert Gateway(f"http://{host}:8123/v1").is_local


@pytest.mark.parametrize(
    "host", ["sandbox", "localhost.example.com", "notlocalhost", "10.0.0.1", "[::2]", "127.0.0.1.nip.io"]
)
def test_another_host_is_local_only_by_name(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="KLING_LOCAL_HOSTS"):
        Gateway(f"http://{host}:8123")
    assert not Gateway(f"https://{host}").is_local
    monkeypatch.setenv("KLING_LOCAL_HOSTS", f"other, {host.strip('[]').upper()}.")
    assert Gateway(f"http://{host}:8123").is_local


@pytest.mark.parametrize("text", ["http://sandbox", "sandbox:8123", "*", "a b"])
def test_local_hosts_are_names(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_LOCAL_HOSTS", text)
    with pytest.raises(ConfigError, match="is not a host name"):
        Gateway("http://sandbox:8123")


@pytest.mark.parametrize("url", ["http://0.0.0.0:8123", "https://0.0.0.0", "http://[::]:8123"])
def test_listening_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"use 127\.0\.0\.1"):
        Gateway(url)


def test_base_url_and_httpx_agree_on_the_host() -> None:
    """For a bounded sample of unusual URLs."""
    draw = random.Random(11)
    pieces = ["api.example", "127.0.0.1", "[::1]", "@", ":", "443", "\\", "/", "..", "%2e", "%00", "#", "?",
              "é", " ", "localhost", "\t", ".", "//", "[", "]", "0x7f.1", "user"]  # fmt: skip
    accepted = 0
    for _ in range(20_000):
        base = draw.choice(["http://", "https://", "HTTPS://"]) + "".join(
            draw.choices(pieces, k=draw.randint(1, 5))
        )
        try:
            url = Gateway(base).status("x").url
            client = httpx.URL(url)
        except (ConfigError, httpx.InvalidURL, ValueError):
            continue
        accepted += 1
        parts = urlsplit(url)
        host = parts.hostname or ""
        assert not host.isascii() or client.host == host
        assert client.userinfo == b""
        assert client.scheme == parts.scheme
    assert accepted > 500


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NO_PROXY", "localhost,fd07:b51a:cc66:f0::/64"),
        ("no_proxy", "localhost,127.0.0.1,[::1]"),
        ("HTTPS_PROXY", "http://proxy.example:port"),
        ("HTTPS_PROXY", "nonsense://proxy.example:1"),
        ("ALL_PROXY", "http://user:pass/word#1@proxy.example:3128"),
        ("http_proxy", "http://user:12/word@proxy.example:3128"),
        ("HTTPS_PROXY", "http://user:p\x01word@proxy.example:3128"),
    ],
)
def test_unusable_proxy_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"^{name} .* Set it to .*Nothing was sent$") as caught:
        Kling(base_url="https://gateway.example", api_key="SG_0123456789", journal=None)
    assert "word" not in str(caught.value).replace("password", "")
    assert caught.value.__cause__ is None
    with Kling(base_url="http://127.0.0.1:1", api_key="SG_0123456789", journal=None):
        pass


def test_usual_proxies_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:p%2Fss@proxy.example:3128")
    monkeypatch.setenv("ALL_PROXY", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1,::1,.internal,10.0.0.0/8")
    with Kling(base_url="https://gateway.example", api_key="SG_0123456789", journal=None):
        pass


def test_unusable_certificates_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    with pytest.raises(ConfigError, match="SSL_CERT_FILE cannot be used"):
        Kling(base_url="https://gateway.example", api_key="SG_0123456789", journal=None)


def folder(url: str) -> str:
    storage = kling_storage(url)
    assert isinstance(storage, Folder)
    return os.fspath(storage._path)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///srv/a%20b", "/srv/a b"),
        ("FILE:///srv/x", "/srv/x"),
        ("file://localhost/srv/x", "/srv/x"),
        ("file:/srv/x", "/srv/x"),
        ("file:renders", "renders"),
        ("file:///srv/a?b#c", "/srv/a?b#c"),
        ("file:///srv/caf%E9", os.fsdecode(b"/srv/caf\xe9")),
        ("renders#1", "renders#1"),
        ("C:/renders", "C:/renders"),
    ],
)
def test_destination_is_a_folder(url: str, path: str) -> None:
    assert folder(url) == path


@pytest.mark.parametrize(
    ("url", "advice"),
    [("file://name/x", "'file:///name/x'"), ("file:", "'file:///"), ("file://", "'file:///")],
)
def test_folder_of_another_machine_is_refused(url: str, advice: str) -> None:
    with pytest.raises(ConfigError, match=f"write {advice}"):
        kling_storage(url)


def test_folder_name_may_not_be_utf_8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    storage = Folder(path)
    storage.check()
    writer = storage.open("a.mp4", "video/mp4")
    writer.write(b"film")
    file = StoredFile(writer.commit("").url, 4, "", "video/mp4")
    assert file.url.endswith("/caf%E9/a.mp4")
    assert file.path.read_bytes() == b"film"
    assert folder(os.fspath(path)) == os.fspath(path)


def test_pipe_in_the_folder_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".a.mp4.0.part")
    (tmp_path / "other").write_text("kept")
    (tmp_path / ".a.mp4.1.part").symlink_to("other")
    (tmp_path / ".a.mp4.2.part").touch()
    writer = FileWriter(tmp_path / "a.mp4")
    writer.write(b"film")
    writer.commit("")
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "other", ".a.mp4.0.part", ".a.mp4.1.part"}


@pytest.mark.parametrize("name", ["film.mp4", "film.heic", "sound.m4a", "clip.3gp"])
def test_name_of_a_file_is_not_a_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="names a file"):
        Folder(tmp_path / name).check()


def test_nearly_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    for free, is_full in ((0, False), (1024**2, True), (MIN_FREE_BYTES, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        with (
            pytest.raises(StorageError, match="1 MiB are free; expected 8 MiB") if is_full else nullcontext()
        ):
            Folder(tmp_path).check()
    assert list(tmp_path.iterdir()) == []
