"""The calls of Kling whose parameters are a mapping: slugs that are known at run time only, and raw submits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

# Python 3.15 imports these modules when a call needs them; earlier versions, at once.
__lazy_modules__ = ("kling_adapters.protocol.run",)

from kling_adapters._lazy_types import lazy_type
from kling_adapters.client._calls import SyncCalls
from kling_adapters.client.job import Job
from kling_adapters.client.result import Result
from kling_adapters.protocol.run import run_and_collect

if TYPE_CHECKING:
    from kling_adapters.client.requests import Extra
    from kling_adapters.protocol.batch_requests import Request
    from kling_adapters.protocol.estimate import Estimate
    from kling_adapters.protocol.usage import Usage
    from kling_adapters.schema.params import Params
else:
    Extra = lazy_type("client.requests", "Extra")
    Request = lazy_type("protocol.batch_requests", "Request")
    Estimate = lazy_type("protocol.estimate", "Estimate")
    Usage = lazy_type("protocol.usage", "Usage")
    Params = lazy_type("schema.params", "Params")


class SyncSlugCalls(SyncCalls):
    """The calls of Kling whose parameters are a mapping."""

    def submit_model(
        self,
        model: str,
        params: Mapping[str, Any],
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
        extra: Extra = None,
        unchecked: Extra = None,
    ) -> Job:
        """Submit a job of a model whose slug is only known at run time.

        Args:
            model: Slug of a model of the catalog.
            params: Its parameters by name, validated as those of `submit` but invisible to type checkers.
            save_to: As for `submit`.
            timeout: As for `submit`.
            tag: As for `submit`.
            extra: As for `submit`.
            unchecked: As for `submit`.

        Returns:
            The job. It can be billed from now on.

        Raises:
            KlingError: Every error of `submit`.

        """
        return self._driver.run(self._submit_flow(model, params, extra, unchecked, save_to, timeout, tag))

    def run_model(
        self,
        model: str,
        params: Mapping[str, Any],
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
        extra: Extra = None,
        unchecked: Extra = None,
    ) -> Result:
        """Run a job of a model whose slug is only known at run time. See `run` for the wait and the output.

        Args:
            model: Slug of a model of the catalog.
            params: Its parameters by name, validated as those of `run` but invisible to type checkers.
            save_to: As for `run`.
            timeout: As for `run`.
            tag: As for `run`.
            extra: As for `run`.
            unchecked: As for `run`.

        Returns:
            The result; with `save_to`, its `saved` has the stored files.

        Raises:
            KlingError: Every error of `run`.

        """
        return self._driver.run(
            self._run_flow(run_and_collect, model, params, extra, unchecked, save_to, timeout, tag)
        )

    def submit_raw(
        self,
        slug: str,
        params: Mapping[str, Any],
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
    ) -> Job:
        """Submit to a model without a spec. Its parameters are not validated; local media is uploaded.

        Args:
            slug: Slug of the model in URLs of the gateway.
            params: JSON, and local media where a URL is expected.
            save_to: As for `submit`.
            timeout: As for `submit`.
            tag: As for `submit`.

        Returns:
            The job. It can be billed from now on.

        Raises:
            KlingError: Every error of `submit`.

        """
        return self._driver.run(self._submit_raw_flow(slug, params, save_to, timeout, tag))

    def estimate(self, model: str | Params, /, **params: Any) -> Estimate:
        """Estimate the price of a job, from the spec of its model and the costs of earlier jobs.

        They are those of the journal and, if it has few like this one, of the request history of the account, which
        costs nothing to ask.

        Args:
            model: Slug of a model of the catalog, or an object with all parameters, such as Kling2(...).
            **params: Parameters of the model, by name; validated as those of `submit`.

        Returns:
            The estimate. Its `expected` is None if no price is known.

        Raises:
            ParamsInvalid: The parameters violate the spec.
            ConfigError: The model is missing, or an argument is invalid.
            StorageError: The journal cannot be read.

        """
        return self._driver.run(self._estimate_flow(model, params))

    def estimate_all(self, requests: Iterable[Request]) -> list[Estimate]:
        """Estimate the price of each request of a batch. See `estimate`.

        Args:
            requests: As for `map`.

        Returns:
            The estimates, in the order of the requests.

        Raises:
            ParamsInvalid: A request violates its spec.
            ConfigError: A model is missing, or an argument is invalid.
            StorageError: The journal cannot be read.

        """
        return self._driver.run(self._estimate_all_flow(requests))

    def usage(self, since: float) -> Usage:
        """List the jobs that were billed, or may be, with their costs.

        Args:
            since: Earliest time of the submit, in seconds since 1970.

        Returns:
            The jobs of the journal at this gateway, and those that only the request history has.

        Raises:
            ConfigError: The client has no journal, or `since` is not a time.
            StorageError: The journal cannot be read.

        """
        return self._driver.run(self._usage_flow(since))
