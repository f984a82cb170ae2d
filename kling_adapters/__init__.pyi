# The public names for type checkers and editors. At run time, __init__.py imports each when it is first used.

from kling_adapters import events
from kling_adapters._text import fingerprint_key
from kling_adapters._version import __version__
from kling_adapters._warnings import DeprecatedParameter, UnknownParameter
from kling_adapters.api_errors import (
    ApiError,
    BadGateway,
    BadRequest,
    Forbidden,
    GatewayTimeout,
    InsufficientCredits,
    MethodNotAllowed,
    ModelRetired,
    NotAcceptable,
    NotFound,
    RateLimited,
    ServerError,
    Unauthorized,
    Unprocessable,
)
from kling_adapters.client.async_client import AsyncKling
from kling_adapters.client.client import Kling
from kling_adapters.client.job import AsyncJob, Job
from kling_adapters.client.preload import preload
from kling_adapters.client.requests import Extra
from kling_adapters.client.result import AsyncResult, Result
from kling_adapters.driver.clock import Clock
from kling_adapters.errors import (
    ConfigError,
    JobExpired,
    JobFailed,
    KlingError,
    ParamsInvalid,
    RetiredModel,
    StorageError,
    SubmitUncertain,
    TransportError,
    UnknownModel,
    WaitTimeout,
)
from kling_adapters.handles import JobHandle, ResultHandle
from kling_adapters.journal.entries import HistorySearch, JournalEntry
from kling_adapters.media.types import is_file_name
from kling_adapters.models._gateway import STATUSES as GATEWAY_STATUSES
from kling_adapters.plugins.manager import load_catalog
from kling_adapters.plugins.selection import PluginInfo
from kling_adapters.problems import Problem
from kling_adapters.protocol.batch_requests import Request
from kling_adapters.protocol.estimate import Estimate, PriceSource
from kling_adapters.protocol.tasks import Outcome
from kling_adapters.protocol.usage import Charge, Usage
from kling_adapters.result import Artifact, ArtifactKind, Credits, JobStatus, Metrics, ResultData, StoredFile
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.catalog import Catalog, CatalogEntry
from kling_adapters.schema.facts import OutputKind, Retirement
from kling_adapters.schema.gateway import StatusCode
from kling_adapters.schema.param_types import Media
from kling_adapters.schema.params import Params
from kling_adapters.schema.rules import Rule

__all__ = [
    "GATEWAY_STATUSES",
    "Adapter",
    "ApiError",
    "Artifact",
    "ArtifactKind",
    "AsyncJob",
    "AsyncKling",
    "AsyncResult",
    "BadGateway",
    "BadRequest",
    "Catalog",
    "CatalogEntry",
    "Charge",
    "Clock",
    "ConfigError",
    "Credits",
    "DeprecatedParameter",
    "Estimate",
    "Extra",
    "Forbidden",
    "GatewayTimeout",
    "HistorySearch",
    "InsufficientCredits",
    "Job",
    "JobExpired",
    "JobFailed",
    "JobHandle",
    "JobStatus",
    "JournalEntry",
    "Kling",
    "KlingError",
    "Media",
    "MethodNotAllowed",
    "Metrics",
    "ModelRetired",
    "NotAcceptable",
    "NotFound",
    "Outcome",
    "OutputKind",
    "Params",
    "ParamsInvalid",
    "PluginInfo",
    "PriceSource",
    "Problem",
    "RateLimited",
    "Request",
    "Result",
    "ResultData",
    "ResultHandle",
    "RetiredModel",
    "Retirement",
    "Rule",
    "ServerError",
    "StatusCode",
    "StorageError",
    "StoredFile",
    "SubmitUncertain",
    "TransportError",
    "Unauthorized",
    "UnknownModel",
    "UnknownParameter",
    "Unprocessable",
    "Usage",
    "WaitTimeout",
    "__version__",
    "events",
    "fingerprint_key",
    "is_file_name",
    "load_catalog",
    "preload",
]
