"""Connections to Temporal, and what its namespace must have."""

from __future__ import annotations

import atexit
import dataclasses
import os
import re
import time
from pkgutil import resolve_name
from typing import Any, Final

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.failure.v1 import Failure
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client, Interceptor
from temporalio.converter import DataConverter, DefaultFailureConverter, PayloadCodec, PayloadConverter
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError, RPCStatusCode

from kling_adapters import ConfigError
from kling_temporal.payloads import SEARCH_ATTRIBUTES

TASK_QUEUE: Final = "kling"
"""The task queue of workers and batches that name none."""
_HOST: Final = "localhost"
_PORT: Final = 7233
_EXIT_SECONDS: Final = 0.1
"""Seconds in which the threads of the SDK hand over their last answers."""


async def connect(
    address: str | None = None,
    namespace: str | None = None,
    *,
    codec: PayloadCodec | str | None = None,
    tracing: bool = False,
) -> Client:
    """Connect to Temporal.

    Args:
        address: Host and port; None for the profile of Temporal's own tools or TEMPORAL_ADDRESS, else localhost. The
            port is 7233 by default.
        namespace: The namespace; None for that of the profile or TEMPORAL_NAMESPACE, else "default". TEMPORAL_API_KEY
            and the TEMPORAL_TLS variables count, too.
        codec: Encodes payloads and messages of errors, so that the server stores no prompt in clear; or the name of a
            function that returns it, such as "kling_temporal.encryption:make_codec". None for that of
            KLING_TEMPORAL_CODEC.
        tracing: Whether to record spans with Temporal's interceptor for OpenTelemetry.

    Returns:
        The client.

    Raises:
        ConfigError: The server cannot be reached, or the codec or OpenTelemetry is not installed. Nothing was sent.

    """
    options: dict[str, Any] = dict(ClientConfig.load_client_connect_config())
    options["target_host"] = target = _add_port(address or options.get("target_host") or _HOST)
    if namespace is not None:
        options["namespace"] = namespace
    interceptors: list[Interceptor] = [_make_tracing()] if tracing else []
    try:
        return await Client.connect(
            **options,
            data_converter=make_converter(codec or os.environ.get("KLING_TEMPORAL_CODEC") or None),
            interceptors=interceptors,
        )
    except (RuntimeError, RPCError, ValueError) as error:
        raise ConfigError(_describe_unreachable(target, error)) from error


def _add_port(address: str) -> str:
    return address if re.search(r":\d+$", address) else f"{address}:{_PORT}"


def _describe_unreachable(target: str, error: Exception) -> str:
    return (
        f"Temporal cannot be reached at {target}{_find_cause(error)}. Expected a server of Temporal: start one there, or "
        "pass --address HOST:PORT, or set TEMPORAL_ADDRESS. Nothing was sent"
    )


def _find_cause(error: Exception) -> str:
    """Return the message of the operating system or of the server, without the types of Rust around it."""
    messages = re.findall(r'(?:message|error): "([^"]+)"', str(error))
    if not messages and isinstance(error, ValueError | RPCError):
        messages = [str(error)]
    return f" ({messages[-1]})" if messages else ""


@atexit.register
def _let_threads_end() -> None:
    # A thread of the SDK that hands over its last answer while Python ends aborts the process, without its exit code.
    time.sleep(_EXIT_SECONDS)


async def prepare_namespace(client: Client) -> None:
    """Add the search attributes of this package to the namespace, if they are missing.

    Raises:
        ConfigError: They cannot be added, or the server cannot be reached. Nothing was sent.

    """
    kind = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    try:
        request = ListSearchAttributesRequest(namespace=client.namespace)
        listed = await client.operator_service.list_search_attributes(request)
        missing = {key.name: kind for key in SEARCH_ATTRIBUTES if key.name not in listed.custom_attributes}
        if missing:
            added = AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
            await client.operator_service.add_search_attributes(added)
    except RPCError as error:
        raise ConfigError(_describe_unprepared(client, error)) from error


def _describe_unprepared(client: Client, error: RPCError) -> str:
    match error.status:
        # A connection that breaks is of unknown status.
        case RPCStatusCode.UNAVAILABLE | RPCStatusCode.DEADLINE_EXCEEDED | RPCStatusCode.UNKNOWN:
            return _describe_unreachable(client.service_client.config.target_host, error)
        case RPCStatusCode.NOT_FOUND:
            return (
                f"Temporal has no namespace {client.namespace!r}. Create it with the tools of Temporal, or pass "
                "--namespace NAME, or set TEMPORAL_NAMESPACE. Nothing was sent"
            )
        case _:
            names = ", ".join(key.name for key in SEARCH_ATTRIBUTES)
            return (
                f"the search attributes {names} cannot be added to the namespace {client.namespace}: {error}. Add them "
                "as Keyword, with the tools of Temporal. Nothing was sent"
            )


def make_converter(codec: PayloadCodec | str | None = None) -> DataConverter:
    """Return the data converter of clients and workers; see `connect`."""
    return dataclasses.replace(
        DataConverter.default,
        payload_codec=_load_codec(codec) if isinstance(codec, str) else codec,
        failure_converter_class=_FailureConverter if codec is None else _EncodedFailureConverter,
    )


class _FailureConverter(DefaultFailureConverter):
    """Converts errors; those that only ask for another try have no stack trace, which each history would keep."""

    def to_failure(
        self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure
    ) -> None:
        if isinstance(exception, ApplicationError) and exception.category is ApplicationErrorCategory.BENIGN:
            exception.__traceback__ = exception.__cause__ = None
        super().to_failure(exception, payload_converter, failure)


class _EncodedFailureConverter(_FailureConverter):
    """Converts errors, whose messages may quote a prompt, to payloads that a codec encodes."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


def _load_codec(name: str) -> PayloadCodec:
    try:
        codec: object = resolve_name(name)()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"the codec {name!r} cannot be loaded: {error}. Nothing was sent") from error
    if not isinstance(codec, PayloadCodec):
        raise ConfigError(
            f"{name} returned a {type(codec).__name__}; expected a PayloadCodec. Nothing was sent"
        )
    return codec


def _make_tracing() -> Interceptor:
    try:
        from temporalio.contrib.opentelemetry import TracingInterceptor
    except ImportError as error:
        raise ConfigError(
            "OpenTelemetry is not installed: pip install 'kling-temporal[opentelemetry]'. Nothing was sent"
        ) from error
    return TracingInterceptor()
