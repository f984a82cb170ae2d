"""The typed calls of both clients. Their overloads, one for each model, are in the stub beside this file.

Only type checkers and editors read the stub, so start-up does not grow with the number of models. The calls
are in base classes of the clients, because a subclass that overrides a method loses its overloads.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

# Python 3.15 imports these modules when a call needs them; earlier versions, at once.
__lazy_modules__ = ("kling_adapters.protocol.run",)

from kling_adapters._lazy_types import lazy_type
from kling_adapters.client.call_flows import CallFlows
from kling_adapters.protocol.run import run_and_collect, run_sync_and_collect

if TYPE_CHECKING:
    from kling_adapters._http.custom import AsyncGatewayTransport, GatewayTransport
    from kling_adapters.client.job import AsyncJob, Job
    from kling_adapters.client.requests import Extra
    from kling_adapters.client.result import AsyncResult, Result
    from kling_adapters.driver.async_ import AsyncDriver
    from kling_adapters.driver.sync import SyncDriver
    from kling_adapters.schema.params import Params

    SyncFlows = CallFlows[SyncDriver, Job, Result, GatewayTransport]
    AsyncFlows = CallFlows[AsyncDriver, AsyncJob, AsyncResult, AsyncGatewayTransport]
else:
    # Their type arguments are slow to import.
    SyncFlows = AsyncFlows = CallFlows
    Extra = lazy_type("client.requests", "Extra")
    AsyncJob, Job = lazy_type("client.job", "AsyncJob"), lazy_type("client.job", "Job")
    AsyncResult, Result = lazy_type("client.result", "AsyncResult"), lazy_type("client.result", "Result")
    Params = lazy_type("schema.params", "Params")


class SyncCalls(SyncFlows):
    """The typed calls of Kling."""

    def submit(
        self,
        model: str | Params,
        /,
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
        extra: Extra = None,
        unchecked: Extra = None,
        **params: Any,
    ) -> Job:
        """Validate the parameters, submit the job, and return it once the gateway has accepted it.

        Args:
            model: Slug of the model, or an object with all parameters, such as Kling2(...). Use
                `submit_model` for a slug that is only known at run time.
            save_to: Destination of the output; see `run`. It is checked, and recorded in the journal: if this
                process dies before `Result.save`, `resume` stores the output there.
            timeout: Seconds for uploads, retries and waits for a rate limit, together; by default that of the
                client. Without either, a submit that started nothing is tried four times, and waits up to
                five minutes for a rate limit. A request in flight is answered first, for up to two minutes,
                because its job may be billed.
            tag: Tag of the job in the journal, as `JournalEntry.tag`.
            extra: Parameters that the spec does not have yet. They are sent unchanged.
            unchecked: Parameters whose values are sent without validation, by name, because the gateway takes
                them before the spec does. The journal says so.
            **params: Parameters of the model, by name.

        Returns:
            The job. It can be billed from now on.

        Raises:
            ParamsInvalid: The parameters violate the spec. Nothing was sent.
            ConfigError: The key or the model is missing, or an argument is invalid. Nothing was sent.
            StorageError: `save_to` or the journal cannot be written. Nothing was sent.
            ApiError: The gateway refused the job. No job was started.
            TransportError: There was no connection. No job was started.
            SubmitUncertain: The submit may have started a job that will be billed, and the request history does
                not have it yet. Looking for it there takes up to two minutes, within `timeout`.

        """
        return self._driver.run(self._submit_flow(model, params, extra, unchecked, save_to, timeout, tag))

    def run(
        self,
        model: str | Params,
        /,
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
        extra: Extra = None,
        unchecked: Extra = None,
        **params: Any,
    ) -> Result:
        """Submit the job, wait for its end and, with `save_to`, store its output.

        Args:
            model: As for `submit`. Use `run_model` for a slug that is only known at run time.
            save_to: Folder, storage URL, file name such as "renders/film.mp4", or template such as
                "renders/{model}-{request_id}{ext}" with the fields model, request_id, index, date, tag and
                ext.
            timeout: Seconds for the submit, the wait and the download together; by default that of the
                client. Without either, the wait is four times the usual latency of the model, and at least 15
                minutes. No paid job is cut off: a submit in flight is answered first, for up to two minutes,
                and a finished result is fetched for up to 30 seconds more.
            tag: Tag of the job in the journal, as `JournalEntry.tag`.
            extra: Parameters that the spec does not have yet. They are sent unchanged.
            unchecked: Parameters whose values are sent without validation, by name, because the gateway takes
                them before the spec does. The journal says so.
            **params: Parameters of the model, by name.

        Returns:
            The result; with `save_to`, its `saved` has the stored files.

        Raises:
            JobFailed: The job failed. It is not billed.
            JobExpired: The gateway no longer has the job.
            WaitTimeout: The job continues and may be billed; the error carries it.
            ApiError: With a `request_id`, a poll was refused: the job continues and may be billed.
            StorageError: The job completed, but its output could not be stored. The error carries the
                result, and `resume` stores it.
            KlingError: Every error of `submit`.

        """
        return self._driver.run(
            self._run_flow(run_and_collect, model, params, extra, unchecked, save_to, timeout, tag)
        )

    def run_direct(
        self,
        model: str | Params,
        /,
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
        extra: Extra = None,
        unchecked: Extra = None,
        **params: Any,
    ) -> Result:
        """Run the job in one request, which is answered when the job has ended. `run` is the safer choice.

        The request id comes with the answer: if the connection breaks, the job must be found in the request
        history. The result holds its file in memory. `run_sync` is another name of this call.

        Args:
            model: As for `submit`.
            save_to: As for `run`.
            timeout: Seconds to wait for the answer; by default that of the client, or four times the usual
                latency of the model, and at least 15 minutes. Uploads and retries before it may take as
                long again.
            tag: Tag of the job in the journal, as `JournalEntry.tag`.
            extra: Parameters that the spec does not have yet. They are sent unchanged.
            unchecked: Parameters whose values are sent without validation, by name, because the gateway takes
                them before the spec does. The journal says so.
            **params: Parameters of the model, by name.

        Returns:
            The result; with `save_to`, its `saved` has the stored files.

        Raises:
            JobFailed: The job failed. It is not billed.
            SubmitUncertain: There was no answer, and the request history does not have the job yet. It may have
                run, and may be billed.
            StorageError: The output could not be stored. The error carries the result.
            KlingError: Every error of `submit`.

        """
        return self._driver.run(
            self._run_flow(run_sync_and_collect, model, params, extra, unchecked, save_to, timeout, tag)
        )

    run_sync = run_direct


class AsyncCalls(AsyncFlows):
    """The typed calls of AsyncKling."""

    async def submit(
        self,
        model: str | Params,
        /,
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
        extra: Extra = None,
        unchecked: Extra = None,
        **params: Any,
    ) -> AsyncJob:
        """Submit a job and return it once the gateway has accepted it. See `Kling.submit`."""
        return await self._driver.run(
            self._submit_flow(model, params, extra, unchecked, save_to, timeout, tag)
        )

    async def run(
        self,
        model: str | Params,
        /,
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
        extra: Extra = None,
        unchecked: Extra = None,
        **params: Any,
    ) -> AsyncResult:
        """Submit a job, wait for its end and, with `save_to`, store its output. See `Kling.run`."""
        return await self._driver.run(
            self._run_flow(run_and_collect, model, params, extra, unchecked, save_to, timeout, tag)
        )

    async def run_direct(
        self,
        model: str | Params,
        /,
        *,
        save_to: str | PathLike[str] | None = None,
        timeout: float | None = None,
        tag: str | None = None,
        extra: Extra = None,
        unchecked: Extra = None,
        **params: Any,
    ) -> AsyncResult:
        """Run a job in one request, which is answered when the job has ended. See `Kling.run_direct`."""
        return await self._driver.run(
            self._run_flow(run_sync_and_collect, model, params, extra, unchecked, save_to, timeout, tag)
        )

    run_sync = run_direct
