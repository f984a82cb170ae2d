"""The proxy of the environment that a request to the gateway goes through."""

from __future__ import annotations

import pytest

from kling_adapters import TransportError
from kling_adapters._http.proxies import find_proxy, read_proxy_rules
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.request_history import find_row
from tests.support.clients import OpenClient
from tests.support.scripted_server import ScriptedServer, json_reply

PROXY = "http://proxy.example:3128"
GATEWAY = "https://api.gateway.example"


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": PROXY}, PROXY),
        ({"ALL_PROXY": PROXY}, PROXY),
        ({"HTTP_PROXY": PROXY}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "other.example"}, PROXY),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "api.gateway.example"}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": ".gateway.example"}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, None),
    ],
)
def test_proxy_of_the_environment_is_found(
    environment: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_proxy(read_proxy_rules(), GATEWAY) == proxy


def test_invalid_host_has_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", PROXY)
    assert find_proxy(read_proxy_rules(), "https://\u2488.example") is None


def test_uploads_have_the_proxy_of_their_host(
    open_client: OpenClient, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default gateway takes uploads at another host."""
    gateway = Gateway("https://api.segmind.com")
    upload_host = gateway.upload_url.split("/")[2]
    assert upload_host not in gateway.base_url
    server.play([json_reply(407)] * 40)
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "api.segmind.com")
    picture = b"\x89PNG\r\n\x1a\n" + bytes(100)
    with open_client(gateway.base_url, journal=None) as kling, pytest.raises(TransportError):
        kling.submit_raw("kling-bloombloom", {"image": picture})
    assert {request.path for request in server.requests} == {f"{upload_host}:443"}


def test_history_has_the_proxy_of_its_host(
    open_client: OpenClient, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway("https://api.segmind.com")
    history_host = gateway.history_url.split("/")[2]
    assert history_host not in gateway.base_url
    server.play([json_reply(407)] * 40)
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    monkeypatch.setenv("NO_PROXY", "api.segmind.com")
    with open_client(gateway.base_url, journal=None) as kling:
        driver = kling.view(kling.kling._driver)
        assert driver.run(find_row(kling.kling._session, "job", 0.1)) is None
    assert {request.path for request in server.requests} == {f"{history_host}:443"}
