"""Addresses of the gateway."""

from __future__ import annotations

from kling_adapters.media.inputs import digest_media
from kling_adapters.media.urls import make_data_url
from kling_adapters.models._gateway import (
    BASE_URL,
    KEY_ENVIRONMENT,
    KEY_HEADER,
    OUTPUT_LIFETIME,
    RECORD_LIFETIME,
)
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.testing import PNG


def test_gateway_addresses_follow_the_spec() -> None:
    gateway = Gateway(BASE_URL)
    assert gateway.submit("kling-2", {}).url == "https://api.segmind.com/v2/kling-2"
    assert gateway.run_sync("kling-2", {}, 1.0).url == "https://api.segmind.com/v1/kling-2"
    assert gateway.status("job").url == "https://api.segmind.com/v2/requests/job/status"
    assert gateway.result("job").url == "https://api.segmind.com/v2/requests/job"
    assert gateway.credits().url == "https://api.segmind.com/v1/get-user-credits"
    assert (
        gateway.upload(make_data_url(PNG, digest_media(PNG))).url
        == "https://workflows-api.segmind.com/upload-asset"
    )
    assert (KEY_HEADER, KEY_ENVIRONMENT) == ("x-api-key", "SEGMIND_API_KEY")
    # An hour, and a week.
    assert (RECORD_LIFETIME, OUTPUT_LIFETIME) == (3600, 604800)
