"""Settling of uncertain submits: the request history has their jobs, if they started any.

Absence proves nothing, because a job may be listed late: a submit without a row stays uncertain.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat

from kling_adapters.errors import SubmitUncertain
from kling_adapters.journal.entries import UNCERTAIN, JournalEntry
from kling_adapters.protocol.effects import Call, Flow, Now, Sleep
from kling_adapters.protocol.job_search import OtherAccount, look_for_jobs
from kling_adapters.protocol.request_history import HISTORY_BUDGET, HistoryUnavailable
from kling_adapters.protocol.session import Session

log = logging.getLogger("kling_adapters")

LOOK_DELAYS = (0.0, 2.0, 5.0, 15.0, 30.0, 60.0)
"""Seconds before each look for the job of a submit that has just become uncertain."""
_LONGEST_LOOK_DELAY = 600.0
"""Seconds between looks after those."""
LOOK_BUDGET = 5.0
"""Seconds within which a request of such a look is repeated when it fails."""
_LATE_DELAY = 60.0
"""Seconds between later looks, before a submit is repeated."""
_LONGEST_SPAN = 86400.0
"""Seconds between the submits that are looked for together."""


@dataclass(frozen=True)
class Finding:
    """Outcome of the search for the job of an uncertain submit.

    Attributes:
        request_id: The id of the job; None if it is unknown.
        is_absent: Whether the submit counts as one that started no job.

    """

    request_id: str | None = None
    is_absent: bool = False


def settle_entries(
    session: Session, entries: Iterable[JournalEntry], budget: float = HISTORY_BUDGET
) -> Flow[list[JournalEntry]]:
    """Look once for the jobs of uncertain submits, and record them.

    Args:
        session: The state of the client.
        entries: Entries of the journal; those that are not uncertain are left as they are.
        budget: Seconds within which each request is repeated when it fails.

    Returns:
        The entries, with the request ids that were found.

    """
    entries = list(entries)
    uncertain = [entry for entry in entries if entry.state == UNCERTAIN]
    settled: dict[int, JournalEntry] = {}
    for group in group_entries(uncertain) if session.uses_history else ():
        try:
            settled |= (yield from look_for_jobs(session, group, budget)).settled
        except OtherAccount as error:
            log.info("uncertain submits of another account are not looked for: %s", error)
        except Exception as error:  # noqa: BLE001  as without the history, the submits stay uncertain
            log.warning("the request history cannot be searched for uncertain submits: %s", error)
            break
    return [settled.get(entry.id, entry) for entry in entries]


def find_started_job(
    session: Session, uncertain: SubmitUncertain, end: float, resubmit_after: float | None
) -> Flow[Finding]:
    """Look several times, until the time `end`, for the job of a submit that has just become uncertain.

    Returns:
        The job, which the journal has; or that it is unknown; or, with `resubmit_after`, that it was not listed in
        time, and then the submit is recorded as REFUSED. No failure here is an error.

    """
    if uncertain.entry is None or not session.uses_history:
        return Finding()
    try:
        return (yield from _look_repeatedly(session, uncertain.model, uncertain.entry, end, resubmit_after))
    except Exception as error:  # noqa: BLE001  as without the history, the submit is uncertain
        log.warning("the request history cannot be searched for submit %d: %s", uncertain.entry, error)
        return Finding()


def _look_repeatedly(
    session: Session, model: str, number: int, end: float, resubmit_after: float | None
) -> Flow[Finding]:
    was_readable, is_absent = True, False
    for delay in _iter_delays(resubmit_after):
        now: float = yield Now()
        if now + delay > end:
            return Finding()
        if delay:
            yield Sleep(delay)
        find = partial(session.journal.find_unanswered, session.gateway.base_url, model)
        unanswered: list[JournalEntry] = yield Call(find)
        entry = next((entry for entry in unanswered if entry.id == number), None)
        if entry is None or entry.state != UNCERTAIN:
            return Finding((yield from _find_settled(session, number)))
        try:
            result = yield from look_for_jobs(session, [entry], min(LOOK_BUDGET, end - now))
        except HistoryUnavailable as error:
            log.info("the request history cannot be searched for submit %d: %s", number, error)
            if error.is_final:
                return Finding()
            was_readable = False
        else:
            if number in result.settled:
                return Finding(result.settled[number].request_id)
            was_readable, is_absent = was_readable and result.is_complete, number in result.absent
    if resubmit_after is None or not (was_readable and is_absent):
        return Finding()
    reason = f"the request history has not listed its job within {resubmit_after:.0f} s"
    return Finding(is_absent=(yield Call(partial(session.journal.dismiss, number, reason))))


def _find_settled(session: Session, number: int) -> Flow[str | None]:
    """Return the request id of a submit that another process has settled; None if it started no job."""
    entries: list[JournalEntry] = yield Call(session.journal.entries)
    return next((entry.request_id for entry in entries if entry.id == number), None)


def next_look_delay(looks: int) -> float:
    """Return the seconds before the next look for a lost job: 0, 2, 5 ... 600.

    Args:
        looks: Number of looks so far.

    Returns:
        The seconds.

    """
    if looks < len(LOOK_DELAYS):
        return LOOK_DELAYS[looks]
    return float(min(_LONGEST_LOOK_DELAY, LOOK_DELAYS[-1] * 2.0 ** (looks - len(LOOK_DELAYS) + 1)))


def _iter_delays(resubmit_after: float | None) -> Iterator[float]:
    """Yield the seconds before each look; the last is at `resubmit_after`, if a submit may be repeated then."""
    if resubmit_after is None:
        yield from LOOK_DELAYS
        return
    elapsed = 0.0
    for delay in chain(LOOK_DELAYS, repeat(_LATE_DELAY)):
        if elapsed + delay >= resubmit_after:
            break
        elapsed += delay
        yield delay
    yield resubmit_after - elapsed


def group_entries(entries: Iterable[JournalEntry]) -> Iterator[list[JournalEntry]]:
    """Yield the entries of each model and key, in groups of submits that are not far apart."""
    groups: dict[tuple[str, str], list[JournalEntry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.created):
        group = groups.get((entry.model, entry.key))
        if group is not None and entry.created <= group[0].created + _LONGEST_SPAN:
            group.append(entry)
            continue
        if group is not None:
            yield group
        groups[entry.model, entry.key] = [entry]
    yield from groups.values()
