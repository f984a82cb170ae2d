"""Calls of tools and reads of files, for one token."""

from __future__ import annotations

import base64
import json
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    CallToolResult,
    ReadResourceResult,
    Resource,
    ResourceLink,
    TextContent,
)
from pydantic import Field, TypeAdapter, ValidationError

from kling_adapters import KlingError
from kling_serve.api.bodies import fit
from kling_serve.api.errors import describe_error
from kling_serve.api.jobs import describe_job, is_deleted
from kling_serve.job import Job
from kling_serve.mcp_server.media import read_media
from kling_serve.mcp_server.tools import (
    JOB_TOOLS,
    EstimateArguments,
    JobArguments,
    ListArguments,
    WaitArguments,
    name_tools,
)
from kling_serve.studio import Studio

MAX_READ: Final = 32 * 1024**2
"""Size of a file that a client can read as a resource, in bytes."""
_MAX_RESOURCES: Final = 100
_KEY: Final = TypeAdapter[str | None](Annotated[str | None, Field(min_length=1, max_length=255)])
_URI: Final = re.compile(r"kling://jobs/([a-z0-9]{16,64})/([^/]{1,255})")


@dataclass(frozen=True)
class Calls:
    """The calls of one token.

    Attributes:
        studio: The parts of the application.
        owner: The name of the token.
        shows_paths: Whether the client is on this machine, so that paths of files are of use to it.

    """

    studio: Studio
    owner: str
    shows_paths: bool

    async def call(self, name: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """Call a tool. Errors are results, so that a model can correct its call."""
        try:
            if name in JOB_TOOLS:
                return await self._call_job_tool(name, arguments)
            handle = await self.submit(name, arguments)
            return await self.show(handle)
        except (KlingError, ValidationError) as error:
            return CallToolResult(content=[TextContent(text=describe_error(error).detail)], is_error=True)

    async def submit(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Submit a job of the model of a tool, and return its handle. Raises a KlingError."""
        slug, values = self._map(name, arguments)
        key = _KEY.validate_python(values.pop("idempotency_key", None))
        values = await self._read_media(slug, values)
        return await self.studio.submits.submit(slug, values, owner=self.owner, key=key)

    async def _read_media(self, slug: str, values: dict[str, Any]) -> dict[str, Any]:
        read = partial(read_media, folders=self.studio.settings.media_folders)
        schema = self.studio.models.find(slug).schema
        fitted: dict[str, Any] = await anyio.to_thread.run_sync(fit, values, schema, read)
        return fitted

    def _map(self, name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        slug = name_tools(self.studio.models).get(name)
        if slug is None:
            raise MCPError(INVALID_PARAMS, f"There is no tool {name[:100]!r}.")
        return slug, {key: value for key, value in arguments.items() if value is not None}

    async def _call_job_tool(self, name: str, arguments: Mapping[str, Any]) -> CallToolResult:
        if name == "estimate":
            return await self._estimate(EstimateArguments.model_validate(arguments))
        if name == "list_jobs":
            limit = ListArguments.model_validate(arguments).limit
            await self.studio.jobs.watch.refresh()
            newest = [*self.studio.submits.list_jobs(self.owner).items()][::-1][:limit]
            return _make_result({"jobs": [self._describe(handle, job)[0] for handle, job in newest]})
        if name == "wait":
            wait = WaitArguments.model_validate(arguments)
            handle = await self.check(wait.job_id)
            await self.studio.jobs.wait(handle, wait.seconds)
        else:
            handle = await self.check(JobArguments.model_validate(arguments).job_id)
        return await self.show(handle)

    async def _estimate(self, arguments: EstimateArguments) -> CallToolResult:
        slug, values = self._map(arguments.model, arguments.parameters)
        values.pop("idempotency_key", None)
        params = self.studio.models.find(slug).make_params(await self._read_media(slug, values))
        estimate = await self.studio.connections.find(None).estimator.estimate(params)
        return _make_result({"estimate": str(estimate), **asdict(estimate)})

    async def check(self, handle: str) -> str:
        """Return a handle. Raises MCPError if the token has no such job."""
        submits = self.studio.submits
        if await submits.find_job(handle, self.owner) is None and not submits.is_waiting(handle, self.owner):
            raise MCPError(INVALID_PARAMS, "There is no job with this id.")
        return handle

    async def show(self, handle: str) -> CallToolResult:
        """Return the state of a job, with links to its files."""
        body, links = self._describe(handle, await self.studio.jobs.find(handle))
        return _make_result(body, *links)

    def _describe(self, handle: str, job: Job | None) -> tuple[dict[str, Any], list[ResourceLink]]:
        body = describe_job(self.studio, handle, job)
        links = [ResourceLink(**_describe_file(handle, path)) for path in (job.files if job else ())]
        body = {"job_id": body.pop("id"), **body}
        if links:
            body["files"] = [link.uri for link in links]
        if links and job and self.shows_paths:
            body["paths"] = [str(path) for path in job.files]
        if body["status"] in ("queued", "in_progress"):
            body["next"] = "Call `wait` with this job_id."
        return body, links

    def list_resources(self) -> list[Resource]:
        """Return the files of the newest jobs."""
        jobs = [*self.studio.submits.list_jobs(self.owner).values()][::-1]
        files = ((job.id, path) for job in jobs if not is_deleted(job) for path in job.files)
        return [Resource(**_describe_file(*file)) for file in islice(files, _MAX_RESOURCES)]

    async def read(self, uri: str) -> ReadResourceResult:
        """Return a file. Raises MCPError."""
        match = _URI.fullmatch(uri)
        job = await self.studio.submits.find_job(match[1], self.owner) if match else None
        path = next((path for path in job.files if match and path.name == match[2]), None) if job else None
        if path is None:
            raise MCPError(INVALID_PARAMS, "There is no such file.")
        if path.stat().st_size > MAX_READ:
            raise MCPError(
                INVALID_PARAMS,
                f"The file is larger than {MAX_READ >> 20} MiB. Open it at its path, or in the studio.",
            )
        content = base64.b64encode(await anyio.Path(path).read_bytes()).decode()
        return ReadResourceResult(
            contents=[BlobResourceContents(uri=uri, mime_type=_find_type(path), blob=content)]
        )


def _describe_file(handle: str, path: Path) -> dict[str, Any]:
    return {
        "uri": f"kling://jobs/{handle}/{path.name}",
        "name": path.name,
        "mime_type": _find_type(path),
        "size": path.stat().st_size,
    }


def _find_type(path: Path) -> str:
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _make_result(body: dict[str, Any], *links: ResourceLink) -> CallToolResult:
    text = json.dumps({key: value for key, value in body.items() if value is not None}, ensure_ascii=False)
    return CallToolResult(
        content=[TextContent(text=text), *links], structured_content=json.loads(json.dumps(body))
    )
