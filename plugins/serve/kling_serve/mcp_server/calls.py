"""Calls of tools and reads of files, for one token."""

from __future__ import annotations

import base64
import json
import mimetypes
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

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
from pydantic import ValidationError

from kling_adapters import KlingError
from kling_serve.api.bodies import convert_texts
from kling_serve.api.errors import describe_error
from kling_serve.api.jobs import describe_job, is_running
from kling_serve.job import Job, Submission
from kling_serve.mcp_server.media import read_media
from kling_serve.mcp_server.tools import (
    JOB_TOOLS,
    EstimateArguments,
    JobArguments,
    KeyArgument,
    ListArguments,
    WaitArguments,
    name_tools,
)
from kling_serve.models import Model
from kling_serve.studio import Studio

MAX_READ: Final = 32 * 1024**2
"""Size of a file that a client can read as a resource, in bytes."""
_MAX_RESOURCES: Final = 100
_JOBS: Final = "kling://jobs/"


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
        """Call a tool. Errors are results, so that a model can correct its call.

        Raises MCPError for the name of an unknown tool, and for the id of a job that the token does not have.
        """
        try:
            if name in JOB_TOOLS:
                return await self._call_job_tool(name, arguments)
            model, values, key = await self._read_arguments(name, arguments)
            job = await self.studio.submits.submit(model.slug, values, owner=self.owner, key=key)
            return self._show(job)
        except (KlingError, ValidationError) as error:
            return CallToolResult(content=[TextContent(text=describe_error(error).detail)], is_error=True)

    async def _read_arguments(
        self, tool: str, arguments: Mapping[str, Any]
    ) -> tuple[Model, dict[str, Any], str | None]:
        """Return the model of a tool, the parameters of a job, and its key."""
        slug = name_tools(self.studio.models).get(tool)
        if slug is None:
            raise MCPError(INVALID_PARAMS, f"Unknown tool {tool[:100]!r}. List the tools.")
        model = self.studio.models.find(slug)
        values = {name: value for name, value in arguments.items() if value is not None}
        key = values.pop("idempotency_key", None)
        if key is not None:
            key = KeyArgument(idempotency_key=key).idempotency_key
        values = await anyio.to_thread.run_sync(convert_texts, values, model.schema, self._read_media)
        return model, values, key

    def _read_media(self, text: str, schema: Mapping[str, Any]) -> str | bytes:
        is_media = "media" in schema.get("x-kling", {})
        return read_media(text, self.studio.settings.media_folders) if is_media else text

    async def _call_job_tool(self, name: str, arguments: Mapping[str, Any]) -> CallToolResult:
        if name == "estimate":
            return await self._estimate(EstimateArguments.model_validate(arguments))
        if name == "list_jobs":
            limit = ListArguments.model_validate(arguments).limit
            await self.studio.jobs.watch.refresh()
            newest = self.studio.submits.list_jobs(self.owner)[:limit]
            return _make_result({"jobs": [self._describe(job)[0] for job in newest]})
        if name == "status":
            return self._show(await self._find_job(JobArguments.model_validate(arguments).job_id))
        wait = WaitArguments.model_validate(arguments)
        job = await self._find_job(wait.job_id)
        return self._show(await self.studio.jobs.wait(job.id, wait.seconds) or job)

    async def _estimate(self, arguments: EstimateArguments) -> CallToolResult:
        model, values, _ = await self._read_arguments(arguments.model, arguments.parameters)
        estimate = await self.studio.connections.find(None).estimator.estimate(model.make_params(values))
        return _make_result({"estimate": str(estimate), **asdict(estimate)})

    async def _find_job(self, handle: str) -> Job | Submission:
        job = await self.studio.submits.find_job(handle, self.owner)
        if job is None:
            raise MCPError(INVALID_PARAMS, "There is no job with this id.")
        return job

    def _show(self, job: Job | Submission) -> CallToolResult:
        """Return the state of a job, with links to its files."""
        body, links = self._describe(job)
        return _make_result(body, *links)

    def _describe(self, job: Job | Submission) -> tuple[dict[str, Any], list[ResourceLink]]:
        described = describe_job(self.studio, job)
        links = [ResourceLink(**_describe_file(job.id, path)) for path in job.files]
        body = {"job_id": described.pop("id"), **described}
        if links:
            body["files"] = [link.uri for link in links]
        if links and self.shows_paths:
            body["paths"] = [str(path) for path in job.files]
        if is_running(body):
            body["next"] = "Call `wait` with this job_id."
        return body, links

    def list_resources(self) -> list[Resource]:
        """Return the files of the newest jobs."""
        jobs = self.studio.submits.list_jobs(self.owner)
        files = ((job.id, path) for job in jobs for path in job.files)
        return [Resource(**_describe_file(*file)) for file in islice(files, _MAX_RESOURCES)]

    async def read(self, uri: str) -> ReadResourceResult:
        """Return a file. Raises MCPError."""
        handle = uri.removeprefix(_JOBS).partition("/")[0]
        job = await self.studio.submits.find_job(handle, self.owner)
        files = job.files if job else ()
        path = next((path for path in files if _make_uri(handle, path) == uri), None)
        if path is None:
            raise MCPError(INVALID_PARAMS, "There is no such file.")
        if path.stat().st_size > MAX_READ:
            raise MCPError(
                INVALID_PARAMS,
                f"The file is larger than {MAX_READ >> 20} MiB. Open it at its path, or in the studio.",
            )
        content = base64.b64encode(await anyio.Path(path).read_bytes()).decode()
        return ReadResourceResult(
            contents=[
                BlobResourceContents(uri=uri, mime_type=mimetypes.guess_type(path.name)[0], blob=content)
            ]
        )


def _make_uri(handle: str, path: Path) -> str:
    return f"{_JOBS}{handle}/{path.name}"


def _describe_file(handle: str, path: Path) -> dict[str, Any]:
    return {
        "uri": _make_uri(handle, path),
        "name": path.name,
        "mime_type": mimetypes.guess_type(path.name)[0],
        "size": path.stat().st_size,
    }


def _make_result(body: dict[str, Any], *links: ResourceLink) -> CallToolResult:
    text = json.dumps({key: value for key, value in body.items() if value is not None}, ensure_ascii=False)
    return CallToolResult(content=[TextContent(text=text), *links], structured_content=body)
