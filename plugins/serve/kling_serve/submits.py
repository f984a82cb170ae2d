"""Submits by programs: once for each key, and within the limits of their token."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from kling_adapters import Params, ParamsInvalid, UnknownModel
from kling_serve.claims import KEY_DIGITS, MAX_KEY, KeyInvalid, check_key
from kling_serve.connections import Connections
from kling_serve.job import Job, Submission, find_handle
from kling_serve.jobs import JobService
from kling_serve.ledger import Ledger, LimitReached
from kling_serve.models import Models
from kling_serve.tokens import Limits

ANSWER_SECONDS: Final = 1.5
"""Seconds after which a submit is answered in any case, such as one whose file is still being uploaded."""
_BODY_DIGITS: Final = 16


class Submits:
    """Submits by programs, each with a token.

    A handle is derived from token, key and request. The journal has it before the request is sent, so it decides
    whether a key was used, also after a restart.

    Args:
        models: The models.
        connections: The gateways.
        jobs: The job service.
        limits: The limits of each token, by its name.

    """

    def __init__(
        self, models: Models, connections: Connections, jobs: JobService, limits: Mapping[str, Limits]
    ) -> None:
        self._models, self._connections, self._jobs = models, connections, jobs
        self._ledgers: defaultdict[str, Ledger] = defaultdict(lambda: Ledger(Limits()))
        self._ledgers.update({owner: Ledger(limit) for owner, limit in limits.items()})

    async def submit(
        self, slug: str, values: Mapping[str, Any], *, owner: str, key: object = None
    ) -> Job | Submission:
        """Submit a job and return it, in two seconds at most; its submission if the journal does not have it by then.

        Args:
            slug: Slug of the model.
            values: Parameters; media may be bytes or a Path.
            owner: Name of the token.
            key: A repetition with the same key, token and request is the same job. None for a new job.

        Raises:
            UnknownModel: There is no such model.
            ParamsInvalid: The parameters violate the spec.
            KeyInvalid: The key is not a text, empty, or too long.
            KeyReused: The key came with another request before.
            LimitReached: The job would exceed a limit of the token.
            KlingError: The submit failed before the journal had it.

        """
        params = self._models.find(slug).make_params(values)
        if key is None:
            return await self._submit(secrets.token_hex(24), params, owner)
        if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY:
            raise KeyInvalid(
                f"the idempotency key is invalid: expected a text of at least 1 and at most {MAX_KEY} characters. "
                "Nothing was sent"
            )
        handle = _digest(owner, key)[:KEY_DIGITS] + _digest(slug, _describe(values))[:_BODY_DIGITS]
        await self._jobs.watch.refresh()
        check_key(handle, (*self._jobs.watch.jobs, *self._jobs.submissions))
        return await self._submit(handle, params, owner)

    async def _submit(self, handle: str, params: Params, owner: str) -> Job | Submission:
        ledger, submissions = self._ledgers[owner], self._jobs.submissions
        if await self._jobs.find(handle) is None and (handle not in submissions or submissions[handle].error):
            await self._reserve(ledger, handle, params, owner)
        submission = await self._jobs.submit(params, owner=owner, handle=handle, timeout=ANSWER_SECONDS)
        # The error is read before the journal, which has the entry of a submit before that can fail.
        error = submission.error
        job = await self._jobs.find(handle)
        if error is not None and job is None:
            # It may be repeated with its key, since nothing was sent.
            submissions.pop(handle, None)
            ledger.release(handle)
            raise error
        return job or submission

    async def _reserve(self, ledger: Ledger, handle: str, params: Params, owner: str) -> None:
        connection = self._connections.find(None)
        price = 0.0 if connection.is_free else await ledger.find_price(connection.estimator, params)
        for job in ledger.list_unpriced(self._list_all(owner)):
            try:
                earlier = self._models.find(job.entry.model).make_params(job.entry.params)
                ledger.set_price(job.id, await ledger.find_price(job.connection.estimator, earlier))
            except (LimitReached, UnknownModel, ParamsInvalid):
                ledger.set_price(job.id, 0.0)  # it was submitted under other limits, or another spec
        for waiting, submission in self._jobs.submissions.items():
            if submission.error is not None:
                ledger.release(waiting)
        # No other task runs between this look at the journal and the reservation.
        ledger.reserve(handle, price, self._list_all(owner))

    async def find_job(self, handle: str, owner: str) -> Job | Submission | None:
        """Return a job of a token, its submission before the journal has it; None if the token has no such job."""
        job = await self._jobs.find(handle)
        if job is not None:
            return job if _belongs_to(job, owner) and not job.is_deleted else None
        submission = self._jobs.submissions.get(handle)
        return submission if submission is not None and submission.owner == owner else None

    def list_jobs(self, owner: str) -> list[Job]:
        """Return the jobs of a token in the journals, the newest first, without those that it has deleted."""
        return [job for job in reversed(self._list_all(owner).values()) if not job.is_deleted]

    def _list_all(self, owner: str) -> dict[str, Job]:
        """Return the jobs of a token by handle, also those that it has deleted, which count for its limits."""
        return {job.id: job for job in self._jobs.watch.jobs.values() if _belongs_to(job, owner)}


def _belongs_to(job: Job, owner: str) -> bool:
    return job.entry.tag == owner and find_handle(job.entry) is not None


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _describe(values: Mapping[str, Any]) -> str:
    """Return a text that is equal for equal parameters."""
    return json.dumps(values, sort_keys=True, default=_describe_media)


def _describe_media(value: Any) -> str:
    if isinstance(value, bytes):
        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    with value.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
