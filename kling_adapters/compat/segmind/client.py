"""SegmindClient over Kling."""

from __future__ import annotations

import os
from typing import Any, Final, NoReturn, Self

import httpx

from kling_adapters.compat.segmind.compatible_kling import CompatibleKling
from kling_adapters.compat.segmind.exceptions import SegmindError, translate_errors
from kling_adapters.compat.segmind.namespaces import Files, Generations
from kling_adapters.compat.segmind.other_products import OtherProduct
from kling_adapters.compat.segmind.responses import make_response
from kling_adapters.compat.segmind.v2 import DEFAULT_POLL_TIMEOUT_S, AsyncJob
from kling_adapters.errors import JobFailed
from kling_adapters.protocol.messages import Key

_BASE_URL: Final = "https://api.segmind.com/v1"
_TIMEOUT: Final = 30.0
"""Seconds; the default of the official client, which would cut off paid jobs of `run_sync`."""


class SegmindClient:
    """The official client's interface, over a Kling.

    Attributes:
        api_key: The key; None if a plugin has it. Its repr does not show it.
        base_url: The address of the gateway, with /v1.
        timeout: The timeout as it was given.
        kling: The client below, for every call that the official client does not have.

    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str = _BASE_URL,
        timeout: float | None = _TIMEOUT,
        **options: Any,
    ) -> None:
        """Make a client. Nothing is sent.

        Args:
            api_key: The API key; by default that of SEGMIND_API_KEY, or of a plugin.
            base_url: The address of the gateway, with or without /v1; by default that of KLING_BASE_URL, or the
                gateway of Segmind.
            timeout: Seconds for the retries of a submit, and for the answer of `run_sync`. Left out, they are the
                defaults of `Kling`.
            **options: Options of `Kling`, such as journal.

        Raises:
            SegmindError: An argument is invalid.

        """
        key = api_key or os.getenv("SEGMIND_API_KEY") or None
        self.api_key = None if key is None else Key(key)
        self.timeout = timeout
        self._seconds = None if timeout == _TIMEOUT else timeout
        address = None if base_url.rstrip("/") == _BASE_URL else base_url
        with translate_errors():
            self.kling = CompatibleKling(api_key=self.api_key, base_url=address, **options)
        self.base_url = self.kling.base_url + "/v1"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The official client has no such call."""
        self.kling.close()

    @property
    def files(self) -> Files:
        """Uploads."""
        return Files(self.kling)

    @property
    def generations(self) -> Generations:
        """The request history of the account."""
        return Generations(self.kling)

    accounts = OtherProduct("accounts")
    chat = OtherProduct("chat")
    chat_sync = OtherProduct("chat_sync", "chat")
    finetune = OtherProduct("finetune")
    models = OtherProduct("models")
    pixelflows = OtherProduct("pixelflows")
    submit_chat = OtherProduct("submit_chat", "chat")
    webhooks = OtherProduct("webhooks")

    def submit_async(self, slug: str, **params: Any) -> AsyncJob:
        """Submit a job, once, and return it.

        Args:
            slug: The slug of the model. The parameters of one with a spec are validated first.
            **params: Parameters of the model; local media is uploaded.

        Returns:
            The job. It can be billed from now on.

        Raises:
            SubmitUncertain: A job may have been started, and may be billed.
            ConnectionFailed: There was no connection. No job was started.
            SegmindError: Its status is 400 for invalid parameters, or that of the answer. No job was started.

        """
        model = slug.lstrip("/")
        with translate_errors():
            is_known = self.kling.catalog.get(model) is not None
            submit = self.kling.submit_model if is_known else self.kling.submit_raw
            job = submit(model, params, timeout=self._seconds)
        gateway = self.kling.base_url
        urls = {
            "status_url": f"{gateway}/v2/requests/{job.request_id}/status",
            "response_url": f"{gateway}/v2/requests/{job.request_id}",
        }
        poll_url = f"{gateway}/v1/requests/{job.request_id}"
        answer = {"request_id": job.request_id, "status": "QUEUED", "poll_url": poll_url, **urls}
        return AsyncJob(job.request_id, **urls, submit_response=answer, _client=self, _submitted=job)

    def run(self, slug: str, **params: Any) -> dict[str, Any]:
        """Submit a job and wait for its end, for ten minutes at most.

        Args:
            slug: As for `submit_async`.
            **params: As for `submit_async`.

        Returns:
            The body of the result.

        Raises:
            InferenceFailed: The job FAILED, and is not billed.
            InferenceTimeout: The job continues, and is billed when it completes.
            SegmindError: As for `submit_async`.

        """
        return self.submit_async(slug, **params).wait(DEFAULT_POLL_TIMEOUT_S)

    def run_sync(self, slug: str, **params: Any) -> httpx.Response:
        """Run a job and return its file. A job of a model without a spec is submitted and awaited.

        Args:
            slug: As for `submit_async`.
            **params: As for `submit_async`.

        Returns:
            The response, with the file as its content.

        Raises:
            SegmindError: As for `submit_async`; its status is 422 if the job FAILED.

        """
        model = slug.lstrip("/")
        with translate_errors():
            entry = self.kling.catalog.get(model)
            try:
                if entry is None:
                    result = self.kling.submit_raw(model, params, timeout=self._seconds).wait(self._seconds)
                else:
                    # An object, because parameters may have the names of arguments.
                    checked = entry.load().model_validate(params)
                    result = self.kling.run_direct(checked, timeout=self._seconds)
            except JobFailed as error:
                raise SegmindError(422, error.message or None) from error
            return make_response(f"{self.base_url}/{model}", result)

    def stream(self, slug: str, **params: Any) -> NoReturn:
        """Raise NotImplementedError, as the official client does: the gateway does not stream."""
        raise NotImplementedError("The gateway does not stream tokens. Use run() or submit_async()")
