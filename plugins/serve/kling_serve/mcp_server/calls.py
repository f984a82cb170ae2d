"""Calls of tools and reads of files, for one token."""

from __future__ import annotations

import base64
import inspect
import json
import mimetypes
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Annotated, Any, Final

import anyio
import mcp_types as types
from mcp.shared.exceptions import MCPError
from pydantic import Field, TypeAdapter, ValidationError, validate_call

from kling_adapters import KlingError
from kling_serve.api.bodies import convert_texts
from kling_serve.api.errors import describe_error
from kling_serve.api.jobs import describe_job, is_running
from kling_serve.api.routes import WAIT_SECONDS
from kling_serve.job import Job, Submission
from kling_serve.mcp_server.media import read_media
from kling_serve.mcp_server.tools import JOB_TOOLS, KEY, describe_model, name_tools
from kling_serve.models import Model
from kling_serve.studio import Studio

MAX_READ: Final = 32 * 1024**2
"""Size of a file that a client can read as a resource, in bytes."""
_MAX_RESOURCES: Final = 100
_JOBS: Final = "kling://jobs/"
_JobId = Annotated[str, Field(description="The id of a job, as the tool of a model returned it.")]
_ToolName = Annotated[str, Field(description="The name of the tool of a model.")]
_Arguments = Annotated[dict[str, Any], Field(description="The arguments of that tool.")]


