"""The jobs of a batch by their search attributes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from temporalio.client import Client, WorkflowExecutionStatus

from kling_adapters.engine import NOT_STORED, UNFINISHED
from kling_temporal import payloads
from kling_temporal.store import quote

_MAX_PROBLEMS: Final = 50
_MAX_NAMES: Final = 20
_PROBLEMS: Final = frozenset(
    {payloads.UNCERTAIN, payloads.SEARCHING, NOT_STORED, payloads.REFUSED, UNFINISHED}
)


@dataclass
class BatchJobs:
    """The jobs of a batch.

    Attributes:
        states: The number of jobs in each state.
        waiting: The number of lines that a running workflow has not started yet.
        problems: The jobs that need attention, as text.
        is_known: Whether Temporal has a batch of this name.

    """

    states: Counter[str] = field(default_factory=Counter[str])
    waiting: int = 0
    problems: list[str] = field(default_factory=list[str])
    is_known: bool = False


async def list_jobs(client: Client, batch: str) -> BatchJobs:
    """Return the jobs of a batch."""
    jobs = BatchJobs()
    lines: set[str] = set()
    parts: dict[str, int] = {}
    children = Counter[str]()
    # The latest workflow of a line, and the latest run of a part, come first.
    async for execution in client.list_workflows(f"{payloads.BATCH.name} = {quote(batch)}"):
        jobs.is_known = True
        line = payloads.find_line(execution.id)
        if execution.workflow_type == payloads.BATCH_WORKFLOW:
            is_running = execution.status == WorkflowExecutionStatus.RUNNING
            parts.setdefault(line, int(await execution.memo_value("lines", 0)) if is_running else 0)
            continue
        if execution.id == line:
            children[execution.parent_id or ""] += 1
        if line in lines:
            continue
        lines.add(line)
        attributes = execution.typed_search_attributes
        state = attributes.get(payloads.STATE) or "UNKNOWN"
        jobs.states[state] += 1
        if state in _PROBLEMS and len(jobs.problems) < _MAX_PROBLEMS:
            request_id = attributes.get(payloads.REQUEST_ID) or "no request id"
            jobs.problems.append(f"{state.lower()}  {request_id}  {execution.id}")
    jobs.waiting = sum(max(0, number - children[part]) for part, number in parts.items())
    return jobs


async def list_batches(client: Client) -> list[str]:
    """Return the names of the latest batches."""
    names: dict[str, None] = {}
    async for execution in client.list_workflows(f"WorkflowType = '{payloads.BATCH_WORKFLOW}'"):
        names[execution.typed_search_attributes.get(payloads.BATCH) or ""] = None
        if len(names) == _MAX_NAMES:
            break
    return list(names)
