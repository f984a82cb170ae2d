"""Readers of the rows of the request history, wherever they are in an answer, and of whatever they are made."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar, cast

from kling_adapters.models._gateway import HISTORY_FIELDS, HISTORY_STATES
from kling_adapters.protocol.fields import is_url, make_printable, read_decimal, read_id, read_number
from kling_adapters.protocol.messages import Answer

_MAX_DEPTH = 6
"""Depth at which rows may be in an answer."""
_MAX_NODES = 20_000
"""Values of an answer that are searched for rows."""
_MAX_ROWS = 2000
"""Rows of an answer that are read: some gateways may ignore the number that was asked for."""
_MAX_BODY_DEPTH = 32
_MAX_BODY_NODES = 20_000
_LONGEST_URL = 4000
_LONGEST_REASON = 2000
_LONGEST_NAME = 200
_EARLIEST, _LATEST = 1e9, 1e10
"""Seconds since 1970 of a time that can be meant, in 2001 and in 2286."""

T = TypeVar("T")


@dataclass(frozen=True)
class HistoryRow:
    """A request of the history. What is missing or unusable in its answer is None.

    Attributes:
        request_id: The id of the request.
        model: The slug of its model.
        state: COMPLETED, FAILED, PENDING, or an undocumented state; "" if there is none.
        cost: The cost in credits.
        body: The parameters.
        urls: The URLs of its outputs.
        error: The reason of a failure.
        created: The time of the request, in seconds since 1970.

    """

    request_id: str
    model: str | None = None
    state: str = ""
    cost: float | None = None
    body: Mapping[str, Any] | None = None
    urls: tuple[str, ...] = ()
    error: str | None = None
    created: float | None = None

    @property
    def url(self) -> str | None:
        """The URL of the first output."""
        return self.urls[0] if self.urls else None


@dataclass(frozen=True)
class HistoryPage:
    """A page of the history.

    Attributes:
        rows: The rows, one for each request.
        has_next: Whether another page follows; None if the answer does not say.

    """

    rows: tuple[HistoryRow, ...]
    has_next: bool | None = None


def read_page(answer: Answer) -> HistoryPage | None:
    """Return the rows of an answer of the history; None if the answer has no list of rows, not even an empty one."""
    if answer.status != 200:
        return None
    objects: list[Mapping[str, Any]] = []
    has_next, is_list = None, False
    for value in _iter_values(answer.json_value()):
        if isinstance(value, list):
            is_list = is_list or not value
        elif _find(value, HISTORY_FIELDS.request_id, read_id) is not None:
            objects.append(value)
        elif isinstance(value.get("has_next"), bool):
            has_next = value["has_next"]
    if not objects and not is_list:
        return None
    rows: dict[str, HistoryRow] = {}
    merge_rows(rows, map(_read_row, objects[:_MAX_ROWS]))
    return HistoryPage(tuple(rows.values()), has_next)


def merge_rows(rows: dict[str, HistoryRow], new: Iterable[HistoryRow]) -> None:
    """Add rows by their ids. Rows of one request, one for each of its outputs, become one row."""
    for row in new:
        earlier = rows.get(row.request_id)
        if earlier is None:
            rows[row.request_id] = row
        else:
            added = tuple(url for url in row.urls if url not in earlier.urls)
            rows[row.request_id] = replace(earlier, urls=earlier.urls + added)


def _iter_values(value: Any) -> Iterator[Any]:
    """Yield the objects and arrays of a JSON value, those near its root first, without what is inside rows."""
    queue = deque([(value, 0)])
    for _ in range(_MAX_NODES):
        if not queue:
            return
        item, depth = queue.popleft()
        if not isinstance(item, dict | list):
            continue
        yield item
        if depth < _MAX_DEPTH and not (isinstance(item, dict) and _has_id(cast("Mapping[str, Any]", item))):
            _extend(queue, item, depth + 1)


def _has_id(members: Mapping[str, Any]) -> bool:
    """Return whether an object is a row, even one with an unusable id. What a row contains is not another row."""
    return any(members.get(name) is not None for name in HISTORY_FIELDS.request_id)


def _read_row(members: Mapping[str, Any]) -> HistoryRow:
    request_id = _find(members, HISTORY_FIELDS.request_id, read_id)
    url = _find(members, HISTORY_FIELDS.url, _read_url)
    return HistoryRow(
        str(request_id),
        _find(members, HISTORY_FIELDS.model, _read_name),
        _find(members, HISTORY_FIELDS.state, _read_state) or "",
        _find(members, HISTORY_FIELDS.cost, _read_cost),
        _find(members, HISTORY_FIELDS.body, _read_body),
        () if url is None else (url,),
        _find(members, HISTORY_FIELDS.error, _read_reason),
        _find(members, HISTORY_FIELDS.created, read_time),
    )


def _find(members: Mapping[str, Any], names: Iterable[str], read: Callable[[Any], T | None]) -> T | None:
    """Return the first usable member of these names."""
    values = (read(members[name]) for name in names if name in members)
    return next((value for value in values if value is not None), None)


def _read_name(value: Any) -> str | None:
    is_name = isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()
    return value if is_name else None


def _read_state(value: Any) -> str | None:
    name = _read_name(value)
    return name.upper() if name is not None and name.upper() in HISTORY_STATES else name


def _read_cost(value: Any) -> float | None:
    cost = read_decimal(value.strip()) if isinstance(value, str) else read_number(value)
    return cost if cost is not None and cost >= 0 else None


def _read_url(value: Any) -> str | None:
    return value if is_url(value) and len(value) <= _LONGEST_URL and value.isprintable() else None


def _read_reason(value: Any) -> str | None:
    return make_printable(value[:_LONGEST_REASON]) if isinstance(value, str) and value.strip() else None


def _read_body(value: Any) -> Mapping[str, Any] | None:
    """Return parameters, which may be an object or the text of one; None if they are nested too deep."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) and _is_bounded(value) else None


def _is_bounded(value: Any) -> bool:
    queue = deque([(value, 0)])
    for _ in range(_MAX_BODY_NODES):
        if not queue:
            return True
        item, depth = queue.popleft()
        if isinstance(item, dict | list):
            if depth == _MAX_BODY_DEPTH:
                return False
            _extend(queue, item, depth + 1)
    return False


def _extend(queue: deque[tuple[Any, int]], item: Any, depth: int) -> None:
    members = cast("Iterable[Any]", item.values() if isinstance(item, dict) else item)
    # What is beyond the limit would not be read.
    queue.extend((member, depth) for member in islice(members, _MAX_NODES + 1))


def read_time(value: Any) -> float | None:
    """Return a time in seconds since 1970: ISO 8601, UTC if it names no zone, or seconds, milli- or microseconds."""
    if isinstance(value, str):
        text = value.strip()[:_LONGEST_NAME]
        number = read_decimal(text)
        return _parse_time(text) if number is None else _scale_time(number)
    number = read_number(value)
    return None if number is None else _scale_time(number)


def _scale_time(number: float) -> float | None:
    for unit in (1.0, 1e3, 1e6):
        if _EARLIEST <= number / unit <= _LATEST:
            return number / unit
    return None


def _parse_time(text: str) -> float | None:
    try:
        parsed = datetime.fromisoformat(text.removesuffix(" UTC"))
        seconds = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if _EARLIEST <= seconds <= _LATEST else None
