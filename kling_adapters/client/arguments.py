"""Checks of the arguments of public calls. An invalid one raises ConfigError before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NoReturn, TypeGuard, cast
from urllib.parse import urlsplit

from kling_adapters.errors import ConfigError
from kling_adapters.protocol.fields import LONGEST_ID
from kling_adapters.protocol.gateway import is_slug

_LONGEST_SECONDS = 366 * 86400.0
_HIGHEST_RATE = 1_000_000
_LARGEST_NUMBER = 10**15


def check_seconds(name: str, value: object, *, may_be_zero: bool = False) -> None:
    """Refuse a value that is not a number of seconds; None is accepted. A wait may have a `timeout` of 0."""
    if value is None:
        return
    expected = f"a number of seconds {'from' if may_be_zero else 'greater than'} 0, such as 60 or 2.5"
    if not _is_number(value):
        refuse(name, value, expected)
    if not (0 <= value <= _LONGEST_SECONDS) or (value == 0 and not may_be_zero):
        refuse(name, value, f"{expected}, and at most {_LONGEST_SECONDS:.0f}")


def check_rate_limit(name: str, value: object) -> None:
    """Refuse a value that is not a number of requests a minute."""
    if not _is_number(value) or not 1 <= value <= _HIGHEST_RATE:
        refuse(name, value, f"a number of requests a minute from 1 to {_HIGHEST_RATE}, such as 50")


def check_concurrency(value: object) -> None:
    """Refuse a value that is not a number of jobs."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        refuse("concurrency", value, "a whole number of jobs, 1 or more")


def check_time(name: str, value: object) -> None:
    """Refuse a value that is not a time in seconds since 1970."""
    if not (_is_number(value) and 0 <= value < _LARGEST_NUMBER):
        refuse(name, value, "a time in seconds since 1970, such as time.time() - 7 * 86400")


def check_cap(max_cost: object, allow_unknown_cost: object) -> None:
    """Refuse values that are not a number of credits, and an allowance without a cap; None is accepted."""
    for name, value in (("max_cost", max_cost), ("allow_unknown_cost", allow_unknown_cost)):
        if value is not None and not (_is_number(value) and 0 <= value <= _LARGEST_NUMBER):
            refuse(name, value, "a number of credits, 0 or more")
    if allow_unknown_cost is not None and max_cost is None:
        raise ConfigError(
            "allow_unknown_cost is set without max_cost, the cap that it belongs to. Nothing was sent"
        )


def check_name(name: str, value: object) -> None:
    """Refuse a value that the journal cannot store as text; None is accepted."""
    if value is None:
        return
    if not isinstance(value, str) or not value.strip():
        refuse(name, value, "text that is not empty")
    if not _is_text(value):
        refuse(name, value, "text without lone surrogates")


def check_request_id(value: object) -> None:
    """Refuse a value that is not the id of a job."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > LONGEST_ID:
        refuse("request_id", value, "the id that the gateway gave to a job, a str")


def check_slug(name: str, value: object) -> None:
    """Refuse a value that is not the slug of a model."""
    if not isinstance(value, str) or not is_slug(value):
        refuse(name, value, 'the slug of a model, such as "kling-2"')


def check_model(model: object, params: Mapping[str, Any]) -> None:
    """Refuse a model that is neither a slug nor a parameter object, and parameters beside such an object."""
    if isinstance(model, str):
        return
    from kling_adapters.schema.params import Params  # imports pydantic

    if not isinstance(model, Params):
        refuse(
            "model", model, 'the slug of a model, such as "kling-2", or its parameters, such as Kling2(...)'
        )
    if params:
        raise ConfigError(
            f"{', '.join(params)}: pass every parameter in the {type(model).__name__} object, or a slug and "
            "every parameter by name. Nothing was sent"
        )


def check_mapping(name: str, value: object) -> None:
    """Refuse a value that is not a mapping from names to values."""
    if not isinstance(value, Mapping):
        refuse(name, value, "a mapping from parameter names to values")
    for key in cast("Mapping[object, object]", value):
        if not isinstance(key, str):
            refuse(f"a parameter name in {name}", key, "a str")


def check_requests(requests: object) -> None:
    """Refuse a value that is not a series of requests, such as one request alone."""
    from kling_adapters.schema.params import Params  # imports pydantic

    if not is_series(requests) or isinstance(requests, Params):
        refuse(
            "requests",
            requests,
            'an iterable of requests, each an object such as Kling2(...) or {"model": "kling-2", ...}',
        )


def resolve_save_to(value: str | PathLike[str] | None) -> str | None:
    """Return the destination of `save_to` as resolve_destination does; None for None."""
    return None if value is None else resolve_destination("save_to", value)


def resolve_destination(name: str, value: str | PathLike[str]) -> str:
    """Return a destination as a URL or an absolute path: processes in other folders read it in the journal."""
    destination = read_path(name, value, "a folder or a storage URL, as a str or a path")
    try:
        # A scheme of one letter is a drive of Windows, as in file_storage.
        is_path = len(urlsplit(destination).scheme) <= 1
    except ValueError:
        return destination
    if not is_path:
        return destination
    path = make_absolute(name, destination)
    # A final slash marks a folder whose name looks like a file name.
    is_ambiguous = "." in path.name or "{" in path.name
    return f"{path}/" if destination.endswith("/") and is_ambiguous else str(path)


def check_callback(name: str, value: object) -> None:
    """Refuse a callback that cannot be called; None is accepted."""
    if value is not None and not callable(value):
        refuse(name, value, "a function")


def read_path(name: str, value: Any, expected: str) -> str:
    """Return a path as text. Refuse a value of another type, and an empty text."""
    try:
        path = cast("object", fspath(value))
    except TypeError:
        refuse(name, value, expected)
    if not isinstance(path, str) or not path.strip():
        refuse(name, path, expected)
    return path


def make_absolute(name: str, path: str | Path) -> Path:
    """Return an absolute path. Raises ConfigError if the home or working folder does not exist."""
    try:
        return Path(path).expanduser().absolute()
    except (OSError, RuntimeError) as error:
        # The home folder or the working folder does not exist.
        raise ConfigError(
            f"{name} is {str(path)!r}, which cannot be made absolute: {str(error).rstrip('.')}. Pass an absolute path. "
            "Nothing was sent"
        ) from error


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_series(value: object) -> bool:
    """Return whether a value is an iterable, and none that stands for one value."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def refuse(name: str, value: object, expected: str) -> NoReturn:
    """Raise ConfigError for a value; of a secret or an object, pass its type."""
    raise ConfigError(f"{name} is {_describe(value)}; expected {expected}. Nothing was sent")


def _describe(value: object) -> str:
    """Return a short text for a value; the type of an object."""
    if isinstance(value, type):
        return f"of type {value.__name__}"
    if isinstance(value, str):
        return ascii(value if len(value) <= 50 else f"{value[:50]}...")
    if isinstance(value, int) and abs(value) >= _LARGEST_NUMBER:
        return "a number that is too large"
    return (
        repr(value) if value is None or isinstance(value, int | float) else f"of type {type(value).__name__}"
    )