@dataclass(frozen=True)
class Calls:
    """The calls of one token. Agents read the docstring of a method that is a tool.

    Attributes:
        studio: The parts of the application.
        owner: The name of the token.
        shows_paths: Whether the client is on this machine, so that paths of files are of use to it.

    """

    studio: Studio
    owner: str
    shows_paths: bool

    async def list_tools(self, params: types.PaginatedRequestParams) -> types.ListToolsResult:
        """Return every tool."""
        models = self.studio.models
        tools = [
            describe_model(name, models[slug])
            for name, slug in name_tools(models).items()
            if not models[slug].is_retired
        ]
        methods = [_describe_method(getattr(self, name)) for name in JOB_TOOLS]
        return types.ListToolsResult(tools=methods + tools)

    async def call(self, name: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """Call a tool. Errors are results, so that a model can correct its call.

        Raises MCPError for the name of an unknown tool, and for the id of a job that the token does not have.
        """
        try:
            if name in JOB_TOOLS:
                result: types.CallToolResult = await validate_call(getattr(self, name))(**arguments)
                return result
            model, values, key = await self._read_arguments(name, arguments)
            return self._show(await self.studio.submits.submit(model.slug, values, owner=self.owner, key=key))
        except (KlingError, ValidationError) as error:
            return types.CallToolResult(
                content=[types.TextContent(text=describe_error(error).detail)], is_error=True
            )

    async def _read_arguments(
        self, tool: str, arguments: Mapping[str, Any]
    ) -> tuple[Model, dict[str, Any], Any]:
        """Return the model of a tool, the parameters of a job, and its key."""
        slug = name_tools(self.studio.models).get(tool)
        if slug is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool {tool[:100]!r}. List the tools.")
        model = self.studio.models.find(slug)
        values = {name: value for name, value in arguments.items() if value is not None}
        key = values.pop(KEY, None)
        read = partial(read_media, folders=self.studio.settings.media_folders)
        values = await anyio.to_thread.run_sync(convert_texts, values, model.schema, read)
        return model, values, key

    async def status(self, job_id: _JobId) -> types.CallToolResult:
        """Return the state of a job at once."""
        return self._show(await self._find_job(job_id))

    async def wait(
        self, job_id: _JobId, seconds: Annotated[float, Field(ge=0, le=WAIT_SECONDS)] = WAIT_SECONDS
    ) -> types.CallToolResult:
        """Wait for a job for 50 seconds at most, and return its state.

        Call it again until the status is completed or failed. The job continues in any case.
        """
        job = await self._find_job(job_id)
        return self._show(await self.studio.jobs.wait(job.id, seconds) or job)

    async def list_jobs(self, limit: Annotated[int, Field(ge=1, le=100)] = 20) -> types.CallToolResult:
        """List the jobs, the newest first, also those of earlier sessions."""
        await self.studio.jobs.watch.refresh()
        newest = self.studio.submits.list_jobs(self.owner)[:limit]
        return _make_result({"jobs": [self._describe(job) for job in newest]})

    async def estimate(self, model: _ToolName, parameters: _Arguments) -> types.CallToolResult:
        """Estimate the price of a job in credits; one credit is about one USD. Nothing is started."""
        tool_model, values, _ = await self._read_arguments(model, parameters)
        price = await self.studio.connections.find(None).estimator.estimate(tool_model.make_params(values))
        return _make_result({"estimate": str(price), **asdict(price)})

    async def _find_job(self, handle: str) -> Job | Submission:
        job = await self.studio.submits.find_job(handle, self.owner)
        if job is None:
            raise MCPError(types.INVALID_PARAMS, "There is no job with this id.")
        return job

    def _show(self, job: Job | Submission) -> types.CallToolResult:
        """Return the state of a job, with links to its files."""
        return _make_result(self._describe(job), *_link_files(job))

    def _describe(self, job: Job | Submission) -> dict[str, Any]:
        described, links = describe_job(self.studio, job), _link_files(job)
        body = {"job_id": described.pop("id"), **described}
        if links:
            body["files"] = [link.uri for link in links]
        if links and self.shows_paths:
            body["paths"] = [str(path) for path in job.files]
        if is_running(body):
            body["next"] = "Call `wait` with this job_id."
        return body

    async def list_resources(self, params: types.PaginatedRequestParams) -> types.ListResourcesResult:
        """Return the files of the newest jobs."""
        jobs = self.studio.submits.list_jobs(self.owner)
        links = (link for job in jobs for link in _link_files(job))
        return types.ListResourcesResult(resources=[*islice(links, _MAX_RESOURCES)])

    async def read_resource(self, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """Return a file. Raises MCPError."""
        uri = params.uri
        job = await self.studio.submits.find_job(uri.removeprefix(_JOBS).partition("/")[0], self.owner)
        files = zip(job.files, _link_files(job), strict=True) if job else ()
        path, link = next(((path, link) for path, link in files if link.uri == uri), (None, None))
        if path is None or link is None:
            raise MCPError(types.INVALID_PARAMS, "There is no such file.")
        if path.stat().st_size > MAX_READ:
            raise MCPError(
                types.INVALID_PARAMS,
                f"The file is larger than {MAX_READ >> 20} MiB. Open it at its path, or in the studio.",
            )
        content = base64.b64encode(await anyio.Path(path).read_bytes()).decode()
        contents = types.BlobResourceContents(uri=uri, mime_type=link.mime_type, blob=content)
        return types.ReadResourceResult(contents=[contents])


def _describe_method(method: Any) -> types.Tool:
    """Return the tool of a method: its docstring, and its parameters as arguments."""
    return types.Tool(
        name=method.__name__,
        description=inspect.getdoc(method),
        input_schema=TypeAdapter(method).json_schema(),
        annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )


def _link_files(job: Job | Submission) -> list[types.ResourceLink]:
    return [
        types.ResourceLink(
            uri=f"{_JOBS}{job.id}/{path.name}",
            name=path.name,
            mime_type=mimetypes.guess_type(path.name)[0],
            size=path.stat().st_size,
        )
        for path in job.files
    ]


def _make_result(body: dict[str, Any], *links: types.ResourceLink) -> types.CallToolResult:
    text = json.dumps({key: value for key, value in body.items() if value is not None}, ensure_ascii=False)
    return types.CallToolResult(content=[types.TextContent(text=text), *links], structured_content=body)
