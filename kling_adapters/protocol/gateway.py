"""Addresses of a gateway, and its requests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from kling_adapters.errors import ConfigError
from kling_adapters.media.urls import DataUrl
from kling_adapters.models import _gateway as facts
from kling_adapters.protocol import local_hosts
from kling_adapters.protocol.messages import Request, UploadBody

_UPLOAD_TIMEOUT = 600.0
_DIRECT_MAX_BYTES = 1024**3
_JSON = {"content-type": "application/json"}


class Gateway:
    """One gateway.

    Args:
        base_url: Its address; a final /v1 or /v2, as for the official client, is ignored.

    Raises:
        ConfigError: The address is not https, nor http on this machine or on a host in KLING_LOCAL_HOSTS. The key would
            be readable in the network.

    """

    def __init__(self, base_url: str) -> None:
        base = base_url.rstrip("/").removesuffix("/v1").removesuffix("/v2")
        scheme, host = _split_address(base)
        if host in ("0.0.0.0", "::"):  # noqa: S104
            raise ConfigError(
                f"the base URL names {host}, which is an address to listen on and not one to connect to; "
                "use 127.0.0.1 for a server on this machine. Nothing was sent"
            )
        self.is_local = local_hosts.is_local_host(host)
        if scheme == "http" and not self.is_local:
            raise ConfigError(
                f"the base URL must be https: over http to {host} anyone on the way could read the key. "
                f"If {host} is a sandbox in your own network, name it in {local_hosts.VARIABLE}. Nothing was sent"
            )
        self.base_url = base
        self.is_default = base == facts.BASE_URL
        self.upload_url = self._locate(facts.UPLOAD_URL)
        self.history_url = self._locate(facts.HISTORY_URL)

    def _locate(self, url: str) -> str:
        """Return an address of Segmind's gateway on another host as an address of this gateway."""
        return url if self.is_default else self.base_url + urlsplit(url).path

    def takes_key(self, url: str) -> bool:
        """Return whether a URL is an address of this gateway, which may receive the key."""
        return (
            url.startswith(f"{self.base_url}/")
            or url in (self.upload_url, self.history_url)
            or self.is_history(url)
        )

    def is_history(self, url: str) -> bool:
        """Return whether a URL is an address of the request history."""
        return url.startswith((f"{self.history_url}?", f"{self.history_url}/"))

    def submit(self, slug: str, body: Mapping[str, Any]) -> Request:
        """Build the request that starts a billable job. Raises ConfigError for a bad slug, ValueError if not JSON."""
        return self._start(facts.SUBMIT_PATH, slug, body)

    def run_sync(self, slug: str, body: Mapping[str, Any], timeout: float) -> Request:
        """Build the request that runs a billable job and receives its output within `timeout` seconds."""
        request = self._start(facts.SYNC_PATH, slug, body)
        return replace(request, timeout=timeout, deadline=timeout, max_bytes=_DIRECT_MAX_BYTES)

    def _start(self, path: str, slug: str, body: Mapping[str, Any]) -> Request:
        if not is_slug(slug):
            raise ConfigError(f"{slug[:50]!r} is not the slug of a model. Nothing was sent")
        content = json.dumps(body, allow_nan=False).encode()
        return Request("POST", self.base_url + path.format(slug=slug), content, _JSON)

    def upload(self, data_url: DataUrl) -> Request:
        """Build the request that uploads a file, free of charge."""
        body = UploadBody(data_url)
        headers = {**_JSON, "content-length": str(len(body))}
        return Request("POST", self.upload_url, body, headers, timeout=_UPLOAD_TIMEOUT)

    def status(self, request_id: str) -> Request:
        """Build the request for the state of a job."""
        return self._query(facts.STATUS_PATH, request_id)

    def result(self, request_id: str) -> Request:
        """Build the request for the result of a job."""
        return self._query(facts.RESULT_PATH, request_id)

    def request_history(
        self,
        page: int = 1,
        per_page: int = facts.HISTORY_MAX_PER_PAGE,
        from_date: str | None = None,
        to_date: str | None = None,
        model_name: str | None = None,
        status: str | None = None,
    ) -> Request:
        """Build the request for a page of the request history, the newest requests first.

        Args:
            page: The number of the page, from 1.
            per_page: Rows of a page, at most HISTORY_MAX_PER_PAGE.
            from_date: The first day as YYYY-MM-DD; by default a week ago.
            to_date: The last day, included; by default today. The gateway allows HISTORY_MAX_DAYS days.
            model_name: A part of the slugs of the models.
            status: One of HISTORY_STATES.

        """
        filters = {"from_date": from_date, "to_date": to_date, "model_name": model_name, "status": status}
        used = {name: value for name, value in filters.items() if value is not None}
        query = urlencode({"page": page, "per_page": per_page, **used})
        return Request("GET", f"{self.history_url}?{query}")

    def request_row(self, request_id: str) -> Request:
        """Build the request for one request of the request history, of any age."""
        return Request("GET", f"{self.history_url}/{quote(request_id, safe='', errors='replace')}")

    def _query(self, path: str, request_id: str) -> Request:
        url = self.base_url + path.format(request_id=quote(request_id, safe="", errors="replace"))
        return Request("GET", url)

    def credits(self) -> Request:
        """Build the request for the credits of the account, free of charge."""
        return Request("GET", self.base_url + facts.CREDITS_PATH)


def is_slug(text: str) -> bool:
    """Return whether a text can be the slug of a model, which becomes part of an address."""
    return re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text) is not None


def _split_address(base: str) -> tuple[str, str]:
    """Return the scheme and the host of an address. Raises ConfigError if it is not a plain http or https URL."""
    try:
        parts = urlsplit(base)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    # The text before an @ may be a password, so the error does not repeat the address.
    is_plain = re.fullmatch(r"[^\s?#@\\\x00-\x1f\x7f]+", base) is not None
    if not is_plain or not host or parts.scheme not in ("http", "https"):
        raise ConfigError(f"the base URL must be a plain http or https URL such as {facts.BASE_URL}")
    return parts.scheme, host
