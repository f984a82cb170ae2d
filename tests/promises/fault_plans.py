"""Faults of a gateway and kills of a client during one command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from hypothesis import strategies as st
from kling_sandbox import BLOCKED_TEXT, Fault

HOUR: Final = 3600.0
PICTURE: Final = bytes.fromhex(  # 1 x 1
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
# Few, because the sandbox renders each once.
REQUESTS: Final[list[tuple[str, dict[str, Any]]]] = [
    ("kling-o1", {"prompt": "a cat", "image_urls": ["https://pictures.example/cat.png"]}),
    ("kling-2", {"prompt": "a lighthouse"}),
    ("kling-2", {"prompt": "a lighthouse", "start_image": PICTURE}),
    ("kling-2.5-turbo", {"prompt": "a harbour", "aspect_ratio": "1:1"}),
    ("kling-2", {"prompt": BLOCKED_TEXT}),
]

CUTS: Final = ("reset-early", "reset-late", "reset", "truncate", "length", "504", "garbage")
BUSY: Final = ("429", "500", "502", "503", "html")
Place: TypeAlias = tuple[str, str, Sequence[str]]
REFUSED: Final = ("400", "401", "403", "404", "406", "410")
SUBMITS: Final = "POST", "*", (*CUTS, *BUSY, *REFUSED, "failed", "type")  # uploads, too
POLLS: Final = "GET", "/v2/requests/*", (*CUTS, *BUSY, "404", "restart", "flap", "type")
FILES: Final = "GET", "/media/*", (*CUTS, *BUSY)
HISTORY: Final = (*CUTS, *BUSY, "401", "403", "404", "type", "missing", "twins", "foreign", "misreport")


@dataclass(frozen=True)
class FaultPlan:
    """Faults of one command: of the gateway, and of its history, and a kill before the effect `kill_at` or at the end."""

    fault: Fault | None = None
    kill_at: int | None = None
    history: Fault | None = None

    @property
    def faults(self) -> list[Fault]:
        return [fault for fault in (self.fault, self.history) if fault is not None]


@st.composite
def fault_plans(draw: st.DrawFn, *places: Place) -> FaultPlan:
    """Draw a fault of a few requests; one or two 404 responses must not lose a job."""
    fault = None
    is_struck = draw(st.booleans()) if places else False
    if is_struck:
        method, path, kinds = draw(st.sampled_from(places))
        kind, nth = draw(st.sampled_from(kinds)), draw(st.sampled_from([1, 1, 2, 3]))
        burst = draw(st.integers(1, 2 if (method, kind) == ("GET", "404") else 3))
        fault = Fault(kind, method=method, path=path, nth=nth, burst=burst)
    kill_at = draw(st.integers(0, 25) | st.integers(0, 170)) if draw(st.booleans()) else None
    history = None
    if draw(st.integers(0, 2)) == 0:
        kind, nth = draw(st.sampled_from(HISTORY)), draw(st.integers(1, 3))
        burst = draw(st.sampled_from([1, 2, 1000]))
        history = Fault(kind, method="GET", path="/inference-request/*", nth=nth, burst=burst)
    return FaultPlan(fault, kill_at, history)
