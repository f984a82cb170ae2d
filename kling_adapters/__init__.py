"""Typed adapters and a careful client for the Kling models on the Segmind serverless API.

from kling_adapters import Kling

with Kling() as kling:
    result = kling.run("kling-2", prompt="a lighthouse in a storm", save_to="renders/")
"""

import logging as _logging

from kling_adapters import events
from kling_adapters._version import __version__
from kling_adapters.client.async_client import AsyncKling
from kling_adapters.client.client import Kling
from kling_adapters.client.job import AsyncJob, AsyncResult, Job, Result
from kling_adapters.driver.clock import Clock
from kling_adapters.errors import (
    ApiError,
    BadGateway,
    BadRequest,
    ConfigError,
    Forbidden,
    GatewayTimeout,
    InsufficientCredits,
    JobExpired,
    JobFailed,
    KlingError,
    MethodNotAllowed,
    ModelRetired,
    NotAcceptable,
    NotFound,
    ParamsInvalid,
    Problem,
    RateLimited,
    ServerError,
    StorageError,
    SubmitUncertain,
    TransportError,
    Unauthorized,
    UnknownModel,
    Unprocessable,
    WaitTimeout,
)
from kling_adapters.journal.entries import JournalEntry
from kling_adapters.models._gateway import STATUSES as GATEWAY_STATUSES
from kling_adapters.plugins.manager import load_catalog
from kling_adapters.plugins.selection import PluginInfo
from kling_adapters.protocol.tasks import Outcome
from kling_adapters.result import Artifact, Credits, JobStatus, Metrics, ResultData, StoredFile
from kling_adapters.schema.catalog import Catalog, CatalogEntry
from kling_adapters.schema.gateway import StatusCode
from kling_adapters.schema.params import Params

# An application that has not set up logging must not see on its standard error what it handles as an exception.
_logging.getLogger("kling_adapters").addHandler(_logging.NullHandler())

__all__ = [
    "GATEWAY_STATUSES",
    "ApiError",
    "Artifact",
    "AsyncJob",
    "AsyncKling",
    "AsyncResult",
    "BadGateway",
    "BadRequest",
    "Catalog",
    "CatalogEntry",
    "Clock",
    "ConfigError",
    "Credits",
    "Forbidden",
    "GatewayTimeout",
    "InsufficientCredits",
    "Job",
    "JobExpired",
    "JobFailed",
    "JobStatus",
    "JournalEntry",
    "Kling",
    "KlingError",
    "MethodNotAllowed",
    "Metrics",
    "ModelRetired",
    "NotAcceptable",
    "NotFound",
    "Outcome",
    "Params",
    "ParamsInvalid",
    "PluginInfo",
    "Problem",
    "RateLimited",
    "Result",
    "ResultData",
    "ServerError",
    "StatusCode",
    "StorageError",
    "StoredFile",
    "SubmitUncertain",
    "TransportError",
    "Unauthorized",
    "UnknownModel",
    "Unprocessable",
    "WaitTimeout",
    "__version__",
    "events",
    "load_catalog",
]
