"""The jobs of a batch by their search attributes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from temporalio.client import Client

from kling_temporal import payloads
from kling_temporal.store import quote

_MAX_PROBLEMS: Final = 50
_MAX_NAMES: Final = 20
_PROBLEMS: Final = frozenset(
    {payloads.UNCERTAIN, payloads.SEARCHING, payloads.NOT_STORED, payloads.REFUSED, payloads.UNFINISHED}
)


@dataclass
class BatchJobs:
    """The jobs of a batch.

    Attributes:
        states: The number of jobs in each state.
        lines: The number of lines that were passed to Temporal.
        problems: The jobs that need attention, as text.

    """

    states: Counter[str] = field(default_factory=Counter[str])
    lines: int = 0
    problems: list[str] = field(default_factory=list[str])

    @property
    def waiting(self) -> int:
        """The number of lines that are not started yet."""
        return max(0, self.lines - self.states.total())


async def list_jobs(client: Client, batch: str) -> BatchJobs:
    """Return the jobs of a batch."""
    jobs = BatchJobs()
    lines: set[str] = set()
    # The latest workflow of a line comes first.
    async for execution in client.list_workflows(f"{payloads.BATCH.name} = {quote(batch)}"):
        if (line := payloads.find_line(execution.id)) in lines:
            continue
        lines.add(line)
        if execution.workflow_type == payloads.BATCH_WORKFLOW:
            jobs.lines += int(await execution.memo_value("lines", 0))
            continue
        attributes = execution.typed_search_attributes
        state = attributes.get(payloads.STATE) or "UNKNOWN"
        jobs.states[state] += 1
        if state in _PROBLEMS and len(jobs.problems) < _MAX_PROBLEMS:
            request_id = attributes.get(payloads.REQUEST_ID) or "no request id"
            jobs.problems.append(f"{state.lower()}  {request_id}  {execution.id}")
    return jobs


async def list_batches(client: Client) -> list[str]:
    """Return the names of the latest batches."""
    names: dict[str, None] = {}
    async for execution in client.list_workflows(f"WorkflowType = '{payloads.BATCH_WORKFLOW}'"):
        names[execution.typed_search_attributes.get(payloads.BATCH) or ""] = None
        if len(names) == _MAX_NAMES:
            break
    return list(names)
