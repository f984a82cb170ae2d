"""Bulk polls: a page of the request history tells of up to a hundred jobs, so that fewer of them are asked themselves.

A row only says that a job was running. A job that is not listed as running is asked itself, as it would be without the
history, and so is each listed job from time to time. So a history that is late, wrong or down delays no end for long.
"""

from __future__ import annotations

import logging

from kling_adapters.protocol.effects import Flow, Now, Sleep
from kling_adapters.protocol.history_rows import HistoryPage, read_page
from kling_adapters.protocol.keys import find_key
from kling_adapters.protocol.request_history import HistoryUnavailable, send_to_history, take_history_slot
from kling_adapters.protocol.running_jobs import RunningJobs
from kling_adapters.protocol.session import Session
from kling_adapters.protocol.timing import JobTiming

log = logging.getLogger("kling_adapters")

_CHECK_SHARE = 0.25
"""Share of the slots of a key that requests take which ask listed jobs themselves."""
_PAGE_SECONDS = 5.0
"""Seconds for the answer to the request of a page, which is not repeated."""
_LISTING_SECONDS = 10.0
"""Seconds after which a listing reads no further page."""
_LOOK_SECONDS = 0.5
"""Seconds between two looks at a listing that another job has begun."""
_RUNNING = "PENDING"


def join_jobs(session: Session, request_id: str) -> Flow[RunningJobs]:
    """Add a job to those that wait with the same key, and return them."""
    jobs = session.running_jobs((yield from find_key(session, request_id)))
    jobs.join(request_id)
    return jobs


def find_running(
    session: Session, jobs: RunningJobs, request_id: str, timing: JobTiming, end: float
) -> Flow[float | None]:
    """Return a time at which the history listed a job as running, later than is known; None to ask the job itself.

    The first of many jobs that find no such time reads the history for all of them. Others wait for it.

    Args:
        session: The state of the client.
        jobs: The jobs that wait.
        request_id: The id of the job, whose poll is due.
        timing: Its times.
        end: The end of the wait.

    """
    now: float = yield Now()
    # Where slots are few, these requests leave most of them to others.
    spacing = jobs.limiter.spacing or 0.0
    if not session.uses_history or now >= end or timing.is_check_due(now, spacing * len(jobs) / _CHECK_SHARE):
        return None
    looks = (now - timing.running) / 4 / _LOOK_SECONDS
    while (listed := jobs.find(request_id)) <= timing.running:
        # Its own poll would get a slot after a listing that waits for one.
        if jobs.is_queued or (jobs.is_listing and looks > 0):
            looks -= not jobs.is_queued
            yield Sleep(_LOOK_SECONDS)
        elif jobs.begin(timing.running, now):
            yield from _list_running(session, jobs, request_id, now, end)
        else:
            return None
        if (now := (yield Now())) >= end:
            return None
    jobs.count_spared()
    return listed


def _list_running(session: Session, jobs: RunningJobs, request_id: str, now: float, end: float) -> Flow[None]:
    """Read the pages of the running jobs. A failure is not repeated: each job is asked itself then."""
    pages, is_refused, start = 0, False, now
    try:
        key = yield from find_key(session, request_id)
        while pages < jobs.most_pages and now < start + _LISTING_SECONDS:
            yield from take_history_slot(session, key, end, request_id)
            now = yield Now()
            if pages == 0:
                start = now
                jobs.start(start)
            request = session.gateway.request_history(pages + 1, status=_RUNNING)
            page: HistoryPage = yield from send_to_history(request, key, read_page, _PAGE_SECONDS)
            pages += 1
            running = [row.request_id for row in page.rows if row.state == _RUNNING]
            if not jobs.list_page(running, now):
                log.info(
                    "the request history is late, and spares no more polls: it lists a job that has ended"
                )
                break
            if page.has_next is False or not page.rows:
                break
    except HistoryUnavailable as error:
        is_refused = error.is_final
        log.info("the request history spares no polls: %s", error)
    finally:
        jobs.finish(pages, now, is_refused=is_refused)
