"""Typed adapters and a careful client for the Kling models on the Segmind serverless API.

from kling_adapters import Kling

with Kling() as kling:
    result = kling.run("kling-2", prompt="a lighthouse in a storm", save_to="renders/")
"""

import logging
import sys
from importlib import import_module

from kling_adapters._version import __version__ as __version__

# Without it, Python prints warnings of a library to standard error while no logging is configured.
logging.getLogger("kling_adapters").addHandler(logging.NullHandler())

# Where each public name is. Type checkers and editors read __init__.pyi, which must have the same names.
_NAMES_BY_MODULE = {
    "_text": ("fingerprint_key",),
    "_warnings": ("DeprecatedParameter", "UnknownParameter"),
    "api_errors": (
        "ApiError",
        "BadGateway",
        "BadRequest",
        "Forbidden",
        "GatewayTimeout",
        "InsufficientCredits",
        "MethodNotAllowed",
        "ModelRetired",
        "NotAcceptable",
        "NotFound",
        "RateLimited",
        "ServerError",
        "Unauthorized",
        "Unprocessable",
    ),
    "client.async_client": ("AsyncKling",),
    "client.client": ("Kling",),
    "client.job": ("AsyncJob", "Job"),
    "client.preload": ("preload",),
    "client.requests": ("Extra",),
    "client.result": ("AsyncResult", "Result"),
    "driver.clock": ("Clock",),
    "errors": (
        "ConfigError",
        "JobExpired",
        "JobFailed",
        "KlingError",
        "ParamsInvalid",
        "RetiredModel",
        "StorageError",
        "SubmitUncertain",
        "TransportError",
        "UnknownModel",
        "WaitTimeout",
    ),
    "handles": ("JobHandle", "ResultHandle"),
    "journal.entries": ("HistorySearch", "JournalEntry"),
    "media.types": ("is_file_name",),
    "models._gateway": ("GATEWAY_STATUSES",),
    "plugins.manager": ("load_catalog",),
    "plugins.selection": ("PluginInfo",),
    "problems": ("Problem",),
    "protocol.batch_requests": ("Request",),
    "protocol.estimate": ("Estimate", "PriceSource"),
    "protocol.tasks": ("Outcome",),
    "protocol.usage": ("Charge", "Usage"),
    "result": ("Artifact", "ArtifactKind", "Credits", "JobStatus", "Metrics", "ResultData", "StoredFile"),
    "schema.adapter": ("Adapter",),
    "schema.catalog": ("Catalog", "CatalogEntry"),
    "schema.facts": ("OutputKind", "Retirement"),
    "schema.gateway": ("StatusCode",),
    "schema.param_types": ("Media",),
    "schema.params": ("Params",),
    "schema.rules": ("Rule",),
}
_MODULES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}
_ORIGINAL_NAMES = {"GATEWAY_STATUSES": "STATUSES"}
_SUBMODULES = ("events", "hookspecs", "models")

# The stub has the list, for tools that read it.
__all__ = sorted(["__version__", "events", *_MODULES])  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__]
        )
    module = import_module(f"{__name__}.{_MODULES[name]}")
    # From now on Python finds it without this function.
    value = globals()[name] = getattr(module, _ORIGINAL_NAMES.get(name, name))
    return value


def __dir__() -> list[str]:
    return __all__
