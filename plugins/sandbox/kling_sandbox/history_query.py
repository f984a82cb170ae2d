"""The query of a page of the request history."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from kling_sandbox.errors import GatewayError
from kling_sandbox.jobs import Job

MAX_PER_PAGE: Final = 100
MAX_DAYS: Final = 31
STATES: Final = ("COMPLETED", "FAILED", "PENDING")
SORTS: Final[Mapping[str, Callable[[Job], Any]]] = {
    "model_created": attrgetter("created"),
    "model_name": attrgetter("slug"),
    "credits_deduction": attrgetter("cost"),
}
ORDERS: Final = ("desc", "asc")
MAX_PAGE: Final = 1_000_000

_DEFAULT_PER_PAGE: Final = 20
_DEFAULT_DAYS: Final = 7


@dataclass(frozen=True)
class HistoryQuery:
    """The filters, the order and the place of a page."""

    page: int
    per_page: int
    first_day: date
    last_day: date
    model_name: str
    status: str
    sort_by: str
    sort_order: str

    def matches(self, job: Job, state: str) -> bool:
        """Return whether a job in a state is one of these days and models, and of this state."""
        day = datetime.fromtimestamp(job.created, UTC).date()
        is_of_model = self.model_name in job.slug and self.status in ("", state)
        return is_of_model and self.first_day <= day <= self.last_day

    def sort(self, jobs: Iterable[Job]) -> list[Job]:
        """Return jobs in the order of the query."""
        return sorted(jobs, key=SORTS[self.sort_by], reverse=self.sort_order == "desc")

    def select_page(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return the jobs of the page."""
        start = (self.page - 1) * self.per_page
        return jobs[start : start + self.per_page]

    def describe_pages(self, total: int) -> dict[str, Any]:
        """Return the place of the page among those of all rows."""
        total_pages = -(-total // self.per_page)
        return {
            "page": self.page,
            "per_page": self.per_page,
            "total": total,
            "total_pages": total_pages,
            "has_next": self.page < total_pages,
            "has_prev": self.page > 1,
        }


def read_query(params: Mapping[str, str]) -> HistoryQuery:
    """Return the query of a request. Raises GatewayError 400 for an invalid parameter; others are ignored."""
    today = datetime.now(UTC).date()
    last_day = _read_day(params, "to_date", today)
    first_day = _read_day(params, "from_date", last_day - timedelta(days=_DEFAULT_DAYS))
    if not 0 <= (last_day - first_day).days < MAX_DAYS:
        raise GatewayError(400, f"from_date and to_date must be at most {MAX_DAYS} days, in this order")
    return HistoryQuery(
        _read_number(params, "page", 1, MAX_PAGE),
        _read_number(params, "per_page", _DEFAULT_PER_PAGE, MAX_PER_PAGE),
        first_day,
        last_day,
        params.get("model_name", ""),
        _read_choice(params, "status", STATES) if "status" in params else "",
        _read_choice(params, "sort_by", tuple(SORTS)),
        _read_choice(params, "sort_order", ORDERS),
    )


def _read_day(params: Mapping[str, str], name: str, default: date) -> date:
    text = params.get(name)
    if text is None:
        return default
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise GatewayError(400, f"{name} must be a day as YYYY-MM-DD") from None


def _read_number(params: Mapping[str, str], name: str, default: int, maximum: int) -> int:
    text = params.get(name, str(default))
    number = int(text) if re.fullmatch("[0-9]{1,9}", text) else 0
    if not 1 <= number <= maximum:
        raise GatewayError(400, f"{name} must be a whole number from 1 to {maximum}")
    return number


def _read_choice(params: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    text = params.get(name, choices[0])
    if text not in choices:
        raise GatewayError(400, f"{name} must be one of {', '.join(choices)}")
    return text
